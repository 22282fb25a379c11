"""What a check has found, and what to do about it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

CLOCK_SECONDS_MAX = 5.0
"""By how much clocks may differ; less does not show in a chart."""


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"
    SKIPPED = "skipped"


class Finding(NamedTuple):
    """What a check has found: its name, how bad it is, what it is, and what to do."""

    check: str
    state: State
    found: str
    to_do: str = ""


def ok(check: str, found: str, to_do: str = "") -> Finding:
    """Return that all is well."""
    return Finding(check, State.OK, found, to_do)


def warning(check: str, found: str, to_do: str) -> Finding:
    """Return what works, and may be better."""
    return Finding(check, State.WARNING, found, to_do)


def failure(check: str, found: str, to_do: str) -> Finding:
    """Return what does not work."""
    return Finding(check, State.FAILURE, found, to_do)


def skipped(check: str, found: str, to_do: str = "") -> Finding:
    """Return what could not be looked at."""
    return Finding(check, State.SKIPPED, found, to_do)


def clock_finding(check: str, whose: str, ahead_seconds: float) -> Finding:
    """Return how far another clock differs from this machine's.

    Args:
        check: the check.
        whose: whose clock it is.
        ahead_seconds: how far it is ahead; below 0 it is behind.
    """
    if abs(ahead_seconds) <= CLOCK_SECONDS_MAX:
        return ok(check, f"{whose} clock and this machine's agree")
    direction = "ahead of" if ahead_seconds > 0 else "behind"
    return warning(
        check,
        f"{whose} clock is {abs(ahead_seconds):.0f} s {direction} this machine's",
        "synchronize both by NTP: samples have the times of their workers' clocks",
    )
