"""The body of `POST /api/metrics`: bytes to rows and rejects. Pure: no I/O, no clock.

A sample that cannot be stored is rejected on its own, with a reason that says what a right one
looks like; only a body that is no JSON, or of no known form, is refused whole.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from noetl_metrics_sdk.model import MetricType, check_label_name, check_metric_name, check_text
from server_stub.errors import BodyMalformedError, BodyTooLargeError
from server_stub.timestamps import parse_timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

RUNTIME_ID_MAX = 2**63 - 1
"""The largest value of a BIGINT."""

REASON_LENGTH_MAX = 300
"""A reason quotes what was wrong, which may be as long as the body."""

EXPECTED_FORM = (
    'send {"runtime_id": …, "metrics": [sample, …]}, an array of samples, or one sample; '
    "a sample has metric_name, metric_type and metric_value"
)

_TYPES = frozenset(metric_type.value for metric_type in MetricType)
_SPECIAL_VALUES = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}
_RUNTIME_MISSING = (
    "runtime_id is missing: give the sample or the body one, "
    "as answered by POST /api/worker/pool/register"
)
_EXPECTED_FIELDS = (
    "metric_name, metric_type: strings; metric_value: a number or 'NaN', '+Inf', '-Inf'; "
    "labels: an object of strings; help_text, unit: strings; runtime_id: an integer; "
    "timestamp: ISO 8601 with offset or epoch seconds"
)


class Row(NamedTuple):
    """A sample that can be stored.

    `position` is its place in the request. `runtime_id` is None where the body's
    `component_name` says whose it is. `labels` is JSON.
    """

    position: int
    runtime_id: int | None
    metric_name: str
    metric_type: str
    metric_value: float
    labels: str
    help_text: str | None
    unit: str | None
    timestamp: datetime


class Reject(NamedTuple):
    """A sample that cannot be stored: its place in the request, and why."""

    position: int
    reason: str


class ParsedBody(NamedTuple):
    """A body taken apart.

    `runtime_id` and `component_name` are those of the envelope, where it has them.
    """

    runtime_id: int | None
    component_name: str | None
    rows: list[Row]
    rejects: list[Reject]


class _Sample(msgspec.Struct):
    metric_name: str
    metric_type: str
    metric_value: float | str
    runtime_id: int | str | None = None
    labels: dict[str, str] | None = None
    help_text: str | None = None
    unit: str | None = None
    timestamp: float | str | None = None


class _Envelope(msgspec.Struct):
    metrics: list[msgspec.Raw]
    runtime_id: int | str | None = None
    component_name: str | None = None


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_sample_decoder = msgspec.json.Decoder(_Sample)
_encode_json = msgspec.json.Encoder().encode


def parse_body(body: bytes, received_at: datetime, samples_max: int) -> ParsedBody:
    """Return the rows and rejects of a request's body.

    Args:
        body: the body, decompressed.
        received_at: the time of samples that have none of their own.
        samples_max: how many samples a request may have.

    Raises:
        BodyMalformedError: it is not JSON or not of a known form.
        BodyTooLargeError: it has too many samples.
    """
    runtime_id, component_name, samples = _take_apart(body)
    if len(samples) > samples_max:
        raise BodyTooLargeError(
            f"the request has {len(samples)} samples, at most {samples_max} are allowed: "
            "send smaller batches"
        )
    if runtime_id is None and component_name is not None:
        try:
            check_text("component_name", component_name)
        except ValueError as error:
            raise BodyMalformedError(str(error)[:REASON_LENGTH_MAX]) from None
    rows: list[Row] = []
    rejects: list[Reject] = []
    for position, encoded in enumerate(samples):
        try:
            row = _parse_sample(position, encoded, runtime_id, received_at)
        except ValueError as error:
            rejects.append(Reject(position, _reason(error)))
        else:
            if row.runtime_id is None and component_name is None:
                rejects.append(Reject(position, _RUNTIME_MISSING))
            else:
                rows.append(row)
    return ParsedBody(runtime_id, component_name, rows, rejects)


def parse_runtime_id(value: str | int) -> int:
    """Return a runtime id that came as a string or as a number.

    Raises:
        ValueError: it is no 64-bit integer; the message says what is right.
    """
    number = -1
    if isinstance(value, int):
        number = value
    elif value.isascii() and value.isdecimal() and len(value) <= len(str(RUNTIME_ID_MAX)):
        number = int(value)
    if not 0 <= number <= RUNTIME_ID_MAX:
        raise ValueError(
            f"runtime_id {str(value)[:60]!r} is not valid: "
            f"it must be a whole number from 0 to {RUNTIME_ID_MAX}, as a number or a string"
        )
    return number


def _take_apart(body: bytes) -> tuple[int | None, str | None, Sequence[Any]]:
    """Return the envelope's runtime and the samples, each still JSON or already an object."""
    try:
        try:
            envelope = _decode(body)
        except (msgspec.ValidationError, RecursionError):
            raise
        except msgspec.DecodeError:
            # msgspec refuses the escape of a lone surrogate wherever it stands; the one sample
            # that has it must not sink the others, so the slower parser takes such a body.
            envelope = _decode_leniently(body)
        if envelope.runtime_id is None:
            return None, envelope.component_name, envelope.metrics
        return parse_runtime_id(envelope.runtime_id), envelope.component_name, envelope.metrics
    except RecursionError:
        raise BodyMalformedError(f"the body is nested too deeply: {EXPECTED_FORM}") from None
    except ValueError as error:
        detail = str(error)[:REASON_LENGTH_MAX]
        raise BodyMalformedError(f"the body is not valid ({detail}): {EXPECTED_FORM}") from None


