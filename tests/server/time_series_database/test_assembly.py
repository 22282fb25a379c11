"""Rows become series of samples, whatever their order, and none is lost without being counted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.time_series_database import known_series
from server_stub.time_series_database.assembly import Assembly
from server_stub.time_series_database.known_series import Row
from server_stub.time_series_database.wire import double_of

pytestmark = pytest.mark.once

ROW = Row(1, 7, "jobs_total", None, 1.0, 1_000, "pool", "worker_pool", "counter", None, None)
# The first two are one series: an empty label is no label. The last two are none.
SAID = [
    ROW._replace(labels='{"queue": "a"}', help_text="Jobs"),
    ROW._replace(labels='{"queue": "a", "status": ""}', metric_type="gauge"),
    ROW._replace(labels='{"queue": "b"}'),
    ROW._replace(metric_name="other_total"),
    ROW._replace(metric_name="no name"),
    ROW._replace(labels='{"no name": "x"}'),
]
ROWS = st.lists(
    st.builds(
        lambda said, time_ms, value: said._replace(timestamp_ms=time_ms, metric_value=value),
        st.sampled_from(SAID),
        st.sampled_from([None, 1_000, 1_001, 1_002, 1_003]),
        st.integers(0, 9).map(float),
    ),
    max_size=30,
)


def samples_of(assembled) -> dict[str, list[tuple[int, float]]]:
    """Return the samples of each series by its labels."""
    begins = [0, *assembled.ends]
    return {
        str(series.labels()): [
            (time_ms, double_of(value))
            for time_ms, value in zip(
                assembled.times_ms[begin:end], assembled.values[begin:end], strict=True
            )
        ]
        for series, begin, end in zip(assembled.series, begins, assembled.ends, strict=False)
    }


def expected_of(rows) -> tuple[dict[str, list[tuple[int, float]]], int]:
    """Return the same of rows, written down row by row, and how many rows the protocol lacks."""
    found: dict[str, dict[int, float]] = {}
    invalid = 0
    for row in rows:
        if row.timestamp_ms is None or "no name" in row.metric_name + (row.labels or ""):
            invalid += 1
            continue
        (series,) = Assembly().assemble([row]).series
        found.setdefault(str(series.labels()), {})[row.timestamp_ms] = row.metric_value
    return {labels: sorted(samples.items()) for labels, samples in found.items()}, invalid


@given(st.lists(ROWS, max_size=3))
def test_each_row_is_a_sample_of_its_series_or_is_counted(requests) -> None:
    """In the order of time; of one millisecond the row that was inserted last."""
    assembly = Assembly()
    for rows in requests:
        assembled = assembly.assemble(rows)
        expected, invalid = expected_of(rows)
        assert expected == samples_of(assembled)
        assert invalid == assembled.invalid
        assert len(rows) == assembled.samples + assembled.invalid + assembled.merged


def test_the_first_description_of_a_series_counts() -> None:
    """Rows may give one series several help texts, or types."""
    first, second = SAID[:2]
    for rows in ([first, second], [second, first]):
        (series,) = Assembly().assemble(rows).series
        assert (rows[0].metric_type, rows[0].help_text) == series.family[1:3]
        assert (rows[0].metric_type == "counter") == series.counts


def test_series_are_made_anew_when_there_are_too_many(monkeypatch) -> None:
    """What was known is forgotten, and nothing else changes."""
    monkeypatch.setattr(known_series, "SERIES_KEPT_MAX", 2)
    assembly = Assembly()
    for _ in range(3):
        assembled = assembly.assemble(SAID)
        assert expected_of(SAID)[0] == samples_of(assembled)
