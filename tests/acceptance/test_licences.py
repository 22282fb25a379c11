"""docs/licences.md names the licence of each package that the server brings."""

from __future__ import annotations

import re

import pytest

from tests.licences import HEADING, ROOT, installed_packages

pytestmark = pytest.mark.once

PAGE = (ROOT / "docs/licences.md").read_text(encoding="utf-8")
ROWS = {
    name: (licence, mark)
    for name, licence, mark in re.findall(r"^\| (\S+) \| (.+) \| (yes)? ?\|$", PAGE, re.MULTILINE)
}


def test_the_page_names_each_package_with_its_licence():
    """No package comes with the server that the page does not name; ./scripts/licences adds it."""
    packages = installed_packages(["server"])
    assert {"fastapi", "httpx", "psycopg-binary"} <= {package.name for package in packages}
    assert [] == [package for package in packages if package.name not in ROWS]
    assert PAGE.startswith(HEADING)


def test_the_page_marks_what_the_sdk_brings():
    """The packages that a worker gets without the server are marked."""
    marked = {name for name, (_, mark) in ROWS.items() if mark}
    of_sdk = {package.name for package in installed_packages([])}
    assert set() == of_sdk - marked
    assert "fastapi" not in marked
