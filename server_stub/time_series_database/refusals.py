"""Why a receiver refuses samples, by the text of its answer. Pure: no I/O, no clock.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

from enum import StrEnum

LATE_SECONDS = 1800.0
"""How old a sample may be when it arrives and not count as late. Prometheus takes what is an hour
older than its newest sample."""

_OUT_OF_ORDER = ("out of order", "out-of-order", "duplicate sample")
_OUT_OF_BOUNDS = (
    "out of bounds", "out-of-bounds", "too old", "too-old", "too far in the future",
    "too-far-in-future",
)  # fmt: skip
"""How Prometheus, Mimir and Thanos say it."""


class Refusal(StrEnum):
    """Why a receiver refuses samples, as the statistics name it.

    - `out_of_order`: it has a later sample of the same series.
    - `out_of_bounds`: their times are too far from the newest sample of all series that it has, or
      from its clock. What it refuses today it may take tomorrow.
    - `refused`: anything else.
    """

    OUT_OF_ORDER = "out_of_order"
    OUT_OF_BOUNDS = "out_of_bounds"
    REFUSED = "refused"


def refusal_of(error: Exception) -> Refusal:
    """Return why a receiver refuses samples.

    Args:
        error: its message has the receiver's answer.
    """
    text = str(error).lower()
    if any(words in text for words in _OUT_OF_BOUNDS):
        return Refusal.OUT_OF_BOUNDS
    if any(words in text for words in _OUT_OF_ORDER):
        return Refusal.OUT_OF_ORDER
    return Refusal.REFUSED


def out_of_bounds_advice(error: Exception) -> str:
    """Return what to do about a receiver that refuses samples which were in time."""
    return (
        "it refuses samples that came in time, so its newest sample is of the future or they have "
        "waited for too long: give it an out_of_order_time_window that reaches back to them. "
        f"Nothing is dropped meanwhile ({error})"
    )
