"""What is kept of pages stays within its bound, and goes with what it is of."""

from __future__ import annotations

import pytest

from noetl_metrics_sdk.exposition.samples import PageFormat
from server_stub.exposition.known_pages import KnownPage, KnownPages, let_go
from server_stub.exposition.page import render
from tests.server.exposition.records import latest_page
from tests.server.query.test_exposition import latest

# These tests depend on no interpreter.
pytestmark = pytest.mark.once

NAMES = [
    [latest(metric_name=name, labels={"n": str(n)}) for n in range(10)] for name in ("a", "b", "c")
]


def known_page(*names: int) -> KnownPage:
    """Return what is known of a page with some of the names."""
    samples = [one for name in names for one in NAMES[name]]
    return render(latest_page(samples), PageFormat.TEXT, {})[1]


def test_pages_of_filters_are_apart() -> None:
    """The page of each filter is kept by itself, in whatever order the filters are given."""
    pages = KnownPages(1_000_000)
    of_all, of_one = known_page(0, 1), known_page(1)
    pages.keep({}, of_all)
    pages.keep({"component_name": "a", "runtime_id": 1}, of_one)
    assert of_all == pages.get({})
    assert of_one == pages.get({"runtime_id": 1, "component_name": "a"})
    assert {} == pages.get({"runtime_id": 1})


def test_what_is_gone_is_no_longer_kept() -> None:
    """What is not on a page is forgotten, so a fleet that comes and goes takes no more room."""
    pages = KnownPages(1_000_000)
    pages.keep({}, known_page(0, 1))
    both = pages.size_bytes
    pages.keep({}, known_page(1))
    one = pages.size_bytes
    pages.keep({}, {})
    assert 0 == pages.size_bytes < one < both


def test_the_pages_that_were_made_last_are_kept() -> None:
    """Beyond the bound the page that was made longest ago goes first."""
    size_bytes = KnownPages(1_000_000)
    size_bytes.keep({}, known_page(0))
    pages = KnownPages(2 * size_bytes.size_bytes)
    for runtime_id in (1, 2, 1, 3):
        pages.keep({"runtime_id": runtime_id}, known_page(0))
    assert [1, 3] == [number for number in (1, 2, 3) if pages.get({"runtime_id": number})]
    assert 2 * size_bytes.size_bytes == pages.size_bytes


def test_of_a_page_that_is_too_large_the_names_that_fit_are_kept() -> None:
    """A page beyond the bound is not forgotten as a whole, and does not exceed the bound."""
    page = known_page(0, 1, 2)
    bytes_max = sum(known.size_bytes for known in page.values()) - 1
    pages = KnownPages(bytes_max)
    pages.keep({}, page)
    assert ["a", "b"] == list(pages.get({}))
    assert 0 < pages.size_bytes <= bytes_max


def test_what_is_no_longer_kept_is_handed_over() -> None:
    """It is what is gone, changed, of a forgotten page, or beyond the bound, and nothing else."""
    pages = KnownPages(1_000_000)
    first, second = known_page(0, 1), known_page(0)
    assert pages.keep({}, first) == []
    assert pages.keep({}, {"a": second["a"], "b": first["b"]}) == [first["a"]]
    assert pages.keep({}, {"a": second["a"]}) == [first["b"]]
    full = KnownPages(second["a"].size_bytes)
    assert full.keep({}, {"a": second["a"], "b": first["b"]}) == [first["b"]]
    assert full.keep({"runtime_id": 1}, {"a": first["a"]}) == [second["a"]]


def test_letting_go_takes_nothing_from_a_page_that_is_being_made() -> None:
    """Series that another page still uses stay as they are."""
    page = known_page(0, 1)
    used = page["a"].series
    before = dict(used)
    forgotten = list(page.values())
    let_go(forgotten)
    assert forgotten == []
    assert len(before) == 10
    assert dict(used) == before
