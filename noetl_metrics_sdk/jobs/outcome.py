"""Decide how a job ended: by the exception that left it, or by what its result says.

Why so: docs/decisions/jobs.md.
"""

from __future__ import annotations

import sys
from typing import NamedTuple, TypeAlias, cast

from noetl_metrics_sdk.errors import InvalidMetricError

Verdict: TypeAlias = "str | BaseException | tuple[str, object] | None"
"""What an `outcome=` may return: a status, a failure's exception, a status with a kind, or None."""

# Each is the cancellation of a library: asyncio, executors, gevent and eventlet, trio.
_CANCELLATIONS = (
    ("asyncio", "CancelledError"),
    ("concurrent.futures", "CancelledError"),
    ("greenlet", "GreenletExit"),
    ("trio", "Cancelled"),
)


class Outcome(NamedTuple):
    """How a job ended.

    Args:
        status: `completed`, `failed`, `cancelled` or `unknown`.
        kind: of a failure, the name of an exception's class, or a word of the job's own.
    """

    status: str
    kind: str = ""


COMPLETED = Outcome("completed")
CANCELLED = Outcome("cancelled")


def failed(kind: object) -> Outcome:
    """Return the outcome of a failure.

    Args:
        kind: an exception, an exception class, or a text.
    """
    if isinstance(kind, BaseException):
        kind = type(kind)
    return Outcome("failed", kind.__name__ if isinstance(kind, type) else str(kind))


def outcome_of_exception(exception: BaseException | None) -> Outcome:
    """Return the outcome of a job that an exception left, or None left as an exception."""
    if exception is None:
        return COMPLETED
    if isinstance(exception, SystemExit) and exception.code in (None, 0):
        return COMPLETED
    if _is_cancellation(exception):
        return CANCELLED
    return failed(exception)


def outcome_of_verdict(verdict: Verdict) -> Outcome:
    """Return the outcome that an `outcome=` has returned.

    Raises:
        InvalidMetricError: it may not return this.
    """
    if verdict is None:
        return COMPLETED
    if isinstance(verdict, BaseException):
        return outcome_of_exception(verdict)
    if verdict == "completed":
        return COMPLETED
    if verdict == "cancelled":
        return CANCELLED
    if verdict == "failed":
        return failed("")
    if isinstance(verdict, tuple) and len(verdict) == len(("failed", "kind")):
        status, kind = verdict
        if status == "failed":
            return failed(kind)
    raise InvalidMetricError(
        f"outcome= returned {verdict!r}: it may return None or 'completed', 'failed', 'cancelled', "
        "('failed', kind), or an exception"
    )


def _is_cancellation(exception: BaseException) -> bool:
    # Closing a generator early counts as cancelling it, as does cancelling a task or a future.
    if isinstance(exception, GeneratorExit):
        return True
    # A group that holds nothing else is what several cancelled tasks leave.
    if isinstance(exception, BaseExceptionGroup):
        group = cast("BaseExceptionGroup[BaseException]", exception)
        return all(_is_cancellation(one) for one in group.exceptions)
    # If a job raises one of these, the program has loaded its module already. Importing asyncio
    # here would take longer than importing all the rest of this package.
    for module, name in _CANCELLATIONS:
        cancelled = getattr(sys.modules.get(module), name, None)
        if cancelled is not None and isinstance(exception, cancelled):
            return True
    return False
