"""Counter and Gauge: names, amounts, and every method.  Histogram and Summary: test_observing."""

from __future__ import annotations

import logging
import math
import threading
import time
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
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

if TYPE_CHECKING:
    from collections.abc import Callable

INSTRUMENTS = [Counter, Gauge, Histogram, Summary]
NO_NUMBERS: list[Any] = ["1", None, b"1", [1.0], {}, 1j]
HUGE = pytest.param(10**400, id="10**400")
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def value_of(instrument: Counter | Gauge) -> float:
    (family,) = instrument.collect()
    (sample,) = family.samples
    return sample.value


def sample_names(instrument: Any) -> set[str]:
    return {sample.name for family in instrument.collect() for sample in family.samples}


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_name_is_joined(instrument: Any) -> None:
    """Namespace, subsystem and name are joined by underscores."""
    made = instrument("jobs", "Jobs", namespace="noetl", subsystem="worker", registry=None)
    assert "noetl_worker_jobs" == made.name


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_empty_parts_are_left_out(instrument: Any) -> None:
    """A name without namespace begins with the subsystem, or with itself."""
    made = instrument("jobs", "Jobs", (), "", "worker", registry=None)
    assert "worker_jobs" == made.name


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_unit_does_not_change_the_name(instrument: Any) -> None:
    """The unit is a field of its own of the family and of every series."""
    made = instrument("read", "What was read", unit="bytes", registry=None)
    (family,) = made.collect()
    units = {family.unit, *(sample.series.unit for sample in family.samples)}
    assert ("read", {"bytes"}) == (family.name, units)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_series_are_described(instrument: Any) -> None:
    """Type and documentation reach the family and every one of its series."""
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
    """A name or text that is not valid is refused where the instrument is made, and why."""
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
    """A name or text that is no string is a TypeError, as everywhere in Python."""
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


@pytest.mark.parametrize("name", ["jobs", "jobs_total"])
def test_counter_is_reported_with_total(name: str) -> None:
    """A counter's sample ends in `_total` once, whether its name said so or not."""
    counter = Counter(name, "d", registry=None)
    assert ("jobs", {"jobs_total"}) == (counter.name, sample_names(counter))


def test_total_alone_is_no_name() -> None:
    """Without its suffix nothing would be left of the name."""
    with pytest.raises(InvalidMetricError, match="metric name '' is not valid"):
        Counter("_total", "d", registry=None)


@given(st.lists(st.integers(0, 2**40) | st.booleans()))
def test_counter_adds_up(amounts: list[int]) -> None:
    """A counter is the sum of its increments."""
    counter = Counter("jobs", "d", registry=None)
    for amount in amounts:
        counter.inc(amount)
    assert float(sum(amounts)) == value_of(counter)


def test_counter_goes_up_by_one() -> None:
    """Without an amount a counter goes up by one."""
    counter = Counter("jobs", "d", registry=None)
    counter.inc()
    counter.inc(0)
    assert 1.0 == value_of(counter)


@pytest.mark.parametrize(
    "amount", [math.nan, math.inf, -math.inf, -1, -1e-300, HUGE, Decimal("NaN")]
)
def test_counter_refuses_what_would_spoil_it(amount: Any) -> None:
    """NaN, infinity, a negative amount and what no float holds leave the total as it was."""
    counter = Counter("jobs", "d", registry=None)
    counter.inc(2)
    with pytest.raises(InvalidMetricError, match="goes up by a finite number that is not negative"):
        counter.inc(amount)
    assert 2.0 == value_of(counter)


@pytest.mark.parametrize("amount", NO_NUMBERS)
def test_counter_refuses_what_is_no_number(amount: Any) -> None:
    """The message names the instrument, the value and its type."""
    counter = Counter("jobs", "d", registry=None)
    with pytest.raises(TypeError) as refused:
        counter.inc(amount)
    kind = type(amount).__name__
    assert f"Counter('jobs'): {amount!r} is a {kind}: give a number, like 1 or 0.25" == str(
        refused.value
    )
    assert 0.0 == value_of(counter)


def test_counter_is_reset() -> None:
    """`reset()` sets a counter back to zero."""
    counter = Counter("jobs", "d", registry=None)
    counter.inc(5)
    counter.reset()
    assert 0.0 == value_of(counter)


def test_resetting_one_child_leaves_the_others() -> None:
    """`reset()` on a child is its own affair."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    counter.labels("a").inc()
    counter.labels("b").inc()
    counter.labels("a").reset()
    assert (0.0, 1.0) == (value_of(counter.labels("a")), value_of(counter.labels("b")))


def test_exemplar_warns_where_it_is_given() -> None:
    """An exemplar is accepted, and a warning says at the caller's line that it is not kept."""
    counter = Counter("jobs", "d", registry=None)
    histogram = Histogram("sizes", "d", registry=None)
    with pytest.warns(UserWarning, match="exemplars are not kept") as warned:  # noqa: PT031
        # Both in one block, so that the two warnings can be compared.
        counter.inc(2, {"trace": "a"})
        histogram.observe(1, exemplar={"trace": "a"})
    assert [__file__, __file__] == [warning.filename for warning in warned]
    assert 2.0 == value_of(counter)


