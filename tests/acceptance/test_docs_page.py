"""`/docs` in a real browser, which reaches nothing but the server."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server_process import ServerProcess

PROGRAM = shutil.which("chromium")

# The browser is another program, and the server treats it alike under every interpreter.
pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        PROGRAM is None, reason="chromium is not installed: Debian has a package chromium"
    ),
]


def rendered(url: str, folder: Path) -> tuple[str, list[str]]:
    """Return the document that a browser makes of a page, and what it logs on its console."""
    assert PROGRAM is not None
    found = subprocess.run(
        [
            PROGRAM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}",
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            "--enable-logging=stderr", "--virtual-time-budget=10000", "--dump-dom", url,
        ],
        capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    return found.stdout, [line for line in found.stderr.splitlines() if ":CONSOLE" in line]


def test_the_description_is_shown_without_the_internet(
    server: ServerProcess, tmp_path: Path
) -> None:
    """Each route is there with its parameters and its answers, and nothing is refused to the
    page."""
    document, logged = rendered(f"{server.url}/docs#get-%2Fapi%2Fmetrics%2Fnames", tmp_path)
    assert [] == logged
    described = httpx.get(f"{server.url}/openapi.json").json()
    routes = {
        (method, path): operation
        for path, operations in described["paths"].items()
        for method, operation in operations.items()
    }
    shown = dict(
        re.findall(r'<details class="route" id="([^"]+)"(.*?)Ask</h3>', document, re.DOTALL)
    )
    assert {f"{method}-{path}" for method, path in routes} == set(shown)
    for (method, path), operation in routes.items():
        element = shown[f"{method}-{path}"]
        text = html.unescape(re.sub(r"<[^>]+>", " ", element))
        assert operation["summary"] in text
        for parameter in operation.get("parameters", []):
            assert f" {parameter['name']} " in text
        for status in operation["responses"]:
            assert f" {status} " in text
    assert f"{len(routes)} of {len(routes)} routes" in document
    # The route that the address names is open.
    assert [' open=""'] == [
        opened for opened in re.findall(r'class="route" id="[^"]+"( open="")?', document) if opened
    ]
    assert f"curl -s '{server.url}/api/metrics/names'" in html.unescape(document)
