"""Convert the numbers that a job gives to an instrument, and refuse what is no number."""

from __future__ import annotations

import warnings
from typing import Any, Final, SupportsFloat

from noetl_metrics_sdk.instruments.locking import COMPILED

INFINITY: Final = float("inf")
MINUS_INFINITY: Final = float("-inf")

ONE: Final = 1
"""The default amount of `inc()`, which then knows it by its identity and does not convert it."""


def as_float(instrument: object, amount: SupportsFloat) -> float:
    """Return an amount as a float.

    Args:
        instrument: the instrument that gets the amount; the error names it.
        amount: an int, a float, or another library's number.

    Returns:
        The float; infinity, with the number's sign, for a number that is too large for a float.

    Raises:
        TypeError: the amount is no number. A text like "1" is no number either.
    """
    try:
        if type(amount) is int:
            return amount + 0.0  # in interpreted code float() would take twice the time
        if hasattr(type(amount), "__float__"):  # a text has no such method
            return float(amount)
    except OverflowError:
        return _infinity_of_the_sign_of(amount)
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
        stacklevel=1 if COMPILED else 3,  # a compiled function has no frame in the stack
    )


def _infinity_of_the_sign_of(amount: Any) -> float:
    return MINUS_INFINITY if amount < 0 else INFINITY