def _decode(body: bytes) -> _Envelope:
    if body.lstrip()[:1] == b"[":
        return _Envelope(_array_decoder.decode(body))
    try:
        return _envelope_decoder.decode(body)
    except msgspec.ValidationError:
        if _is_one_sample(msgspec.json.decode(body)):
            return _Envelope([msgspec.Raw(body)])
        raise


def _decode_leniently(body: bytes) -> _Envelope:
    decoded = json.loads(body, parse_constant=_refuse_constant)
    if isinstance(decoded, list):
        return _Envelope(msgspec.convert(decoded, list[Any]))
    if _is_one_sample(decoded):
        return _Envelope([decoded])
    envelope = msgspec.convert(decoded, _LenientEnvelope)
    return _Envelope(envelope.metrics, envelope.runtime_id, envelope.component_name)


class _LenientEnvelope(msgspec.Struct):
    metrics: list[Any]
    runtime_id: int | str | None = None
    component_name: str | None = None


def _is_one_sample(decoded: object) -> bool:
    return isinstance(decoded, dict) and "metric_name" in decoded and "metrics" not in decoded


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON: write it as one of the strings 'NaN', '+Inf', '-Inf'")


def _parse_sample(
    position: int, encoded: Any, runtime_id: int | None, received_at: datetime
) -> Row:
    if isinstance(encoded, msgspec.Raw):
        sample = _sample_decoder.decode(encoded)
    else:
        sample = msgspec.convert(encoded, _Sample)
    check_metric_name(sample.metric_name)
    if sample.metric_type not in _TYPES:
        raise ValueError(
            f"metric_type {sample.metric_type!r} is not valid: use one of {', '.join(MetricType)}"
        )
    for name, value in (sample.labels or {}).items():
        check_label_name(name)
        check_text(f"label {name!r}", value)
    return Row(
        position,
        runtime_id if sample.runtime_id is None else parse_runtime_id(sample.runtime_id),
        sample.metric_name,
        sample.metric_type,
        _parse_value(sample.metric_value),
        _encode_json(sample.labels or {}).decode(),
        None if sample.help_text is None else check_text("help_text", sample.help_text),
        None if sample.unit is None else check_text("unit", sample.unit),
        received_at if sample.timestamp is None else parse_timestamp(sample.timestamp),
    )


def _parse_value(value: float | str) -> float:
    if not isinstance(value, str):
        return value
    number = _SPECIAL_VALUES.get(value)
    if number is None:
        raise ValueError(
            f"metric_value {value!r} is not valid: "
            "use a number, or one of the strings 'NaN', '+Inf', '-Inf'"
        )
    return number


def _reason(error: ValueError) -> str:
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        detail = f"{error}; right is {_EXPECTED_FIELDS}"
    else:
        detail = str(error)
    # What a client sent may hold half of a surrogate pair, which no answer can carry.
    storable = detail.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    if len(storable) <= REASON_LENGTH_MAX:
        return storable
    return storable[: REASON_LENGTH_MAX - 1] + "…"
