"""Samples as the buffer holds them, made from values that are easy to write in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noetl_metrics_sdk.collection.change_filter import parts_of
from noetl_metrics_sdk.model.stamped_sample import StampedSample

if TYPE_CHECKING:
    from noetl_metrics_sdk import Series


def stamped(series: Series, value: float, timestamp: float = 0.0) -> StampedSample:
    return StampedSample(*parts_of(series), value, timestamp)
