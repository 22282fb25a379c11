"""Points in time as clients write them: ISO 8601 with an offset, or seconds since the epoch."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_SMALLER_UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
_PLAUSIBLE_SECONDS = (86_400.0 * 365, 86_400.0 * 365 * 200)
"""From the year 1971 to the year 2170: a number of this many seconds is probably a time."""

# What datetime.fromisoformat() does not take. A space may be a "+" that a client has not escaped.
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+\- ])(\d\d:?\d\d))"
)
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
        return _from_epoch(value)
    except OverflowError:
        raise ValueError(
            f"timestamp {value!r} is out of range: it must lie in the years 1 to 9999"
        ) from None


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


def _from_epoch(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        pass  # what the platform says of it names a year, which helps little
    for unit, per_second in _SMALLER_UNITS.items():
        meant = seconds / per_second
        if _PLAUSIBLE_SECONDS[0] <= meant <= _PLAUSIBLE_SECONDS[1]:
            raise ValueError(
                f"timestamp {seconds!r} is in {unit}, by its size: write epoch seconds, {meant!r}"
            )
    raise OverflowError


def _parse_iso(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = _parse_rfc_3339(text)
    if moment.tzinfo is None:
        raise ValueError(f"timestamp {text!r} has no offset from UTC: {_EXPECTED}")
    return moment.astimezone(UTC)


def _parse_rfc_3339(text: str) -> datetime:
    """Return a time that has a leap second, ends a day as 24:00:00, or is written unusually.

    Source: https://www.rfc-editor.org/rfc/rfc3339#section-5.6. A leap second is the next second, as
    in POSIX.
    """
    not_valid = f"timestamp {text[:60]!r} is not valid: {_EXPECTED}"
    found = _RFC_3339.fullmatch(text)
    if found is None:
        raise ValueError(not_valid)
    day, minutes, second, fraction, sign, offset = found.groups(default="")
    is_leap_second = second == "60"
    is_end_of_day = minutes == "24:00" and second == "00" and not fraction.strip(".0")
    try:
        moment = datetime.fromisoformat(
            f"{day}T{'00:00' if is_end_of_day else minutes}:{'59' if is_leap_second else second}"
            f"{fraction}{sign.replace(' ', '+')}{offset or '+00:00'}"
        ).astimezone(UTC)
        shifted = moment + timedelta(days=is_end_of_day, seconds=is_leap_second)
    except (ValueError, OverflowError):
        raise ValueError(not_valid) from None
    if is_leap_second and (moment.hour, moment.minute) != (23, 59):
        raise ValueError(not_valid)
    return shifted
