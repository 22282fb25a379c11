"""Counter and Gauge: their names, descriptions and caps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from noetl_metrics_sdk import (
    Counter,
    Gauge,
    Histogram,
    InvalidMetricError,
    MetricType,
    Registry,
    Summary,
)

INSTRUMENTS = [Counter, Gauge, Histogram, Summary]
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_name_is_joined(instrument: Any) -> None:
    """Underscores join namespace, subsystem and name."""
    made = instrument("jobs", "Jobs", namespace="noetl", subsystem="worker", registry=None)
    assert "noetl_worker_jobs" == made.name


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_empty_parts_are_left_out(instrument: Any) -> None:
    """A name without a namespace begins with the subsystem, or with the name itself."""
    made = instrument("jobs", "Jobs", (), "", "worker", registry=None)
    assert "worker_jobs" == made.name


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_unit_does_not_change_the_name(instrument: Any) -> None:
    """The unit is a field of its own in the family and in every series."""
    made = instrument("read", "What was read", unit="bytes", registry=None)
    (family,) = made.collect()
    units = {family.unit, *(sample.series.unit for sample in family.samples)}
    assert ("read", {"bytes"}) == (family.name, units)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_series_are_described(instrument: Any) -> None:
    """Type and documentation reach the family and each of its series."""
    made = instrument("jobs", "What it says", registry=None)
    (family,) = made.collect()
    expected = (MetricType(instrument.__name__.lower()), "What it says")
    described = {(sample.series.type, sample.series.help_text) for sample in family.samples}
    assert ({expected}, expected) == (described, (family.type, family.documentation))


@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("9jobs", "d"), "metric name '9jobs' is not valid"),
        (("", "d"), "metric name '' is not valid"),
        (("jobs", "d", (), "no-good"), "metric name 'no-good_jobs' is not valid"),
        (("jobs", "d", (), "", "9"), "metric name '9_jobs' is not valid"),
        (("jobs", "a\x00b"), r"documentation 'a\x00b' has '\x00' at position 1"),
        (("jobs", "d", (), "", "", "\ud800"), r"unit '\ud800' has '\ud800' at position 0"),
        (("n" * 250, "d", (), "spaced"), "has 257 characters: at most 255 are allowed"),
    ],
)
def test_bad_description_is_refused(
    instrument: Any, arguments: tuple[object, ...], message: str
) -> None:
    """An invalid name or text is refused where the instrument is made, with the reason."""
    registry = Registry()
    with pytest.raises(InvalidMetricError) as refused:
        instrument(*arguments, registry=registry)
    assert message in str(refused.value)
    assert [] == registry.collectors()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize(
    "arguments", [(None, "d"), ("jobs", None), ("jobs", "d", (), 5), ("jobs", "d", (), "", "", 1)]
)
def test_description_that_is_no_text_is_refused(
    instrument: Any, arguments: tuple[object, ...]
) -> None:
    """A name or text that is no string raises a TypeError, as everywhere in Python."""
    registry = Registry()
    with pytest.raises(TypeError, match=r"must be a string|str object expected"):
        instrument(*arguments, registry=registry)
    assert [] == registry.collectors()


@pytest.mark.parametrize("max_series", [0, -1])
def test_bad_cap_is_refused(max_series: int) -> None:
    """An instrument keeps at least one series."""
    with pytest.raises(
        InvalidMetricError, match=f"max_series is {max_series}: it must be at least"
    ):
        Counter("jobs", "d", registry=None, max_series=max_series)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_instrument_is_shown_by_name(instrument: Any) -> None:
    """An instrument's repr shows its kind, its name and a child's labels."""
    made = instrument("jobs", "d", ["pool"], registry=None)
    kind = instrument.__name__
    shown = [f"{kind}('jobs')", f"{kind}('jobs', {{'pool': 'a'}})"]
    assert shown == [repr(made), repr(made.labels("a"))]
