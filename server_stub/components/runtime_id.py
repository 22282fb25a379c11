"""The id of a component, as clients may write it."""

from __future__ import annotations

RUNTIME_ID_MAX = 2**63 - 1
"""The largest value of a BIGINT."""

RUNTIME_ID_PATTERN = (
    "^([0-9]{1,18}|[1-8][0-9]{18}|9[01][0-9]{17}|92[01][0-9]{16}|922[0-2][0-9]{15}"
    "|9223[0-2][0-9]{14}|92233[0-6][0-9]{13})$"
)
"""The same bound as a regular expression, for OpenAPI, without the largest few in ten million."""


def parse_runtime_id(value: str | float) -> int:
    """Return a runtime id that came as a string or as a number.

    Raises:
        ValueError: it is no 64-bit integer; the message says what is right.
    """
    number = -1
    if isinstance(value, int):
        number = value
    elif isinstance(value, float):
        # In JSON, 7.0 is a whole number too.
        number = int(value) if value.is_integer() else -1
    elif value.isascii() and value.isdecimal() and len(value) <= len(str(RUNTIME_ID_MAX)):
        number = int(value)
    if not 0 <= number <= RUNTIME_ID_MAX:
        raise ValueError(
            f"runtime_id {str(value)[:60]!r} is not valid: "
            f"it must be a whole number from 0 to {RUNTIME_ID_MAX}, as a number or a string"
        )
    return number
