"""The documentation as a site: it builds without a warning, and is whole by itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

import noetl_metrics_sdk

ROOT = Path(__file__).parent.parent.parent
# What a browser loads for a page, by element and attribute; a link that a reader follows is none.
LOADED = {
    ("audio", "src"), ("embed", "src"), ("iframe", "src"), ("img", "src"), ("img", "srcset"),
    ("input", "src"), ("link", "href"), ("object", "data"), ("script", "src"), ("source", "src"),
    ("source", "srcset"), ("track", "src"), ("video", "poster"), ("video", "src"),
}  # fmt: skip
# What users ask first. docs/index.md, to which the README links, has a row for each.
QUESTIONS = [
    "How do I use it in FastAPI, Celery, gunicorn?",
    "Where do I see a chart?",
    "How do I test my metrics?",
    "What if the server is down?",
    "How does it run in Docker, Kubernetes, systemd?",
    "How do I get an alarm?",
    "How do I upgrade?",
    "How do I delete a component?",
    "What does it cost?",
    "Which versions work?",
    "How do I install it from an index?",
    "How do I change the buckets?",
    "Does it run on Windows, on macOS?",
    "How do I back it up?",
    "Why does nothing arrive?",
]

pytestmark = pytest.mark.once


class Page(HTMLParser):
    """The parts of a page that lead to others, and the places in it to which others lead."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.links, self.ids = set(), set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if (tag, name) in LOADED:
                self.loaded.add(value)
            elif (tag, name) == ("a", "href"):
                self.links.add(value)
            elif name == "id":
                self.ids.add(value)
            elif name == "style":
                self.loaded.update(addresses_of(value))


class Site(NamedTuple):
    said: str
    folder: Path
    pages: dict[Path, Page]


def addresses_of(style):
    """Return the addresses that a style sheet loads."""
    return re.findall(r"""(?:url\(|@import)\s*["']?([^"')\s]+)""", style)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as scripts/docs does, but elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
    command += ["-c", "docs/site", "-d", str(folder / "doctrees"), ".", str(folder / "html")]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert 0 == built.returncode, built.stderr
    pages = {
        path: Page(path.read_text(encoding="utf-8")) for path in (folder / "html").rglob("*.html")
    }
    return Site(built.stdout + built.stderr, folder / "html", pages)


def test_the_site_builds_without_a_word(site):
    """Sphinx has nothing to warn of, and the root of the site leads to the contents."""
    assert "" == site.said
    assert {"docs/index.html"} == site.pages[site.folder / "index.html"].links


def test_the_site_needs_nothing_from_elsewhere(site):
    """Pages and style sheets load only what the site itself brings: no font, script or image."""
    loaded = {address for page in site.pages.values() for address in page.loaded}
    for path in site.folder.rglob("*.css"):
        loaded.update(addresses_of(path.read_text(encoding="utf-8")))
    assert loaded
    assert [] == sorted(one for one in loaded if urlsplit(one).scheme != "data" and "//" in one)


def test_every_link_of_the_site_leads_somewhere(site):
    """Each link within the site is to a page that is there, and to a place that is on it."""
    broken = []
    for path, page in site.pages.items():
        for link in page.links:
            target = urlsplit(link)
            if target.scheme or target.netloc:
                continue
            leads_to = Path(os.path.normpath(path.parent / unquote(target.path)))
            there = site.pages.get(leads_to) if target.path else page
            if there is None or (target.fragment and unquote(target.fragment) not in there.ids):
                broken.append((str(path.relative_to(site.folder)), link))
    assert [] == broken


def test_the_reference_has_every_public_name(site):
    """The API reference describes each name that users import."""
    _, _, _, _, compressed = (site.folder / "objects.inv").read_bytes().split(b"\n", 4)
    lines = zlib.decompress(compressed).decode().splitlines()
    described = {line.split()[0] for line in lines if line.split()[1].startswith("py:")}
    public = {f"noetl_metrics_sdk.{name}" for name in noetl_metrics_sdk.__all__}
    public |= {
        f"noetl_metrics_sdk.testing.{name}"
        for name in (
            "InMemoryTransport", "ManualClock", "MetricsProbe", "ReceivedSample", "server_away",
        )
    }  # fmt: skip
    public |= {
        "noetl_metrics_sdk.otel.NoetlMetricExporter",
        "noetl_metrics_sdk.pytest_plugin.metrics_probe",
    }
    assert set() == public - described


def test_each_question_is_answered_within_two_clicks(site):
    """The README links to the table of questions, and each row of that to a heading."""
    assert "docs/index.html" in site.pages[site.folder / "README.html"].links
    table = (ROOT / "docs/index.md").read_text(encoding="utf-8").partition("## Questions\n")[2]
    rows = re.findall(r"^\| (.*\?) \| (.*) \|$", table.partition("\n## ")[0], re.MULTILINE)
    assert QUESTIONS == [question for question, _ in rows]
    without = [question for question, answer in rows if not re.search(r"\]\([^)]+#", answer)]
    assert [] == without
