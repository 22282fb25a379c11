"""Gauge: its amounts, its functions and all of its methods."""

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

from noetl_metrics_sdk import Gauge
from tests.sdk.instruments.readings import HUGE, MINUS_HUGE, NO_NUMBERS, value_of

if TYPE_CHECKING:
    from collections.abc import Callable


def test_gauge_goes_up_and_down() -> None:
    """`inc()` and `dec()` change a gauge, by one without an amount, and `set()` sets it."""
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
    """`set()` takes every float, also NaN and the infinities."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(value)
    assert repr(value) == repr(value_of(gauge))


@pytest.mark.parametrize("value", [3, True, Fraction(7, 2), "2.5"])
def test_gauge_is_a_float(value: Any) -> None:
    """The gauge converts by `float()`, as prometheus_client does."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(value)
    assert (float, float(value)) == (type(value_of(gauge)), value_of(gauge))


@pytest.mark.parametrize("method", [Gauge.inc, Gauge.dec])
@pytest.mark.parametrize(
    "amount", [math.nan, math.inf, -math.inf, HUGE, MINUS_HUGE, Decimal("NaN")]
)
def test_gauge_changes_by_finite_amounts(
    method: Callable[[Gauge, Any], None], amount: object
) -> None:
    """The gauge leaves out and counts an amount that no later one could take back."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(3)
    method(gauge, amount)
    assert (3.0, 1) == (value_of(gauge), gauge.amounts_left_out)


@pytest.mark.parametrize(
    ("value", "infinity"),
    [(10**5_000, math.inf), (-(10**400), -math.inf), (Fraction(-(10**400)), -math.inf)],
    ids=["10**5000", "-10**400", "Fraction"],
)
def test_gauge_beyond_a_float_is_infinite(value: Any, infinity: float) -> None:
    """`set()` takes a number that is too large for a float as infinite, and raises nothing."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(value)
    assert infinity == value_of(gauge)


@pytest.mark.parametrize("method", [Gauge.inc, Gauge.dec])
@pytest.mark.parametrize("amount", NO_NUMBERS)
def test_gauge_refuses_what_is_no_number(
    method: Callable[[Gauge, Any], None], amount: object
) -> None:
    """The gauge refuses what is no number; its TypeError says what is."""
    gauge = Gauge("queue", "d", registry=None)
    with pytest.raises(TypeError, match=r"Gauge\('queue'\): .* give a number, like 1 or 0.25"):
        method(gauge, amount)
    assert 0.0 == value_of(gauge)


@pytest.mark.parametrize("value", ["high", None, b"x", [1.0], 1j])
def test_gauge_is_not_set_to_what_is_no_number(value: Any) -> None:
    """The gauge refuses what `float()` does not take, and keeps its value."""
    gauge = Gauge("queue", "d", registry=None)
    gauge.set(3)
    with pytest.raises(TypeError, match=r"Gauge\('queue'\): .* give a number, like 1 or 0.25"):
        gauge.set(value)
    assert 3.0 == value_of(gauge)


def test_setting_is_not_lost_to_an_increment() -> None:
    """`set()` during another thread's `inc()` comes before or after it, and is never lost."""
    gauge = Gauge("queue", "d", registry=None)
    gauge._direct = False
    setter = threading.Thread(target=gauge.set, args=(100.0,))
    with gauge.definition.lock:
        setter.start()
        # The test would be right without this wait. It gives a set() that takes no lock the time to
        # slip in while the lock is held, as by an inc().
        setter.join(timeout=0.2)
        assert 0.0 == gauge.value
    setter.join()
    assert 100.0 == value_of(gauge)


def test_gauge_is_set_to_the_current_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """`set_to_current_time()` takes the seconds of the wall clock."""
    gauge = Gauge("last_success", "d", registry=None)
    monkeypatch.setattr(time, "time", lambda: 1_700_000_000.5)
    gauge.set_to_current_time()
    assert 1_700_000_000.5 == value_of(gauge)


def test_gauge_asks_its_function() -> None:
    """A gauge with a function has the function's value at each collection."""
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
    """The gauge reports a function that recovers, and logs its next failure again."""
    divisors = iter([2.0, 0.0, 0.0, 0.25, 0.0])
    gauge = Gauge("queue", "d", registry=None)
    gauge.set_function(lambda: 1 / next(divisors))
    seen = [[sample.value for sample in gauge.collect()[0].samples] for _ in range(5)]
    assert ([[0.5], [], [], [4.0], []], 2) == (seen, len(caplog.records))
