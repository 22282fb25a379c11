"""What Python does with objects in general, done with instruments: copies, mocks, signatures."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any
from unittest import mock

import pytest

from noetl_metrics_sdk import Counter, Enum, Gauge, Histogram, Info, Summary

INSTRUMENTS = [Counter, Gauge, Histogram, Summary]
MADE = [
    *[lambda kind=kind: kind("a", "A", registry=None) for kind in [*INSTRUMENTS, Info]],
    lambda: Enum("a", "A", states=["b"], registry=None),
    lambda: Counter("a", "A", ["l"], registry=None).labels("x"),
]


@pytest.mark.parametrize("make", MADE)
def test_a_copy_counts_in_the_same_series(make: Any) -> None:
    """A copy of an object that has an instrument goes on to count where the original does."""
    made = make()
    copied = copy.deepcopy({"instrument": [made]})
    assert made is copy.copy(made)
    assert made is copied["instrument"][0]


@pytest.mark.parametrize("make", MADE)
def test_an_instrument_is_not_pickled(make: Any) -> None:
    """Its counts are this process's own; the error says where another process gets its own."""
    with pytest.raises(TypeError, match="cannot be pickled: each process makes it anew"):
        pickle.dumps(make())


@pytest.mark.parametrize(
    ("instrument", "method"),
    [(Counter, "inc"), (Gauge, "set"), (Histogram, "observe"), (Summary, "observe")],
)
def test_a_method_can_be_replaced_on_its_class(instrument: Any, method: str) -> None:
    """`mock.patch.object(Counter, "inc")` works on either build, and the original comes back."""
    made = instrument("a", "A", registry=None)
    with mock.patch.object(instrument, method) as replaced:
        getattr(made, method)(1)
    replaced.assert_called_once_with(1)
    getattr(made, method)(1)
    assert 1 in made.values()


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_methods_have_a_signature(instrument: Any) -> None:
    """`inspect.signature()` and an autospec read them on either build."""
    made = instrument("a", "A", ["l"], registry=None)
    assert ["values", "labels"] == list(inspect.signature(made.labels).parameters)
    mock.create_autospec(made).labels("x")
