"""Points in time as clients write them: ISO 8601 with an offset, or seconds since the epoch."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_EXPECTED = "use ISO 8601 with an offset, like '2026-01-31T12:00:00+00:00', or epoch seconds"


def parse_timestamp(value: str | float) -> datetime:
    """Return the point in time that a client wrote, in UTC.

    Args:
        value: an ISO 8601 string with an offset, or seconds since the epoch.

    Raises:
        ValueError: it is neither, or it lies outside the years 1 to 9999; the message says what is
            right.
    """
    try:
        if isinstance(value, str):
            return _parse_iso(value)
        if not math.isfinite(value):
            raise ValueError(f"timestamp {value!r} is not a point in time: {_EXPECTED}")
        return datetime.fromtimestamp(value, UTC)
    except (OverflowError, OSError) as error:
        raise ValueError(
            f"timestamp {value!r} is out of range: it must lie in the years 1 to 9999"
        ) from error


def parse_timestamp_parameter(text: str) -> datetime:
    """Return the point in time of a query parameter, which has epoch seconds as text too.

    Raises:
        ValueError: as `parse_timestamp`.
    """
    return parse_timestamp(float(text) if _NUMBER.fullmatch(text) else text)


def to_epoch_microseconds(moment: datetime) -> int:
    """Return a point in time as microseconds since the epoch, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_epoch_microseconds(microseconds: int) -> datetime:
    """Return the point in time of a number of microseconds since the epoch, in UTC.

    Raises:
        ValueError: it lies outside the years 1 to 9999.
    """
    try:
        return _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        raise ValueError(
            f"{microseconds} microseconds since the epoch is out of range: "
            "it must lie in the years 1 to 9999"
        ) from None


def format_timestamp(moment: datetime) -> str:
    """Return a point in time as every answer writes it: ISO 8601 in UTC, to the microsecond."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _parse_iso(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"timestamp {text[:60]!r} is not valid: {_EXPECTED}") from None
    if moment.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no offset from UTC: {_EXPECTED}")
    return moment.astimezone(UTC)
