"""Samples as the buffer holds them, made of what a test would write down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noetl_metrics_sdk.collection.change_filter import parts_of
from noetl_metrics_sdk.model.stamped_sample import StampedSample

if TYPE_CHECKING:
    from noetl_metrics_sdk import Series


def stamped(series: Series, value: float, timestamp: float = 0.0) -> StampedSample:
    return StampedSample(*parts_of(series), value, timestamp)
