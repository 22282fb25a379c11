"""Points in time as clients write them: RFC 3339 in every form, and epoch seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from server_stub.timestamps import parse_timestamp, parse_timestamp_parameter

pytestmark = pytest.mark.once

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T12:00:00z", NOON),
        ("2026-01-31t12:00:00z", NOON),
        ("2026-01-31 12:00:00z", NOON),
        ("2026-01-31T13:30:00.25+01:30", NOON + timedelta(seconds=0.25)),
        ("2026-01-31T13:30:00 01:30", NOON),
        ("2026-01-31T12:00:00.500 00:00", NOON + timedelta(seconds=0.5)),
        ("2026-01-31T23:59:60Z", MIDNIGHT),
        ("2026-01-31T23:59:60.5z", MIDNIGHT + timedelta(seconds=0.5)),
        ("2026-02-01T05:29:60+05:30", MIDNIGHT),
        ("2026-01-31T24:00:00Z", MIDNIGHT),
        ("2026-01-31T24:00:00.000+00:00", MIDNIGHT),
    ],
)
def test_every_form_of_rfc_3339_is_read(text: str, moment: datetime) -> None:
    """Letters of either case, a leap second, the end of a day, and a + that became a space."""
    assert (moment, moment) == (parse_timestamp(text), parse_timestamp_parameter(text))


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:60Z", "2026-01-31T23:59:61Z", "2026-01-31T24:00:01Z",
        "2026-01-31T24:01:00Z", "2026-01-31T25:00:00Z", "2026-01-32T12:00:00z",
        "9999-12-31T24:00:00Z", "2026-01-31T12:00:00 ", "2026-01-31T12:00:00x", "yesterday", "",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    """The message shows the text, and what a right one looks like."""
    with pytest.raises(ValueError, match="is not valid: use ISO 8601 with an offset"):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("number", "unit"),
    [
        (1_769_860_800_000.0, "milliseconds"),
        (1_769_860_800_000_000.0, "microseconds"),
        (1_769_860_800_000_000_000.0, "nanoseconds"),
    ],
)
def test_a_smaller_unit_is_named(number: float, unit: str) -> None:
    """The message says which unit the number is in, and which seconds are meant."""
    expected = f"is in {unit}, by its size: write epoch seconds, 1769860800.0"
    for value in (number, int(number)):
        with pytest.raises(ValueError, match=expected):
            parse_timestamp(value)
    with pytest.raises(ValueError, match=expected):
        parse_timestamp_parameter(str(int(number)))


@pytest.mark.parametrize("number", [1e13 * 1e12, -1e12, 1e308])
def test_a_number_of_no_unit_is_out_of_range(number: float) -> None:
    """A number that is no time in any unit is said to be out of range."""
    with pytest.raises(ValueError, match="years 1 to 9999"):
        parse_timestamp(number)
