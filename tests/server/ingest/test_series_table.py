"""The series that are alive: how many a process may have, and how much memory they take."""

from __future__ import annotations

import json
import tracemalloc
from datetime import UTC, datetime, timedelta

import pytest

from server_stub.ingest.body import ParsedBody, Reject, parse_body
from server_stub.ingest.row_encoding import RowEncoder, TimeBounds
from server_stub.ingest.series_table import (
    GENERATION_AGE_MAX,
    Fullness,
    Process,
    SeriesLimits,
    SeriesTable,
)

pytestmark = pytest.mark.once

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LIMITS = SeriesLimits(labels_max=3, text_length_max=20, series_max=2)
BOUNDS = TimeBounds(age_seconds_max=86_400.0, ahead_seconds_max=3_600.0)


def batch(*labels: dict[str, str]) -> ParsedBody:
    metrics = [
        {"metric_name": "jobs_total", "metric_type": "counter", "metric_value": 1.0, "labels": own}
        for own in labels
    ]
    return parse_body(json.dumps({"metrics": metrics}).encode(), 100_000)


def rejects_of(
    table: SeriesTable, parsed: ParsedBody, now: datetime = NOW, runtime_id: int = 7
) -> list[Reject]:
    """Take a batch; return what is rejected of it."""
    encoder = RowEncoder(table, {None: runtime_id}, now, BOUNDS)
    encoder.encode(zip(parsed.positions, parsed.samples, strict=True))
    return encoder.rejects


def of_values(values: str, worker_id: str = "w-1") -> ParsedBody:
    return batch(*({"a": value, "worker_id": worker_id} for value in values))


def test_a_process_has_so_many_series() -> None:
    """One series too many is rejected with the process and the way out; known series go on."""
    table = SeriesTable(LIMITS)
    for _ in range(2):
        rejects = rejects_of(table, of_values("xyzxyz"))
        assert [2, 5] == [reject.position for reject in rejects]
        assert "worker_id 'w-1' has reported 2 series" in rejects[0].reason
        assert "--series-per-process-max" in rejects[0].reason


@pytest.mark.parametrize(
    "others",
    [
        {"runtime_id": 7, "worker_id": "w-2"},
        {"runtime_id": 8, "worker_id": "w-1"},
        {"runtime_id": 7, "worker_id": ""},
    ],
)
def test_another_process_has_series_of_its_own(others: dict[str, int | str]) -> None:
    """A process that has all of its series takes none of another's, of its component or not."""
    table = SeriesTable(LIMITS)
    assert 1 == len(rejects_of(table, of_values("xyz")))
    runtime_id, worker_id = int(others["runtime_id"]), str(others["worker_id"])
    assert [] == rejects_of(table, of_values("xy", worker_id), runtime_id=runtime_id)
    assert 1 == len(rejects_of(table, of_values("z", worker_id), runtime_id=runtime_id))


def test_a_pool_may_have_any_number_of_processes() -> None:
    """A thousand processes with as many series as each may have cost no sample."""
    table = SeriesTable(LIMITS)
    pool = batch(*({"a": a, "worker_id": f"w-{n}"} for n in range(1_000) for a in "xy"))
    assert [] == rejects_of(table, pool)
    assert 2 == table.alive(Process(7, "w-999"))


def test_a_series_that_is_silent_makes_room() -> None:
    """What was not reported for two hours no longer counts; what is reported stays."""
    table = SeriesTable(LIMITS)
    rejects_of(table, of_values("xy"))
    later = NOW + GENERATION_AGE_MAX
    assert [] == rejects_of(table, of_values("x"), later)
    assert 1 == len(rejects_of(table, of_values("z"), later))
    assert 2 == table.alive(Process(7, "w-1"))
    latest = later + GENERATION_AGE_MAX
    assert [] == rejects_of(table, of_values("xz"), latest)
    assert 1 == len(rejects_of(table, of_values("y"), latest))


