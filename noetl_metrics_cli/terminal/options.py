"""What the options of several commands are, and how their values are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from noetl_metrics_sdk.client.server_url import server_base_url
from noetl_metrics_sdk.model.names import is_label_name

if TYPE_CHECKING:
    from collections.abc import Callable

_Command = TypeVar("_Command", bound="Callable[..., Any]")

METRIC_TYPES = ("counter", "gauge", "histogram", "summary")

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw]?)")
_EPOCH_SECONDS = re.compile(r"\d{9,}(\.\d+)?")
_DURATION_SECONDS_MAX = 3_660 * 86_400


class Duration(click.ParamType[float]):
    """A duration like `30s`, `5m`, `2h` or `7d`; a number alone is seconds. The value: seconds."""

    name = "duration"

    def __init__(self, least: float, most: float = _DURATION_SECONDS_MAX) -> None:
        self._least = least
        self._most = most

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the seconds of a text."""
        if isinstance(value, (int, float)):
            return float(value)
        seconds = duration_seconds(value)
        if seconds is None or not self._least <= seconds <= self._most:
            self.fail(
                f"{value!r} must be a duration from {shown_duration(self._least)} to "
                f"{shown_duration(self._most)}, like 30s, 5m, 2h or 7d",
                param,
                ctx,
            )
        return seconds


class PointInTime(click.ParamType[datetime]):
    """A point in time, as a time of this machine or as how long it is ago. The value: UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the point in time of a text."""
        if isinstance(value, datetime):
            return value
        moment = _point_in_time(value.strip(), datetime.now(UTC))
        if moment is None:
            self.fail(
                f"{value!r} must be a time like 2026-01-31T12:00:00+00:00, '2026-01-31 12:00' (of "
                "this machine's time zone) or epoch seconds, or how long ago it is: 90s, 15m, 6h, "
                "7d, or now",
                param,
                ctx,
            )
        return moment


class ServerUrl(click.ParamType[str]):
    """The address of a server."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address before which every route stands."""
        try:
            return server_base_url(value)
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


class Label(click.ParamType[tuple[str, str]]):
    """A label, as `name=value`."""

    name = "label"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the name and the value of a label."""
        if isinstance(value, tuple):
            return value  # pyright: ignore[reportUnknownVariableType] - made by this method
        name, equals, text = value.partition("=")
        if not equals or not is_label_name(name):
            self.fail(f"{value!r} must be NAME=VALUE, like status=ok", param, ctx)
        return name, text


def duration_seconds(text: str) -> float | None:
    """Return the seconds of a text like `5m`, or None if it is no duration."""
    found = _DURATION.fullmatch(text.strip())
    return None if found is None else float(found[1]) * _SECONDS[found[2] or "s"]


def shown_duration(seconds: float) -> str:
    """Return a duration in the largest unit that holds it as a whole number."""
    for unit, size in reversed(_SECONDS.items()):
        if unit != "w" and seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def server_option(command: _Command) -> _Command:
    """Add the option for the address of the server."""
    return click.option(
        "--server",
        "server_url",
        type=ServerUrl(),
        metavar="URL",
        help="The server's address.  [NOETL_SERVER_URL; default http://localhost:8082]",
    )(command)


def json_option(command: _Command) -> _Command:
    """Add the option for an answer that a program reads."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def _point_in_time(text: str, now: datetime) -> datetime | None:
    if text == "now":
        return now
    try:
        if _EPOCH_SECONDS.fullmatch(text):
            return datetime.fromtimestamp(float(text), UTC)
        ago = duration_seconds(text.removeprefix("-"))
        if ago is not None:
            return now - timedelta(seconds=ago)
        # Without an offset it is a time of this machine's time zone.
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
