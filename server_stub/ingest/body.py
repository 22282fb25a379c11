"""The body of `POST /api/metrics`: bytes become samples. Pure: no I/O, no clock.

The server rejects a sample that it cannot read on its own, with a reason that says what is right.
It refuses a whole body only if the body is no JSON, of no known form, or has too many samples.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from noetl_metrics_sdk.model.names import check_text
from server_stub.components.runtime_id import parse_runtime_id
from server_stub.errors import BodyMalformedError
from server_stub.ingest.body_values import check_values

if TYPE_CHECKING:
    from collections.abc import Sequence

REASON_LENGTH_MAX = 300
"""A reason quotes the wrong value, which may be as long as the body."""
ERRORS_MAX = 500
"""How many of a batch's rejected samples an answer names: the first ones. All are counted. A client
bounds what it reads, and the answer is kept for a repeat."""

EXPECTED_FORM = (
    'send {"runtime_id": …, "metrics": [sample, …]}, an array of samples, or one sample; '
    "a sample has metric_name, metric_type and metric_value"
)

_EXPECTED_FIELDS = (
    "metric_name, metric_type: strings; metric_value: a number or 'NaN', '+Inf', '-Inf'; "
    "labels: an object of strings; help_text, unit: strings; runtime_id: an integer; "
    "timestamp: ISO 8601 with offset or epoch seconds"
)


class Sample(msgspec.Struct, gc=False):
    """A sample as a client wrote it; `labels` is JSON, or b"" if it has none.

    The labels stay undecoded, because the same ones come with every batch.
    """

    metric_name: str
    metric_type: str
    metric_value: float | str
    runtime_id: int | float | str | None = None
    labels: msgspec.Raw = msgspec.Raw(b"")
    help_text: str | None = None
    unit: str | None = None
    timestamp: float | str | None = None


class Reject(NamedTuple):
    """A sample that cannot be stored: its place in the request, and why."""

    position: int
    reason: str


class ParsedBody(NamedTuple):
    """The parts of a body.

    `runtime_id` and `component_name` come from the envelope, if it has them. `positions` has the
    place of each sample in the request; the places of the rejects are missing there.
    """

    runtime_id: int | None
    component_name: str | None
    samples: Sequence[Sample]
    positions: Sequence[int]
    rejects: Sequence[Reject]


class _Envelope(msgspec.Struct):
    metrics: list[Sample]
    runtime_id: int | float | str | None = None
    component_name: str | None = None


class _UnreadEnvelope(msgspec.Struct):
    metrics: list[Any]
    runtime_id: int | float | str | None = None
    component_name: str | None = None


class _RawEnvelope(msgspec.Struct):
    metrics: list[msgspec.Raw]
    runtime_id: int | float | str | None = None
    component_name: str | None = None


class _LenientSample(msgspec.Struct):
    metric_name: str
    metric_type: str
    metric_value: float | str
    runtime_id: int | float | str | None = None
    labels: dict[str, str] | None = None
    help_text: str | None = None
    unit: str | None = None
    timestamp: float | str | None = None


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_array_decoder = msgspec.json.Decoder(list[Sample])
_raw_envelope_decoder = msgspec.json.Decoder(_RawEnvelope)
_raw_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_sample_decoder = msgspec.json.Decoder(Sample)
_encode_json = msgspec.json.Encoder().encode


def parse_body(body: bytes, samples_max: int) -> ParsedBody:
    """Return the samples and rejects of a request's body.

    Args:
        body: the body, decompressed.
        samples_max: how many samples a request may have.

    Raises:
        BodyMalformedError: it is not JSON or not of a known form.
        BodyTooLargeError: it has too many samples, or other values.
    """
    # The server makes objects of no more samples than it allows, however many the body has. The
    # name of the field may also be written with escapes, which begin in this way.
    if body.count(b'"metric_name"') + body.count(b"\\u00") <= samples_max:
        try:
            return _parse_at_once(body)
        except (msgspec.DecodeError, RecursionError):
            pass  # at least one sample is wrong: finding which one, and how, takes longer
    check_values(body, samples_max)
    envelope = _take_apart(body)
    samples: list[Sample] = []
    positions: list[int] = []
    rejects: list[Reject] = []
    for position, unread in enumerate(envelope.metrics):
        try:
            samples.append(_read_sample(unread))
        except ValueError as error:
            rejects.append(Reject(position, reason_of(error)))
        else:
            positions.append(position)
    runtime_id, component_name = _owner_of(envelope)
    return ParsedBody(runtime_id, component_name, samples, positions, rejects)


def _parse_at_once(body: bytes) -> ParsedBody:
    if _is_array(body):
        envelope = _Envelope(_array_decoder.decode(body))
    else:
        envelope = _envelope_decoder.decode(body)
    runtime_id, component_name = _owner_of(envelope)
    positions = range(len(envelope.metrics))
    return ParsedBody(runtime_id, component_name, envelope.metrics, positions, ())


def _owner_of(envelope: _Envelope | _UnreadEnvelope) -> tuple[int | None, str | None]:
    try:
        if envelope.runtime_id is not None:
            return parse_runtime_id(envelope.runtime_id), envelope.component_name
        if envelope.component_name is not None:
            check_text("component_name", envelope.component_name)
    except ValueError as error:
        raise BodyMalformedError(
            f"the body is not valid ({str(error)[:REASON_LENGTH_MAX]}): {EXPECTED_FORM}"
        ) from None
    return None, envelope.component_name


def reason_of(error: ValueError) -> str:
    """Return why a sample is rejected, in at most `REASON_LENGTH_MAX` characters."""
    if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
        detail = f"{error}; right is {_EXPECTED_FIELDS}"
    else:
        detail = str(error)
    # A client's text may hold half of a surrogate pair, which no answer can carry.
    storable = detail.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    if len(storable) <= REASON_LENGTH_MAX:
        return storable
    return storable[: REASON_LENGTH_MAX - 1] + "…"


def _is_array(body: bytes) -> bool:
    return body.lstrip()[:1] == b"["


def _take_apart(body: bytes) -> _UnreadEnvelope:
    """Return the envelope and the samples, each still JSON or already an object."""
    try:
        try:
            return _decode(body)
        except (msgspec.ValidationError, RecursionError):
            raise
        except msgspec.DecodeError:
            # msgspec refuses the escape of a lone surrogate wherever it stands. The sample that
            # has it must not sink the others, so the slower parser reads such a body.
            return _decode_leniently(body)
    except RecursionError:
        raise BodyMalformedError(f"the body is nested too deeply: {EXPECTED_FORM}") from None
    except ValueError as error:
        detail = str(error)[:REASON_LENGTH_MAX]
        raise BodyMalformedError(f"the body is not valid ({detail}): {EXPECTED_FORM}") from None


def _decode(body: bytes) -> _UnreadEnvelope:
    if _is_array(body):
        return _UnreadEnvelope(_raw_array_decoder.decode(body))
    try:
        envelope = _raw_envelope_decoder.decode(body)
    except msgspec.ValidationError:
        if _is_one_sample(msgspec.json.decode(body)):
            return _UnreadEnvelope([msgspec.Raw(body)])
        raise
    return _UnreadEnvelope(envelope.metrics, envelope.runtime_id, envelope.component_name)


def _decode_leniently(body: bytes) -> _UnreadEnvelope:
    decoded = json.loads(body, parse_constant=_refuse_constant)
    if isinstance(decoded, list):
        return _UnreadEnvelope(msgspec.convert(decoded, list[Any]))
    if _is_one_sample(decoded):
        return _UnreadEnvelope([decoded])
    return msgspec.convert(decoded, _UnreadEnvelope)


def _is_one_sample(decoded: object) -> bool:
    return isinstance(decoded, dict) and "metric_name" in decoded and "metrics" not in decoded


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON: write it as one of the strings 'NaN', '+Inf', '-Inf'")


def _read_sample(unread: Any) -> Sample:
    if isinstance(unread, msgspec.Raw):
        return _sample_decoder.decode(unread)
    lenient = msgspec.convert(unread, _LenientSample)
    labels = lenient.labels or {}
    # Only a body whose text has half of a surrogate pair comes here.
    for what, text in msgspec.structs.asdict(lenient).items():
        if isinstance(text, str):
            check_text(what, text)
    for name, value in labels.items():
        check_text(f"label {check_text('label name', name)!r}", value)
    return Sample(
        lenient.metric_name,
        lenient.metric_type,
        lenient.metric_value,
        lenient.runtime_id,
        msgspec.Raw(_encode_json(labels)),
        lenient.help_text,
        lenient.unit,
        lenient.timestamp,
    )
