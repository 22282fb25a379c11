"""The files of the pages for browsers."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import pytest

from server_stub.auth.tokens import hash_token, make_token
from server_stub.web.page_files import MEDIA_TYPES, PageFiles
from tests.server.application import running_api

if TYPE_CHECKING:
    from tests.server.application import Api

# Files and headers are the same under every interpreter.
pytestmark = pytest.mark.once

FOLDER = Path(str(files("server_stub") / "page"))
EVERY_FILE = sorted(
    path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file()
)


def test_every_file_of_the_folder_is_served(embedded_api_shared: Api) -> None:
    """Each has its contents, its type, and the headers of a page."""
    assert set(EVERY_FILE) == PageFiles().paths
    for path in set(EVERY_FILE) - {"docs/index.html"}:
        answer = embedded_api_shared.get(f"/ui/{path}")
        assert (200, (FOLDER / path).read_bytes()) == (answer.status_code, answer.content)
        assert {
            "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
            "frame-ancestors 'none'; object-src 'none'",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-cache",
            "content-type": MEDIA_TYPES[Path(path).suffix],
        }.items() <= dict(answer.headers).items()


def test_the_documentation_is_a_page_too(embedded_api_shared: Api) -> None:
    """It is at `/docs`, to which its addresses are relative, and has the headers of a page."""
    page = embedded_api_shared.get("/docs")
    assert (FOLDER / "docs/index.html").read_text(encoding="utf-8") == page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for named in re.findall(r'(?:href|src)="([^"#]+)"', page.text):
        assert 200 == embedded_api_shared.get(urljoin("/docs", named)).status_code
    file = embedded_api_shared.get("/ui/docs/index.html")
    assert (307, "../../docs") == (file.status_code, file.headers["location"])


def test_the_folder_is_the_page_itself(embedded_api_shared: Api) -> None:
    """HEAD has the same headers and no body."""
    page = embedded_api_shared.get("/ui/")
    assert (FOLDER / "index.html").read_text(encoding="utf-8") == page.text
    head = embedded_api_shared.request("HEAD", "/ui/")
    assert (200, b"") == (head.status_code, head.content)
    differing = {"x-request-id", "date"}
    assert {name: value for name, value in page.headers.items() if name not in differing} == {
        name: value for name, value in head.headers.items() if name not in differing
    }


def test_a_copy_that_is_still_right_is_not_sent_again(embedded_api_shared: Api) -> None:
    """The tag may have become a weak one, and be among others."""
    etag = embedded_api_shared.get("/ui/").headers["etag"]
    for named in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = embedded_api_shared.get("/ui/", headers={"If-None-Match": named})
        assert (304, b"", etag) == (answer.status_code, answer.content, answer.headers["etag"])
    for named in ("", '"other"', etag[1:-1]):
        answer = embedded_api_shared.get("/ui/", headers={"If-None-Match": named})
        assert 200 == answer.status_code


@pytest.mark.parametrize(
    "path",
    [
        "none.js",
        "../settings.py",
        "..%2fsettings.py",
        "%2e%2e/%2e%2e/pyproject.toml",
        "..\\settings.py",
        "/etc/passwd",
        "index.html/",
        "index.html%00.js",
        "vendor",
    ],
)
def test_only_the_files_of_the_folder_are_served(embedded_api_shared: Api, path: str) -> None:
    """Any other path is 404, with no part of a file."""
    answer = embedded_api_shared.get(f"/ui/{path}")
    assert (404, ["detail"]) == (answer.status_code, list(answer.json()))


@pytest.mark.parametrize("path", ["/", "/ui", "/?tab=jobs", "/ui?tab=jobs"])
def test_a_browser_is_led_to_the_page(embedded_api_shared: Api, path: str) -> None:
    """The way is relative, and keeps the query."""
    answer = embedded_api_shared.get(path)
    assert 307 == answer.status_code
    query = "?tab=jobs" if "?" in path else ""
    for base in ("http://localhost", "http://localhost/tools/metrics"):
        assert f"{base}/ui/{query}" == urljoin(base + path, answer.headers["location"])


def test_the_page_takes_nothing(embedded_api_shared: Api) -> None:
    """Other methods are refused."""
    for path in ("/", "/ui", "/ui/", "/ui/index.html"):
        answer = embedded_api_shared.post(path)
        assert (405, "GET, HEAD") == (answer.status_code, answer.headers["allow"])


def test_the_page_is_open_where_there_are_tokens(database_url: str) -> None:
    """Its files need no token; the data that it asks for does."""
    line = make_token("reader", ["read"], hash_token("reader-secret")).line()
    with running_api(database_url, tokens=line) as api:
        assert [307, 307, 200, 200, 404, 401] == [
            api.get(path).status_code
            for path in ("/", "/ui", "/ui/", "/ui/index.html", "/ui/none", "/api/metrics/names")
        ]
