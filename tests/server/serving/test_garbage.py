"""Full collections of garbage, which hold every request up, come at chosen moments only."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from noetl_metrics_sdk.testing import ManualClock
from server_stub.serving.garbage import (
    COLLECTING_SHARE_MAX,
    POSTPONED_SECONDS_MAX,
    FullCollections,
)

if TYPE_CHECKING:
    from collections.abc import Generator


class Cycle:
    """An object that is garbage once nothing else refers to it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def full_collections() -> Generator[list[str]]:
    """The full collections that there are, as the interpreter tells of them."""
    found: list[str] = []

    def note(phase: str, info: dict[str, Any]) -> None:
        if info["generation"] == 2 and phase == "start":
            found.append(phase)

    thresholds = gc.get_threshold()
    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


def make_many() -> list[list[object]]:
    return [[number, []] for number in range(200_000)]


def test_a_request_that_makes_many_objects_begins_no_full_collection(
    full_collections: list[str],
) -> None:
    """Python itself would go through all of them several times."""
    collections = FullCollections(ManualClock().monotonic)
    collections.begin()
    full_collections.clear()
    assert 200_000 == len(make_many())
    assert [] == full_collections


def test_garbage_is_collected_between_requests(full_collections: list[str]) -> None:
    """While requests are under way a collection waits for their end, but not for ever."""
    clock = ManualClock()
    collections = FullCollections(clock.monotonic)
    collections.begin()
    for is_idle, advance in ((True, 0.0), (False, POSTPONED_SECONDS_MAX)):
        garbage = weakref.ref(Cycle())
        make_many()
        full_collections.clear()
        collections.note_moment(is_idle=False)
        assert [] == full_collections
        clock.advance(advance)
        collections.note_moment(is_idle=is_idle)
        assert (1, None) == (len(full_collections), garbage())
        collections.note_moment(is_idle=True)
        assert 1 == len(full_collections)


def test_collections_take_a_fiftieth_of_the_time_at_most(full_collections: list[str]) -> None:
    """After one that took long, the next one waits, even where no request is under way: an export
    makes many objects, and each collection holds it up."""
    clock = ManualClock()

    def take_long(phase: str, info: dict[str, Any]) -> None:
        if info["generation"] == 2 and phase == "stop":
            clock.advance(0.2)

    collections = FullCollections(clock.monotonic)
    collections.begin()
    gc.callbacks.append(take_long)
    try:
        make_many()
        collections.note_moment(is_idle=True)
        make_many()
        full_collections.clear()
        clock.advance(0.2 / COLLECTING_SHARE_MAX - 0.1)
        collections.note_moment(is_idle=True)
        assert [] == full_collections
        clock.advance(0.1)
        collections.note_moment(is_idle=True)
        assert 1 == len(full_collections)
    finally:
        gc.callbacks.remove(take_long)
