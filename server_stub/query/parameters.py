"""Query parameters that choose samples, from text to values. Pure: no I/O, no clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from noetl_metrics_sdk.model.names import check_text
from server_stub.components.runtime_id import parse_runtime_id
from server_stub.errors import ParameterInvalidError
from server_stub.timestamps import parse_timestamp_parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DETAIL_LENGTH_MAX = 500
"""A message quotes the wrong value, which may be as long as the address of a request."""


def parse_filters(parameters: Mapping[str, object]) -> dict[str, Any]:
    """Return the filters among query parameters, in the form that the readers take.

    Args:
        parameters: the text of each parameter by its name; None for a parameter that was not given.
            Parameters that are no filters are left out. `labels` becomes two filters: `labels`, and
            `labels_absent` with the names whose values are empty.

    Raises:
        ParameterInvalidError: a parameter is not valid.
    """
    filters: dict[str, Any] = {}
    for name, parse in _PARSERS.items():
        text = parameters.get(name)
        if text is not None:
            filters[name] = _parse(name, str(text), parse)
    return _with_absent_labels(filters)


def _with_absent_labels(filters: dict[str, Any]) -> dict[str, Any]:
    """Return filters with the labels that a series must not have apart from those that it must."""
    labels: dict[str, str] | None = filters.pop("labels", None)
    if labels is None:
        return filters
    present = {name: value for name, value in labels.items() if value}
    # A label with an empty value is no label.
    absent = sorted(labels.keys() - present.keys())
    return (
        filters
        | ({"labels": present} if present else {})
        | ({"labels_absent": absent} if absent else {})
    )


def _parse(name: str, text: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(check_text("the value", text))
    except ValueError as error:
        detail = f"query parameter {name}: {error}"
        raise ParameterInvalidError(detail[:_DETAIL_LENGTH_MAX]) from None


def _parse_labels(text: str) -> dict[str, str]:
    try:
        labels = msgspec.convert(json.loads(text), dict[str, str])
    except (ValueError, RecursionError):
        raise ValueError(
            f'{text[:100]!r} is not valid: it must be a JSON object of strings, {{"status": "ok"}}'
        ) from None
    for name, value in labels.items():
        check_text("label name", name)
        check_text(f"label {name!r}", value)
    return labels


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "runtime_id": parse_runtime_id,
    "component_name": str,
    "metric_name": str,
    "metric_type": str,
    "start_time": parse_timestamp_parameter,
    "end_time": parse_timestamp_parameter,
    "labels": _parse_labels,
}
