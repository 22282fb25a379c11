"""Check names, label values and ids: PostgreSQL and Prometheus must both be able to hold them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from noetl_metrics_sdk.errors import InvalidMetricError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

NAME_LENGTH_MAX = 255
"""A name is part of a B-tree key in PostgreSQL, and such a key has at most 2,704 bytes."""

# https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels
_METRIC_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

_NOT_OF_A_METRIC_NAME = re.compile("[^a-zA-Z0-9:]+")
_NOT_OF_A_LABEL_NAME = re.compile("[^a-zA-Z0-9]+")
_EXPORTED = "exported_"

# PostgreSQL's text and jsonb cannot hold NUL and halves of a surrogate pair.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def check_metric_name(name: str) -> str:
    """Return `name` if it is a valid metric name.

    Raises:
        InvalidMetricError: the name is not valid; the message says what a valid one looks like.
    """
    return _check_name("metric name", name, _METRIC_NAME, "letters, digits, '_' and ':'")


def check_label_name(name: str, reserved: tuple[str, ...] = ()) -> str:
    """Return `name` if it is a valid label name.

    Args:
        name: the label name.
        reserved: names of labels that the instrument gives its samples itself (`le`, `quantile`).

    Raises:
        InvalidMetricError: the name is not valid, begins with `__`, or is reserved.
    """
    _check_name("label name", name, _LABEL_NAME, "letters, digits and '_'", reserved)
    if name.startswith("__"):
        raise InvalidMetricError(
            f"label name {name!r} begins with '__', which is reserved: "
            f"use {_valid_name_like(name, reserved)!r}"
        )
    if name in reserved:
        raise InvalidMetricError(
            f"label name {name!r} is what this type of metric labels its own samples with: "
            "choose another"
        )
    return name


def converted_metric_name(name: str) -> str:
    """Return a name of any characters as a metric name: `http.server.duration` has `_` for dots.

    "Prometheus and OpenMetrics Compatibility" of OpenTelemetry's specification says so: one `_` for
    each run of other characters, and one before a digit at the beginning.
    """
    return _led_by_no_digit(_NOT_OF_A_METRIC_NAME.sub("_", name))


def converted_label_name(name: str) -> str:
    """Return a name of any characters as a label name: `http.route` is `http_route`."""
    return _led_by_no_digit(_NOT_OF_A_LABEL_NAME.sub("_", name))


def is_metric_name(name: str) -> bool:
    """Return whether a text is a metric name as it is, whatever its length."""
    return _METRIC_NAME.fullmatch(name) is not None


def is_label_name(name: str) -> bool:
    """Return whether a text is a label name as it is, whatever its length."""
    return _LABEL_NAME.fullmatch(name) is not None


def exported_name(name: str, taken: Collection[str]) -> str:
    """Return the name that a series' own label has beside labels that are added to the series.

    A label with the name of an added one gets `exported_` before its name, as in Prometheus. So
    does a label whose name has it already: `exported_worker_id` becomes
    `exported_exported_worker_id`. Therefore no two labels get the same name, and `own_name` finds
    each name again.

    Args:
        name: the name of the series' own label.
        taken: the names of the added labels.
    """
    bare = name
    while bare.startswith(_EXPORTED):
        bare = bare.removeprefix(_EXPORTED)
    return _EXPORTED + name if bare in taken else name


def own_name(shown: str, taken: Collection[str]) -> str:
    """Return the own name of a label, of which `exported_name` has made `shown`."""
    is_exported = shown.startswith(_EXPORTED) and exported_name(shown, taken) != shown
    return shown.removeprefix(_EXPORTED) if is_exported else shown


def check_text(what: str, text: str) -> str:
    """Return `text` if PostgreSQL can hold it.

    Args:
        what: the kind of the text, for the message: "label value", "unit".
        text: any string.

    Raises:
        InvalidMetricError: the text is no string, or has a NUL or half of a surrogate pair.
    """
    if not isinstance(text, str):
        raise InvalidMetricError(f"{what} {text!r} is a {type(text).__name__}: it must be a string")
    found = _UNSTORABLE.search(text)
    if found:
        raise InvalidMetricError(
            f"{what} {text!r} has {found.group()!r} at position {found.start()}: "
            "any text will do but NUL and lone surrogates, which PostgreSQL cannot store"
        )
    return text


def are_storable(texts: Iterable[str]) -> bool:
    """Return whether PostgreSQL can hold these texts."""
    return not any(_UNSTORABLE.search(text) for text in texts)


def storable(text: str) -> str:
    """Return `text` with U+FFFD in place of each NUL and each half of a surrogate pair."""
    return _UNSTORABLE.sub("\ufffd", text)


def _led_by_no_digit(name: str) -> str:
    return f"_{name}" if name[:1].isdigit() else name


def _check_name(
    what: str, name: str, pattern: re.Pattern[str], allowed: str, reserved: tuple[str, ...] = ()
) -> str:
    if not isinstance(name, str):
        raise InvalidMetricError(f"{what} {name!r} is a {type(name).__name__}: it must be a string")
    if not pattern.fullmatch(name):
        raise InvalidMetricError(
            f"{what} {name!r} is not valid: use {allowed}, not beginning with a digit, "
            f"like {_valid_name_like(name, reserved)!r}"
        )
    if len(name) > NAME_LENGTH_MAX:
        raise InvalidMetricError(
            f"{what} {name[:40] + '…'!r} has {len(name)} characters: "
            f"at most {NAME_LENGTH_MAX} are allowed"
        )
    return name


def _valid_name_like(name: str, reserved: tuple[str, ...]) -> str:
    # A name that begins with a letter is valid for a metric and for a label.
    like = re.sub("[^a-zA-Z0-9_]", "_", name).lstrip("0123456789_")[:NAME_LENGTH_MAX]
    return f"my_{like}" if like in reserved else like or "jobs"


def is_runtime_id(text: str) -> bool:
    """Return whether a text is a runtime id: a whole number that is not negative."""
    return text.isascii() and text.isdecimal()
