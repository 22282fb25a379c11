"""The server behind a proxy that puts a prefix before its paths, which the server does not know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import httpx
import pytest

from noetl_metrics_sdk import MetricsClient, Registry
from tests.nginx import needs_nginx, prefixed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server_process import ServerProcess

# The proxy is another program, and the server treats it alike under every interpreter.
pytestmark = [pytest.mark.once, needs_nginx]

_NAMED = re.compile(r'(?:href|src)="([^"#]+)"')


def test_a_server_works_below_a_prefix(server: ServerProcess, tmp_path: Path) -> None:
    """Redirects stay below the prefix, the page of the documentation loads the description that is
    there, and its paths are those through the proxy. A worker delivers through it."""
    with prefixed(tmp_path, "/tools/metrics", server.url) as url:
        with httpx.Client(follow_redirects=True) as browser:
            for path in ("/docs/", "/api/runtime/?x", "/healthz/"):
                answer = browser.get(url + path)
                assert [307] == [redirect.status_code for redirect in answer.history]
                assert url + path.replace("/?", "?").removesuffix("/") == str(answer.url)
                assert 200 == answer.status_code
            posted = browser.post(f"{url}/api/worker/pool/register/", json={"name": "cpu-01"})
            assert 200 == posted.status_code
            for path in ("/", "/ui", "/ui/"):
                page = browser.get(url + path)
                assert (200, f"{url}/ui/") == (page.status_code, str(page.url))
            page = browser.get(f"{url}/docs")
            named = {urljoin(str(page.url), found) for found in _NAMED.findall(page.text)}
            assert {f"{url}/ui/", f"{url}/ui/docs/main.js", f"{url}/openapi.json"} <= named
            assert {200} == {browser.get(found).status_code for found in named}
            assert f"{url}/docs" == str(browser.get(f"{url}/ui/docs/index.html").url)
            description = browser.get(f"{url}/openapi.json")
            (place,) = description.json()["servers"]
            assert f"{url}/" == urljoin(str(description.url), place["url"])
        with MetricsClient(url, "cpu-01", registry=Registry(), system_metrics=()) as client:
            client.record("rows_total", 1.0, metric_type="counter")
            assert 0 == client.flush(30).pending
