"""The values that tests give to instruments, and how they read samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from noetl_metrics_sdk import Counter, Gauge, Histogram, Summary

NO_NUMBERS: list[Any] = ["1", None, b"1", [1.0], {}, 1j]
HUGE = pytest.param(10**400, id="10**400")
MINUS_HUGE = pytest.param(-(10**5_000), id="-10**5000")  # too large even to be shown


def sample_names(instrument: Any) -> set[str]:
    return {sample.name for family in instrument.collect() for sample in family.samples}


def value_of(instrument: Counter | Gauge) -> float:
    (family,) = instrument.collect()
    (sample,) = family.samples
    return sample.value


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


def values(instrument: Histogram | Summary) -> dict[str, float]:
    """Return the values by the sample's suffix, or by its `le` or `quantile`."""
    (family,) = instrument.collect()
    return {
        sample.labels.get("le", "")
        or sample.labels.get("quantile", "")
        or sample.name.removeprefix(family.name): sample.value
        for sample in family.samples
    }
