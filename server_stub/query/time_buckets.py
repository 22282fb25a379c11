"""The buckets of time of a chart: multiples of a step since the epoch. Pure: time is passed in."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from server_stub.errors import ParameterInvalidError
from server_stub.timestamps import from_epoch_microseconds, to_epoch_microseconds

POINTS_MAX = 11_000
"""The most points of a series, as in Prometheus: enough for a point a minute for a week."""

STEP_SECONDS_LEAST = 0.1
STEP_SECONDS_MAX = 31 * 86_400.0
RANGE_DEFAULT = timedelta(hours=1)

_MICROSECONDS = 1_000_000


class TimeBuckets(NamedTuple):
    """Whole buckets from `start_time` until before `end_time`, each `step_seconds` long."""

    start_time: datetime
    end_time: datetime
    step_seconds: float


def parse_step(text: str) -> float:
    """Return the length of a bucket in seconds, as a client wrote it.

    Raises:
        ParameterInvalidError: it is no number of seconds, or out of bounds.
    """
    try:
        seconds = round(float(text), 6)
    except ValueError:
        seconds = -1.0
    if not STEP_SECONDS_LEAST <= seconds <= STEP_SECONDS_MAX:  # a NaN is not
        raise ParameterInvalidError(
            f"query parameter step: {text[:60]!r} is not valid: it must be a number of seconds "
            f"from {STEP_SECONDS_LEAST:g} to {STEP_SECONDS_MAX:,.0f}, like 60"
        )
    return seconds


def cover(
    start_time: datetime | None, end_time: datetime | None, step_seconds: float, now: datetime
) -> TimeBuckets:
    """Return the whole buckets that cover a range.

    Args:
        start_time: where the range begins; None for an hour before its end.
        end_time: where the range ends; None for now.
        step_seconds: how long a bucket is.
        now: the time.

    Raises:
        ParameterInvalidError: the range is empty, too long, or leaves the years 1 to 9999.
    """
    end = now if end_time is None else end_time
    try:
        start = end - RANGE_DEFAULT if start_time is None else start_time
        step = round(step_seconds * _MICROSECONDS)
        first = to_epoch_microseconds(start) // step
        last = -(-to_epoch_microseconds(end) // step)  # rounded up
        buckets = TimeBuckets(
            from_epoch_microseconds(first * step),
            from_epoch_microseconds(last * step),
            step_seconds,
        )
    except (ValueError, OverflowError):
        raise ParameterInvalidError(
            f"the range up to {end.isoformat()} with a step of {step_seconds:g} seconds leaves the "
            "years 1 to 9999: give a later start_time or an earlier end_time"
        ) from None
    if not start < end:
        raise ParameterInvalidError(
            f"start_time {start.isoformat()} is not before end_time {end.isoformat()}: "
            "give an earlier start_time or a later end_time"
        )
    if last - first > POINTS_MAX:
        least_seconds = (end - start).total_seconds() / (POINTS_MAX - 1)
        raise ParameterInvalidError(
            f"a step of {step_seconds:g} seconds makes {last - first:,} points of each series, "
            f"at most {POINTS_MAX:,} are allowed: use a step of {least_seconds:.6g} seconds or "
            "longer, or a shorter range"
        )
    return buckets