def test_gauge_goes_up_and_down() -> None:
    """A gauge is set, raised and lowered, by one unless told."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(10)
    gauge.inc()
    gauge.inc(2.5)
    gauge.inc(-1)
    gauge.dec()
    gauge.dec(4)
    assert 7.5 == value_of(gauge)


@given(st.floats())
def test_gauge_can_be_any_number(value: float) -> None:
    """A gauge can be set to every float, NaN and the infinities too."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(value)
    assert repr(value) == repr(value_of(gauge))


@pytest.mark.parametrize("value", [3, True, Fraction(7, 2), "2.5"])
def test_gauge_is_a_float(value: Any) -> None:
    """What `float()` takes becomes one, as with prometheus_client."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(value)
    assert (float, float(value)) == (type(value_of(gauge)), value_of(gauge))


@pytest.mark.parametrize("method", [Gauge.inc, Gauge.dec])
@pytest.mark.parametrize("amount", [math.nan, math.inf, -math.inf, HUGE, Decimal("NaN")])
def test_gauge_changes_by_finite_amounts(
    method: Callable[[Gauge, Any], None], amount: object
) -> None:
    """An amount that no later one could take back is refused, and the value stays."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(3)
    with pytest.raises(InvalidMetricError, match="up or down by a finite number; set"):
        method(gauge, amount)
    assert 3.0 == value_of(gauge)


@pytest.mark.parametrize("method", [Gauge.inc, Gauge.dec])
@pytest.mark.parametrize("amount", NO_NUMBERS)
def test_gauge_refuses_what_is_no_number(
    method: Callable[[Gauge, Any], None], amount: object
) -> None:
    """What is no number is refused with a TypeError that says what is."""
    gauge = Gauge("queue", "d", registry=None)
    with pytest.raises(TypeError, match=r"Gauge\('queue'\): .* give a number, like 1 or 0.25"):
        method(gauge, amount)
    assert 0.0 == value_of(gauge)


@pytest.mark.parametrize("value", ["high", None, b"x", [1.0], 1j, HUGE])
def test_gauge_is_not_set_to_what_is_no_number(value: Any) -> None:
    """What `float()` does not take is refused, and the value stays."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(3)
    with pytest.raises(TypeError, match=r"Gauge\('queue'\): .* give a number, like 1 or 0.25"):
        gauge.set(value)
    assert 3.0 == value_of(gauge)


def test_setting_is_not_lost_to_an_increment() -> None:
    """`set()` during another thread's `inc()` comes before or after it: it is never lost."""
    gauge = Gauge("queue", "d", registry=None)
    gauge._direct = False
    setter = threading.Thread(target=gauge.set, args=(100.0,))
    with gauge.definition.lock:
        setter.start()
        # Not waited for to be right: it only gives a set() that takes no lock the time to
        # slip in while the lock is held, as by an inc().
        setter.join(timeout=0.2)
        assert 0.0 == gauge.value
    setter.join()
    assert 100.0 == value_of(gauge)


def test_gauge_is_set_to_the_current_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """`set_to_current_time()` takes the wall clock's seconds."""
    gauge = Gauge("last_success", "d", registry=None)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.5)
    gauge.set_to_current_time()
    assert 1_700_000_000.5 == value_of(gauge)


def test_gauge_asks_its_function() -> None:
    """With a function, the gauge is what the function returns at each collection."""
    queue: list[str] = []
    gauge = Gauge("queue", "d", registry=None)
    gauge.set_function(lambda: len(queue))
    before = value_of(gauge)
    queue.append("job")
    assert (0.0, 1.0) == (before, value_of(gauge))


@pytest.mark.parametrize("bad", [lambda: 1 / 0, lambda: "many", lambda: None])
def test_gauge_is_left_out_while_its_function_fails(
    bad: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    """A function that raises or returns no number costs its own series, and is logged once."""
    gauge = Gauge("queue", "d", ["pool"], registry=None)
    gauge.labels("good").set(1)
    gauge.labels("bad").set_function(bad)
    with caplog.at_level(logging.ERROR, "noetl_metrics_sdk"):
        seen = [len(gauge.collect()[0].samples) for _ in range(3)]
    assert [1, 1, 1] == seen
    messages = [record.getMessage() for record in caplog.records]
    assert ["Gauge('queue', {'pool': 'bad'}) is left out while its function raises"] == messages
    assert caplog.records[0].exc_info is not None


def test_gauge_function_that_fails_anew_is_logged_anew(caplog: pytest.LogCaptureFixture) -> None:
    """A function that recovers is reported again, and its next failure is logged again."""
    divisors = iter([2.0, 0.0, 0.0, 0.25, 0.0])
    gauge = Gauge("queue", "d", registry=None)
    gauge.set_function(lambda: 1 / next(divisors))
    seen = [[sample.value for sample in gauge.collect()[0].samples] for _ in range(5)]
    assert ([[0.5], [], [], [4.0], []], 2) == (seen, len(caplog.records))


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_instrument_is_shown_by_name(instrument: Any) -> None:
    """An instrument's repr shows its kind, its name and a child's labels."""
    made = instrument("jobs", "d", ["pool"], registry=None)
    kind = instrument.__name__
    shown = [f"{kind}('jobs')", f"{kind}('jobs', {{'pool': 'a'}})"]
    assert shown == [repr(made), repr(made.labels("a"))]
