"""The export leaves the processor to inserts, as long as nothing is lost by that."""

from __future__ import annotations

import pytest

from server_stub.export.pacing import PAUSE_SECONDS_MAX, URGENT_SECONDS, Pacing

pytestmark = pytest.mark.once

NO_LOSS = float("inf")


class Clock:
    """Time, and how much of it there were batches to insert."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.inserting = 0.0

    def advance(self, seconds: float, insert_share: float) -> None:
        self.now += seconds
        self.inserting += seconds * insert_share


def paused(
    insert_share: float, turn_seconds: float = 0.04, loss_in_seconds: float = NO_LOSS
) -> float:
    """Return the pause after a turn, where inserts have taken a part of the time."""
    clock = Clock()
    pacing = Pacing(lambda: clock.inserting, lambda: clock.now)
    pacing.begin_turn()
    clock.advance(turn_seconds, insert_share)
    return pacing.pause_seconds(loss_in_seconds)


def test_without_inserts_turn_follows_turn() -> None:
    """There is nothing to leave the processor to."""
    assert 0.0 == paused(0.0)


def test_inserts_that_never_end_have_fifteen_sixteenths_of_the_time() -> None:
    """The pause is fifteen times as long as the turn, and never longer than a bound."""
    assert pytest.approx(0.6) == paused(1.0)
    assert PAUSE_SECONDS_MAX == paused(1.0, turn_seconds=10.0)


def test_a_few_small_inserts_hardly_slow_it() -> None:
    """Of a tenth of the time it makes a seventh of a turn."""
    assert pytest.approx(0.15 * 0.04) == paused(0.1)


def test_before_rows_are_lost_it_waits_for_nothing() -> None:
    """A loss that is near counts more than inserts."""
    assert 0.0 == paused(1.0, loss_in_seconds=URGENT_SECONDS - 1)
    assert paused(1.0, loss_in_seconds=URGENT_SECONDS) > 0


def test_each_pause_is_of_the_time_since_the_one_before() -> None:
    """Inserts that have ended are not waited for any longer."""
    clock = Clock()
    pacing = Pacing(lambda: clock.inserting, lambda: clock.now)
    pauses = []
    for insert_share in (1.0, 0.0):
        pacing.begin_turn()
        clock.advance(0.1, insert_share)
        pauses.append(pacing.pause_seconds(NO_LOSS))
    assert [pytest.approx(1.5), 0.0] == pauses
