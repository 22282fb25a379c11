"""The numbers that instruments take: which are refused, and what the refusal says."""

from __future__ import annotations

import warnings
from typing import Final, SupportsFloat

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.locking import COMPILED

INFINITY: Final = float("inf")
MINUS_INFINITY: Final = float("-inf")

ONE: Final = 1
"""The default amount of `inc()`, to be recognised without being converted."""


def as_float(instrument: object, amount: SupportsFloat) -> float:
    """Return an amount as a float.

    Args:
        instrument: what the amount is for; named in the error.
        amount: an int, a float, or another library's number.

    Returns:
        The float; infinity for a whole number beyond what a float holds.

    Raises:
        TypeError: it is no number; text that reads like one is none either.
    """
    try:
        if type(amount) is int:
            return amount + 0.0  # interpreted, float() would take twice the time
        if hasattr(type(amount), "__float__"):  # as text has not
            return float(amount)
    except OverflowError:
        return INFINITY
    except (TypeError, ValueError) as error:
        raise not_a_number(instrument, amount) from error
    raise not_a_number(instrument, amount)


def not_a_number(instrument: object, amount: object) -> TypeError:
    """Return the error for an amount that is no number."""
    kind = type(amount).__name__
    return TypeError(f"{instrument}: {amount!r} is a {kind}: give a number, like 1 or 0.25")


def warn_of_exemplar() -> None:
    """Warn the caller of `inc()` or `observe()` that an exemplar is not kept."""
    warnings.warn(
        "exemplars are not kept: noetl.metric has no place for them",
        UserWarning,
        stacklevel=1 if COMPILED else 3,  # a compiled function has no place in the stack
    )


def not_finite(instrument: object, amount: SupportsFloat) -> InvalidMetricError:
    """Return the error for an observation that is NaN or infinite."""
    return InvalidMetricError(
        f"{instrument}.observe({amount!r}): an observation is a finite number; "
        "this one would spoil the sum for ever"
    )
