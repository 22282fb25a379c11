"""The files of the page, without a browser."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent.parent / "server_stub" / "page"
UPLOT = PAGE / "vendor" / "uplot"
OWN_FILES = sorted(
    path
    for path in PAGE.rglob("*")
    if path.suffix in {".js", ".css", ".html"} and UPLOT not in path.parents
)
MODULES = [path for path in OWN_FILES if path.suffix == ".js"]
MODULE_LINES_MAX = 250

READS_TEXT_AS_HTML = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser"
)

pytestmark = pytest.mark.once


def test_uplot_is_as_npm_has_it():
    """Each file of uPlot has its checksum in SHA256SUMS, so nothing was changed in it."""
    lines = (UPLOT / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {name: checksum for checksum, name in (line.split("  ") for line in lines)}
    own = {"SHA256SUMS", "README.md"}
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in UPLOT.iterdir()
        if path.name not in own
    }
    assert listed == found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PAGE)))
def test_a_module_reads_no_text_as_html(path):
    """Whatever a client puts into a label stays a text; and a module stays short."""
    text = path.read_text(encoding="utf-8")
    assert [] == READS_TEXT_AS_HTML.findall(text)
    assert MODULE_LINES_MAX >= len(text.splitlines())
    assert text.startswith("// ")


def test_the_page_names_no_other_place():
    """No file of the page names a URL of another server, except the name space of SVG."""
    named = {
        url
        for path in OWN_FILES
        for url in re.findall(r"(?:https?:)?//[a-z][\w.-]+\.\w+", path.read_text(encoding="utf-8"))
    }
    assert set() == named


def test_the_page_says_at_once_which_modules_it_loads():
    """A browser hears of every module in the page itself, and not one after the other."""
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    preloaded = re.findall(r'rel="modulepreload" href="([^"]+)"', text)
    own = {str(path.relative_to(PAGE)) for path in MODULES if "docs" not in path.parts}
    assert own - {"main.js"} == set(preloaded)


def test_every_module_is_used():
    """Each module is imported by another one, or by a page."""
    imported = set()
    for path in OWN_FILES:
        text = path.read_text(encoding="utf-8")
        of_page = re.findall(r'<script[^>]* src="([^"]+)"', text) if path.suffix == ".html" else []
        for name in [*of_page, *re.findall(r'from "(\.[^"]+)"', text)]:
            imported.add(Path(os.path.normpath(path.parent / name)))
    # Addresses in the page of /docs are relative to /docs.
    entries = {PAGE / "docs" / "main.js"}
    assert set(MODULES) == {path for path in imported if path in MODULES} | entries
