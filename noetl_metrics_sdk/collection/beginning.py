"""When a series begins: the time of the sample of 0 before its first value. Pure.

A chart shows by how much a counter grows from one sample to the next. So it can show the first
count of a series only if there is a sample of 0 before it.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

from typing import Final

STEP_SECONDS: Final = 0.002
"""How far apart the samples of a series are at least. Time-series databases have milliseconds, and
would take two samples of the same millisecond for one."""

SETBACK_SECONDS_MAX: Final = 1.0
"""A clock that was set back by less waits, so that the samples of a series stay in order."""

AGE_SECONDS_MAX: Final = 3_600.0
"""How long before the first report of a series its beginning may lie. Prometheus takes no sample
that is an hour older than its newest, and a server may have no partition for it. What was counted
before is a jump in a chart, and not what the worker has done since."""


def times_of_beginning(
    previous_at: float, taken_at: float, *, was_there: bool
) -> tuple[float, float]:
    """Return the time of a series' sample of 0, and the time of its first value.

    Args:
        previous_at: the collection before, or the client's start, in seconds since the epoch.
        taken_at: when the first value was taken.
        was_there: whether the collection before had a value of the series, which has begun anew.
    """
    if was_there and taken_at >= previous_at:
        # The sample of 0 has to lie between the last value from before and the first one since.
        taken_at = max(taken_at, previous_at + 2 * STEP_SECONDS)
        return previous_at + (taken_at - previous_at) / 2, taken_at
    return min(previous_at, taken_at - STEP_SECONDS), taken_at


def time_of_collection(previous_at: float, taken_at: float) -> float:
    """Return the time of a collection's samples: a little after those of the previous one.

    Otherwise a sample of 0 and the first value after it could share a millisecond.

    Args:
        previous_at: the time of the latest sample of the previous collection.
        taken_at: what the clock says.
    """
    earliest_at = previous_at + STEP_SECONDS
    # If the clock was set back by more, the samples say what it says now.
    return earliest_at if previous_at - SETBACK_SECONDS_MAX < taken_at < earliest_at else taken_at


def time_of_told_beginning(
    created_at: float | None, previous_at: float | None, taken_at: float
) -> float | None:
    """Return the time of the sample of 0 of a series whose collector tells when it was 0.

    Args:
        created_at: the time that the collector tells, in seconds since the epoch, or None.
        previous_at: the time of the sample that was last sent of the series, or None.
        taken_at: when the value was taken.

    Returns:
        The time, at least a little before the value; None if the series has not begun since the
        previous sample, or longer before its first one than is of use.
    """
    if created_at is None or (previous_at is not None and created_at <= previous_at):
        return None
    if not 0.0 <= taken_at - created_at <= AGE_SECONDS_MAX:
        return None
    return min(created_at, taken_at - STEP_SECONDS)
