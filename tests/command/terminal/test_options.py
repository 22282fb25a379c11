"""Times and durations as an operator writes them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from noetl_metrics_cli.terminal.options import (
    Label,
    PointInTime,
    duration_seconds,
    shown_duration,
)

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30", 30), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("7d", 604_800), ("1w", 604_800),
     ("", None), ("h", None), ("-1s", None), ("1 h", None)],
)  # fmt: skip
def test_a_duration_has_a_unit(text, expected):
    """A number alone is seconds; anything else is none."""
    assert expected == duration_seconds(text)


def test_a_duration_is_shown_in_its_largest_unit():
    """As an operator would write it."""
    assert ["90s", "5m", "2h", "7d", "0.5s"] == [
        shown_duration(seconds) for seconds in (90, 300, 7200, 604_800, 0.5)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T12:00:00+01:00", datetime(2026, 1, 31, 11, tzinfo=UTC)),
        ("1769860800.5", datetime(2026, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31 12:00", datetime(2026, 1, 31, 12).astimezone()),
    ],
)  # fmt: skip
def test_a_time_is_absolute(text, expected):
    """Without an offset it is a time of this machine's zone."""
    assert expected == PointInTime().convert(text, None, None)


@pytest.mark.parametrize(("text", "seconds"), [("15m", 900), ("-1h", 3600), ("now", 0), ("90", 90)])
def test_a_time_is_how_long_it_is_ago(text, seconds):
    """A duration is subtracted from now."""
    before = datetime.now(UTC)
    moment = PointInTime().convert(text, None, None) + timedelta(seconds=seconds)
    assert before <= moment <= datetime.now(UTC)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01", "1e99", "9" * 30, "999999999d"])
def test_another_text_is_no_time(text):
    """The message says what a time looks like."""
    with pytest.raises(click.BadParameter, match="must be a time like 2026-01-31T12:00:00"):
        PointInTime().convert(text, None, None)


def test_a_label_has_a_name_and_a_value():
    """Only the first = separates them, and the value may be empty."""
    assert ("a", "b=c") == Label().convert("a=b=c", None, None)
    assert ("a", "") == Label().convert("a=", None, None)
    with pytest.raises(click.BadParameter, match="must be NAME=VALUE, like status=ok"):
        Label().convert("1a=b", None, None)
