"""A series whose row is known is not made again, and what it takes is counted."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from server_stub.components import labels
from server_stub.exposition.known_series import known_name
from tests.server.exposition.records import series_of_name
from tests.server.query.test_exposition import latest

# These tests depend on no interpreter.
pytestmark = pytest.mark.once

SAMPLES = [latest(labels={"n": f"number-{n}"}, help_text="Done") for n in range(100)]


def test_only_new_series_are_made() -> None:
    """Known rows give the same objects; rows that came and went change nothing of the others."""
    found = series_of_name("jobs_total", SAMPLES[:-1])
    before = known_name(found, None)
    assert before is known_name(found, before)
    after = known_name(series_of_name("jobs_total", SAMPLES[1:]), before)
    assert [True] * 98 == [
        before.series[row] is after.series[row] for row in before.series if row in after.series
    ]
    assert 99 == len(after.series)


def test_collections_of_garbage_pass_known_names_over() -> None:
    """A full collection has hardly more to go through because of a thousand names: it holds up
    every request."""
    found = [series_of_name(f"jobs_{number}_total", SAMPLES[:1]) for number in range(1_000)]
    known_name(found[0], None)  # the labels, which are kept for all names
    gc.collect()
    before = len(gc.get_objects())
    known = [known_name(each, None) for each in found]
    gc.collect()
    assert len(gc.get_objects()) - before < 100
    assert 1_000 == len(known)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("short", id="short"),
        pytest.param("longer" * 50, id="long"),
        pytest.param("ü" * 100, id="two bytes"),
        pytest.param("😀" + "x" * 300, id="four bytes"),
    ],
)
@pytest.mark.parametrize("metric_type", ["counter", "histogram"])
def test_a_series_takes_no_more_than_it_counts(
    value: str, metric_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of a name takes at most the bytes that count for it, whatever its labels are."""
    # Sets of labels that names share have a bound of their own.
    monkeypatch.setattr(labels, "_label_sets", labels.LabelSets(0))
    found = series_of_name(
        "jobs_bucket",
        [
            latest(metric_type=metric_type, labels={"a": f"{value}{n}", "le": str(n)}, runtime_id=n)
            for n in range(500)
        ],
    )
    tracemalloc.start()
    try:
        known = known_name(found, None)
        for _, one in known.samples(found):
            one.labels.key()
            one.labels.key_without("le")
            one.labels.canonical_text("le")
        taken_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < taken_bytes <= known.size_bytes