@pytest.mark.parametrize("jump", [timedelta(days=2), timedelta(days=-2)])
def test_a_clock_that_jumps_keeps_no_series_for_ever(jump: timedelta) -> None:
    """After a jump of the clock, either way, the series from before no longer count."""
    table = SeriesTable(LIMITS)
    rejects_of(table, of_values("xy"))
    assert [] == rejects_of(table, of_values("vw"), NOW + jump)


def test_the_table_has_so_many_bytes() -> None:
    """Of more series than the table has room for, it keeps those that came last, and loses none."""
    table = SeriesTable(LIMITS, bytes_max=8_000)
    for number in range(1_000):
        assert [] == rejects_of(table, of_values("xy", f"w-{number}"))
    alive = [table.alive(Process(7, f"w-{number}")) for number in range(1_000)]
    assert 2 == alive[-1]
    assert sum(alive) * 600 < 8_000
    assert sum(alive[:-6]) == 0


def test_a_large_series_is_counted_and_not_kept() -> None:
    """Series with huge labels count as any, take hardly any memory, and stay alive by a report."""
    table = SeriesTable(LIMITS._replace(text_length_max=10_000))
    large = batch(*({"a": f"{number}" + "x" * 9_000, "worker_id": "w-1"} for number in range(3)))
    for hours in (0, 1, 1.9):
        rejects = rejects_of(table, large, NOW + timedelta(hours=hours))
        assert [2] == [reject.position for reject in rejects]
        assert 2 == table.alive(Process(7, "w-1"))
    assert 0 < table.size_bytes < 9_000


def test_the_table_tells_how_full_a_process_is() -> None:
    """It tells it once at the half and once at the end, with the newest metric and the process."""
    told: list[Fullness] = []
    table = SeriesTable(LIMITS._replace(series_max=4), told.append)
    assert 0.0 == table.fullest_ratio()
    for values in ("vw", "vw", "vwxyz"):
        rejects_of(table, of_values(values))
    process = Process(7, "w-1")
    assert told == [Fullness(process, "jobs_total", 2, 4), Fullness(process, "jobs_total", 4, 4)]
    rejects_of(table, of_values("v", "w-2"))
    assert 1.0 == table.fullest_ratio()


def test_texts_that_no_series_can_have_are_not_looked_at() -> None:
    """A sample whose texts are larger than all bounds together is rejected by their size, and
    nothing of their size is made of them."""
    table = SeriesTable(LIMITS)
    labels = b'{"a":"' + b"\xc3\xa9" * 2_000_000 + b'"}'
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"a unit of {len(labels) + 17} bytes: use at most 3"):
            table.add(7, ("jobs_total", "counter", labels, None, None))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 100_000


def test_nothing_stays_of_components_whose_samples_are_rejected() -> None:
    """Ten thousand components that report nothing valid take no memory of the table."""
    table = SeriesTable(LIMITS)
    wrong = batch({"1": "a"})
    assert 1 == len(rejects_of(table, wrong, runtime_id=0))
    tracemalloc.start()
    try:
        for runtime_id in range(1, 10_000):
            rejects_of(table, wrong, runtime_id=runtime_id)
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 100_000


def test_a_series_of_the_largest_texts_is_kept_however_it_is_written() -> None:
    """Labels at every bound fit, also where a client writes each character as two escapes."""
    table = SeriesTable(LIMITS)
    labels = json.dumps({letter * 255: "\U0001f600" * 20 for letter in "abc"}).encode()
    assert b"\\ud83d\\ude00" in labels
    assert table.add(7, ("jobs_total", "counter", labels, "\U0001f600" * 20, "\U0001f600" * 20))


@pytest.mark.parametrize("help_text", ["h" * 21, "h" * 5_000])
def test_each_table_goes_by_its_own_limits(help_text: str) -> None:
    """A help text that one table has taken is rejected by a table whose limit is lower, and again
    when it comes again."""
    series = ("jobs_total", "counter", b"{}", help_text, None)
    assert help_text.encode() in SeriesTable(LIMITS._replace(text_length_max=5_000)).add(7, series)
    strict = SeriesTable(LIMITS)
    for _ in range(2):
        with pytest.raises(ValueError, match=f"help_text has {len(help_text)} characters"):
            strict.add(7, series)
