"""What is read of an instrument for a page, and when it becomes text at once."""

from __future__ import annotations

import itertools
import math
import time
from typing import TYPE_CHECKING

import pytest

from noetl_metrics_sdk import Counter, Gauge, Histogram, Summary
from noetl_metrics_sdk.exposition.family_reading import FamilyReading, read_family
from noetl_metrics_sdk.exposition.kept_series import kept_series
from noetl_metrics_sdk.exposition.samples import PageFormat
from noetl_metrics_sdk.process.pacing import STEPS_BETWEEN_RESTS, Pacer

if TYPE_CHECKING:
    from noetl_metrics_sdk.instruments.instrument import Instrument

PACER = Pacer(time.monotonic, time.sleep)


def reading_of(instrument: Instrument, page_format: PageFormat) -> FamilyReading:
    kept = kept_series([instrument], None, PACER)
    return read_family(instrument.definition, kept, page_format, PACER)


def test_a_series_that_cannot_be_read_is_left_out() -> None:
    """A gauge whose function raises has no sample, and the others keep their own values."""
    gauge = Gauge("level", "Level", ["queue"], registry=None)
    for queue, value in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        gauge.labels(queue).set(value)
    gauge.labels("b").set_function(lambda: 1 / 0)
    reading = reading_of(gauge, PageFormat.TEXT)
    assert (['{queue="a"}', '{queue="c"}'], [1.0, 3.0]) == (reading.labels, reading.values)
    lines = reading.written(("level", "gauge"), PageFormat.TEXT, PACER).lines
    assert ['level{queue="a"} 1.0\n', 'level{queue="c"} 3.0\n'] == lines[2:]


def test_an_instrument_without_series_lays_no_claim() -> None:
    """Its names are free for others on this page."""
    assert set() == reading_of(Counter("a", "A", ["b"], registry=None), PageFormat.TEXT).kinds()


@pytest.mark.parametrize(
    ("values", "is_valid"), [([2.0], True), ([-5.0], False), ([math.inf, -math.inf], False)]
)
def test_values_are_checked_for_every_page(values: list[float], is_valid: bool) -> None:
    """OpenMetrics has no distribution with a sum that is negative or NaN; the text format has."""
    for instrument in (
        Histogram("took", "Took", registry=None), Summary("waited", "W", registry=None),
    ):  # fmt: skip
        family = (instrument.name, instrument.definition.type.value)
        expected = {PageFormat.TEXT: True, PageFormat.OPENMETRICS: True}
        assert expected == {
            one: reading_of(instrument, one).can_be_written(family, one) for one in PageFormat
        }
        for value in values:
            instrument.observe(value)
        assert expected | {PageFormat.OPENMETRICS: is_valid} == {
            one: reading_of(instrument, one).can_be_written(family, one) for one in PageFormat
        }


def test_a_negative_bound_is_nothing_for_openmetrics() -> None:
    """A histogram with a negative bound is `unknown` there, so it is not written as it is."""
    histogram = Histogram("took", "Took", registry=None, buckets=[-1, 1])
    reading = reading_of(histogram, PageFormat.OPENMETRICS)
    assert not reading.can_be_written(("took", "histogram"), PageFormat.OPENMETRICS)
    assert reading.can_be_written(("took", "histogram"), PageFormat.TEXT)


def test_a_family_of_another_type_is_not_written() -> None:
    """If others have made the family untyped, the text is made of the samples."""
    reading = reading_of(Gauge("level", "Level", registry=None), PageFormat.TEXT)
    assert not reading.can_be_written(("level", "untyped"), PageFormat.TEXT)


def test_reading_and_writing_many_series_rest() -> None:
    """Another thread gets the interpreter while many series are read, and while written."""
    counter = Counter("jobs", "Jobs", ["queue"], registry=None, max_series=10_000)
    for number in range(10 * STEPS_BETWEEN_RESTS):
        counter.labels(number).inc()
    kept = kept_series([counter], None, PACER)
    rests: list[float] = []
    seconds = itertools.count()
    pacer = Pacer(lambda: float(next(seconds)), rests.append)
    reading = read_family(counter.definition, kept, PageFormat.TEXT, pacer)
    rested = len(rests)
    reading.written(("jobs_total", "counter"), PageFormat.TEXT, pacer)
    assert (True, True) == (rested >= 10, len(rests) - rested >= 10)
