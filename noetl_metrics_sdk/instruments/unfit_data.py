"""Count and log what an instrument cannot keep as it is, and never raise into a job for it.

A job's data decides some amounts and label values: a measured ratio is NaN, a file's name has bytes
that are no text. An amount that would spoil a total for ever is left out. A label value that
PostgreSQL cannot store gets U+FFFD in place of what cannot be stored. Each instrument counts both,
and the log has the first of each, with its place in the program.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from noetl_metrics_sdk.model.names import storable

if TYPE_CHECKING:
    from noetl_metrics_sdk.instruments.definition import Definition

_PACKAGE = "noetl_metrics_sdk"


def leave_out(instrument: object, definition: Definition, method: str, amount: float) -> None:
    """Count an amount that is left out, and log the first one of the instrument.

    Args:
        instrument: the instrument; the log names it.
        definition: has the count.
        method: the method that got the amount.
        amount: NaN or infinity.
    """
    with definition.lock:
        definition.amounts_left_out += 1
        is_first = definition.amounts_left_out == 1
    if is_first:
        _warn(
            "%r.%s(%r) at %s: the amount is left out, as it would spoil the value for ever; "
            "amounts_left_out counts all of this instrument",
            instrument, method, amount, _place(),
        )  # fmt: skip


def replace_label_values(
    instrument: object, definition: Definition, label_values: tuple[str, ...]
) -> tuple[str, ...]:
    """Return label values that can be stored, count it, and log the first of the instrument.

    Args:
        instrument: the instrument; the log names it.
        definition: has the count.
        label_values: values that have NUL or halves of a surrogate pair.
    """
    with definition.lock:
        definition.label_values_replaced += 1
        is_first = definition.label_values_replaced == 1
    if is_first:
        _warn(
            "%r.labels() got %.200r at %s: U+FFFD replaces NUL and lone surrogates, which "
            "PostgreSQL cannot store; label_values_replaced counts all of this instrument",
            instrument, label_values, _place(),
        )  # fmt: skip
    return tuple(storable(value) for value in label_values)


def text_of(value: object) -> str:
    """Return a label value as text; a NUL, which is then replaced and counted, if it has none.

    A job's object may raise when it is asked for its text, and so does a number of very many
    digits.
    """
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a job's own object, whatever it raises
        return "\0"


def _place() -> str:
    """Return the place in the program that called this package."""
    import inspect  # noqa: PLC0415 - it takes longer to load than all the rest of this package

    frame = inspect.currentframe()
    assert frame is not None
    while frame.f_back is not None:
        frame = frame.f_back
        if str(frame.f_globals.get("__name__")).partition(".")[0] != _PACKAGE:
            break
    code = frame.f_code
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}"


def _warn(message: str, *arguments: object) -> None:
    import logging  # noqa: PLC0415 - making instruments does not load it

    logging.getLogger(_PACKAGE).warning(message, *arguments)
