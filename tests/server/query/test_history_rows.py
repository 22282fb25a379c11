"""A page of the history, window by window."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest

from server_stub.query.history_rows import Range, read_page
from server_stub.time_series_database.history import HistorySeries

if TYPE_CHECKING:
    from server_stub.time_series_database.history import History

pytestmark = pytest.mark.once

MINUTE_MS = 60_000


class CountingHistory:
    """A series with samples at given times, which counts the requests that it gets."""

    def __init__(self, times: list[int]) -> None:
        self._times = times
        self.requests = 0
        self.samples_read = 0

    async def count(self, _: str, start_ms: int, end_ms: int) -> int:
        self.requests += 1
        return sum(start_ms <= at < end_ms for at in self._times)

    async def read(self, _: str, start_ms: int, end_ms: int) -> list[HistorySeries]:
        self.requests += 1
        samples = [(at, float(at)) for at in self._times if start_ms <= at < end_ms]
        self.samples_read += len(samples)
        return [HistorySeries("load", 1, "pool", "worker_pool", {}, samples)]


def page(history: CountingHistory, within: Range, limit: int, **asked: Any) -> list[int]:
    position = asked.pop("position", None)
    found = asyncio.run(read_page(cast("History", history), "{}", within, limit, position, **asked))
    return [row.timestamp_ms for row in found]


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("every_ms", [MINUTE_MS, 100 * MINUTE_MS])
def test_samples_that_are_far_apart_cost_few_requests(newest_first: bool, every_ms: int) -> None:
    """The windows grow where there are few samples."""
    times = list(range(0, 5_000 * every_ms, every_ms))
    history = CountingHistory(times)
    expected = sorted(times, reverse=newest_first)[:1000]
    within = Range(0, 5_000 * every_ms)
    assert expected == page(history, within, 1000, newest_first=newest_first)
    assert history.requests < 30


@pytest.mark.parametrize("newest_first", [True, False])
def test_samples_that_are_close_together_are_not_all_read(newest_first: bool) -> None:
    """A window with too many samples is read in parts."""
    times = list(range(200_000))
    history = CountingHistory(times)
    expected = sorted(times, reverse=newest_first)[:100]
    assert expected == page(history, Range(0, 200_000), 100, newest_first=newest_first)
    assert history.samples_read < 60_000


@pytest.mark.parametrize("newest_first", [True, False])
def test_a_page_begins_behind_the_position(newest_first: bool) -> None:
    """Whatever the windows are, the pages together have every sample once."""
    times = [at * at * 1000 for at in range(300)]
    history = CountingHistory(times)
    found: list[int] = []
    position = None
    while True:
        some = asyncio.run(
            read_page(
                cast("History", history), "{}", Range(0, 10**9), 7, position,
                newest_first=newest_first,
            )
        )  # fmt: skip
        if not some:
            break
        found += [row.timestamp_ms for row in some]
        position = (some[-1].timestamp_ms, some[-1].metric_id)
    assert sorted(times, reverse=newest_first) == found
