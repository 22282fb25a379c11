"""The body of `POST /api/metrics`: bytes become samples. Pure: no I/O, no clock.

The server rejects a sample that it cannot read on its own, with a reason that says what is right.
It refuses a whole body only if the body is no JSON, of no known form, or has too many samples.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from noetl_metrics_sdk.model.names import check_text
from server_stub.components.runtime_id import parse_runtime_id
from server_stub.errors import BodyMalformedError, BodyTooLargeError
from server_stub.ingest.body_values import check_values
from server_stub.ingest.rejection import RejectKind

if TYPE_CHECKING:
    from collections.abc import Sequence

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

REASON_LENGTH_MAX = 300
"""A reason quotes the wrong value, which may be as long as the body."""
ERRORS_MAX = 500
"""How many of a batch's rejected samples an answer names: the first ones. All are counted. A client
bounds what it reads, and the answer is kept for a repeat."""

ESCAPES_MAX = 250_000
"""How many backslashes a body may have. The parser takes 75 to 150 ns for each, and no other thread
runs meanwhile. The SDK's batches have a megabyte, in which there is room for fewer escapes."""

EXPLAINED_BYTES_MAX = 128 * 1024
"""Python's own parser explains what is wrong with a body up to this size, in a few milliseconds."""

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
    kind: RejectKind


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


class _RawEnvelope(msgspec.Struct):
    metrics: list[msgspec.Raw]
    runtime_id: int | float | str | None = None
    component_name: str | None = None


class _OneSample(msgspec.Struct):
    metric_name: msgspec.Raw
    metrics: msgspec.UnsetType = msgspec.UNSET


# Each escape of JSON, so that a backslash that is escaped itself begins no other one.
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([0-9a-fA-F]{4})|[^u])"
)
_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_UNSTORABLE = rb"\u0000"
"""Stands for half of a surrogate pair, which the parser does not read. It can be stored no better,
so its sample is rejected all the same. It is as long as the escape of a half."""
_SEARCHED_AT_ONCE_CHARACTERS = 256 * 1024
"""No other thread runs while one search goes on."""
_PLACE = re.compile(r"\(byte (\d+)\)")
_NO_NUMBER = re.compile(rb"NaN|-?Infinity")

_envelope_decoder = msgspec.json.Decoder(_Envelope)
_array_decoder = msgspec.json.Decoder(list[Sample])
_raw_envelope_decoder = msgspec.json.Decoder(_RawEnvelope)
_raw_array_decoder = msgspec.json.Decoder(list[msgspec.Raw])
_sample_decoder = msgspec.json.Decoder(Sample)
_one_sample_decoder = msgspec.json.Decoder(_OneSample)


def parse_body(body: bytes, samples_max: int) -> ParsedBody:
    """Return the samples and rejects of a request's body.

    Args:
        body: the body, decompressed.
        samples_max: how many samples a request may have.

    Raises:
        BodyMalformedError: it is not JSON or not of a known form.
        BodyTooLargeError: it has too many samples, other values, or escapes.
    """
    body = body.removeprefix(_BYTE_ORDER_MARK)
    if body.count(b"\\") > ESCAPES_MAX:
        raise BodyTooLargeError(
            f"the body has more than {ESCAPES_MAX} backslashes: send smaller batches, or texts in "
            "UTF-8 without escapes"
        )
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
            samples.append(_sample_decoder.decode(unread))
        except ValueError as error:
            rejects.append(Reject(position, reason_of(error), RejectKind.MALFORMED))
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


def _owner_of(envelope: _Envelope | _RawEnvelope) -> tuple[int | None, str | None]:
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


def _take_apart(body: bytes) -> _RawEnvelope:
    """Return the envelope, with the samples still as JSON: each is judged by itself."""
    try:
        try:
            return _decode(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # Half of a surrogate pair must not sink the samples beside it.
            return _decode(_with_whole_pairs(body))
    except RecursionError:
        raise BodyMalformedError(f"the body is nested too deeply: {EXPECTED_FORM}") from None
    except ValueError as error:
        detail = _explained(body, error)[:REASON_LENGTH_MAX]
        raise BodyMalformedError(f"the body is not valid ({detail}): {EXPECTED_FORM}") from None


def _decode(body: bytes) -> _RawEnvelope:
    if _is_array(body):
        return _RawEnvelope(_raw_array_decoder.decode(body))
    try:
        return _raw_envelope_decoder.decode(body)
    except msgspec.ValidationError:
        if _is_one_sample(body):
            return _RawEnvelope([msgspec.Raw(body)])
        raise


def _is_one_sample(body: bytes) -> bool:
    try:
        _one_sample_decoder.decode(body)
    except msgspec.ValidationError:
        return False
    return True


def _with_whole_pairs(body: bytes) -> bytes:
    """Return a body in which `_UNSTORABLE` stands for each half of a surrogate pair."""
    try:
        body.decode()
        whole = bytearray(body)
    except UnicodeDecodeError:
        # Some clients write UTF-16, and some write halves of pairs as they are.
        text = body.decode(json.detect_encoding(body), "surrogatepass")
        whole = bytearray()
        for begin in range(0, len(text), _SEARCHED_AT_ONCE_CHARACTERS):
            part = text[begin : begin + _SEARCHED_AT_ONCE_CHARACTERS]
            whole += _LONE_SURROGATES.sub(lambda _: _UNSTORABLE.decode(), part).encode()
    for escape in _ESCAPES.finditer(bytes(whole)):
        code = escape[1]
        if code is not None and _LONE_SURROGATES.match(chr(int(code, 16))):
            whole[escape.start() : escape.end()] = _UNSTORABLE
    return bytes(whole)


def _explained(body: bytes, error: ValueError) -> str:
    """Return why a body is no JSON; Python's parser says it better where a number is NaN."""
    if isinstance(error, msgspec.ValidationError):
        return str(error)
    try:
        if len(body) <= EXPLAINED_BYTES_MAX:
            json.loads(body, parse_constant=_refuse_constant, parse_int=str)
        elif place := _PLACE.search(str(error)):
            # The parser has stopped at the first letter, behind a sign.
            begin = max(0, int(place[1]) - 1)
            if found := _NO_NUMBER.search(body, begin, begin + len("-Infinity") + 1):
                _refuse_constant(found[0].decode())
    except (ValueError, RecursionError) as found_error:
        return str(found_error)
    return str(error)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON: write it as one of the strings 'NaN', '+Inf', '-Inf'")
