"""From bodies to rows: the parser, the limits, and PostgreSQL's own format; pure, and fuzzed."""

from __future__ import annotations

import json
import math
import struct
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server_stub.errors import BodyMalformedError, BodyTooLargeError, EncodingUnknownError
from server_stub.ingest import copy_format
from server_stub.ingest.body import (
    ESCAPES_MAX,
    EXPLAINED_BYTES_MAX,
    REASON_LENGTH_MAX,
    ParsedBody,
    Reject,
    parse_body,
)
from server_stub.ingest.compression import decode_body
from server_stub.ingest.row_encoding import RowEncoder, TimeBounds
from server_stub.ingest.series_table import SeriesLimits, SeriesTable

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

NOW = datetime(2026, 1, 31, tzinfo=UTC)
SAMPLES_MAX = 50
LIMITS = SeriesLimits(labels_max=3, text_length_max=20, series_max=1_000)
BOUNDS = TimeBounds(age_seconds_max=86_400.0, ahead_seconds_max=3_600.0)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
samples = st.fixed_dictionaries(
    {
        "metric_name": st.just("jobs_total") | st.text(st.characters()) | json_values,
        "metric_type": st.sampled_from(["counter", "gauge", "timer"]),
        "metric_value": st.floats(allow_nan=False, allow_infinity=False)
        | st.sampled_from(["NaN", "+Inf", "x", 10**400]),
    },
    optional={
        "runtime_id": st.integers() | st.text() | json_values,
        "labels": st.dictionaries(st.text(), st.text(st.characters())) | json_values,
        "help_text": st.text(st.characters()),
        "unit": json_values,
        "timestamp": st.integers() | st.floats() | st.datetimes().map(str) | st.text(),
    },
)


class Row(NamedTuple):
    """A row as PostgreSQL reads it."""

    runtime_id: int
    timestamp: datetime
    metric_value: float
    metric_name: str
    metric_type: str
    labels: dict[str, str]
    help_text: str | None
    unit: str | None


def read_rows(rows: bytes) -> list[Row]:
    """Read the binary format of COPY, without its header and trailer, as PostgreSQL does."""
    found, offset = [], 0

    def take(count: int) -> bytes:
        nonlocal offset
        offset += count
        assert offset <= len(rows)
        return rows[offset - count : offset]

    while offset < len(rows):
        fields: list[bytes | None] = []
        for _ in range(*struct.unpack(">h", take(2))):
            (length,) = struct.unpack(">i", take(4))
            fields.append(None if length == -1 else take(length))
        *required, help_text, unit = fields
        runtime_id, timestamp, value, name, kind, labels = [field or b"" for field in required]
        assert labels[:1] == b"\x01"
        for text in (name, kind, labels, help_text, unit):
            assert b"\x00" not in (text or b"")
        found.append(
            Row(
                struct.unpack(">q", runtime_id)[0],
                datetime(2000, 1, 1, tzinfo=UTC)
                + timedelta(microseconds=struct.unpack(">q", timestamp)[0]),
                struct.unpack(">d", value)[0],
                name.decode(),
                kind.decode(),
                json.loads(labels[1:]),
                None if help_text is None else help_text.decode(),
                None if unit is None else unit.decode(),
            )
        )
    return found


def encode(
    parsed: ParsedBody, series: SeriesTable | None = None, now: datetime = NOW
) -> tuple[list[Row], list[Reject]]:
    """Return the rows and all rejects of a body; each of its components is registered."""
    owners: dict[str | float | None, int | str] = dict.fromkeys(
        (sample.runtime_id for sample in parsed.samples), 7
    )
    encoder = RowEncoder(series or SeriesTable(LIMITS), owners, now, BOUNDS)
    rows = encoder.encode(zip(parsed.positions, parsed.samples, strict=True))
    return read_rows(rows), [*parsed.rejects, *encoder.rejects]


def assert_storable(parsed: ParsedBody) -> None:
    """Check that PostgreSQL can store a row and that an answer can carry a reject."""
    rows, rejects = encode(parsed)
    assert len(rows) + len(rejects) == len(parsed.samples) + len(parsed.rejects)
    for reject in rejects:
        assert 0 < len(reject.reason.encode()) <= 4 * REASON_LENGTH_MAX
    positions = [*parsed.positions, *(reject.position for reject in parsed.rejects)]
    assert sorted(positions) == list(range(len(positions)))


@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    """Bytes that are no body raise only the errors for that."""
    for encoding in ("", "gzip"):
        with suppress(BodyMalformedError, BodyTooLargeError):
            decoded = decode_body(body, encoding, 1000)
            assert_storable(parse_body(decoded, SAMPLES_MAX))


@given(json_values)
def test_any_json_is_read_or_refused(document: Any) -> None:
    """JSON of any form is read, or refused as not of this form."""
    with suppress(BodyMalformedError, BodyTooLargeError):
        assert_storable(parse_body(json.dumps(document).encode(), SAMPLES_MAX))


@given(st.lists(samples, max_size=5))
def test_every_sample_is_accepted_or_rejected(batch: list[dict[str, Any]]) -> None:
    """No sample is lost: each becomes a row that can be stored, or a reject with a reason."""
    body = json.dumps({"runtime_id": 1, "metrics": batch})
    if "NaN" in body.replace('"NaN"', "") or "Infinity" in body:
        return
    try:
        parsed = parse_body(body.encode(), SAMPLES_MAX)
    except BodyMalformedError:
        # An integer that Python itself refuses to read.
        assert any(isinstance(sample["metric_value"], int) for sample in batch)
        return
    assert_storable(parsed)
    assert len(parsed.samples) + len(parsed.rejects) == len(batch)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip,gzip", "identity, gzip"])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    """The message names the encoding, and the encodings that the server takes."""
    with pytest.raises(EncodingUnknownError, match="use gzip or none"):
        decode_body(b"", encoding, 10)


def sample(**fields: Any) -> dict[str, Any]:
    return {"metric_name": "jobs_total", "metric_type": "counter", "metric_value": 1.0, **fields}


def parse(*samples: dict[str, Any]) -> ParsedBody:
    return parse_body(json.dumps({"runtime_id": 7, "metrics": samples}).encode(), SAMPLES_MAX)


def as_text(name: str, value: str, labels: str = "{}") -> str:
    """Return a sample as JSON, with any text as its value."""
    return (
        f'{{"metric_name": "{name}", "metric_type": "gauge", "metric_value": {value}, '
        f'"labels": {labels}}}'
    )


GOOD, ODD = as_text("good", "1.5"), as_text("odd", "1", '{"a": "\\ud800"}')
ESCAPED = as_text("escaped", "2", '{"a": "\\\\ud800", "b": "\\ud83d\\ude00"}')


@pytest.mark.parametrize("value", ["1e400", "-1e400", "9" * 5_000, "9" * 5_000 + ".5"])
@pytest.mark.parametrize(
    ("before", "others", "after", "encoding"),
    [
        ('{"runtime_id": 7, "metrics": [', [GOOD], "]}", "utf-8"),
        ('{"runtime_id": 7, "metrics": [', [ODD, GOOD, ESCAPED], "]}", "utf-8"),
        ('{"runtime_id": 7, "metrics": [', [GOOD], "]}", "utf-8-sig"),
        ('{"runtime_id": 7, "metrics": [', [ODD, GOOD], "]}", "utf-8-sig"),
        ("[", [GOOD, ODD], "]", "utf-16"),
        ("", [], "", "utf-8-sig"),
    ],
)
def test_a_number_is_judged_by_itself(
    value: str, before: str, others: list[str], after: str, encoding: str
) -> None:
    """A number that no double holds is rejected, whatever else a batch has and begins with."""
    body = before + ", ".join([*others, as_text("bad", value)]) + after
    parsed = parse_body(body.encode(encoding), SAMPLES_MAX)
    assert [len(others)] == [reject.position for reject in parsed.rejects]
    assert "Number out of range" in parsed.rejects[0].reason
    rows, rejects = encode(parsed)
    assert [name for name in others if name is not ODD] == [
        {"good": GOOD, "escaped": ESCAPED}[row.metric_name] for row in rows
    ]
    assert len(others) - len(rows) == len(rejects) - 1
    assert all(row.labels == {"a": "\\ud800", "b": "😀"} for row in rows if row.labels)


full_samples = st.fixed_dictionaries(
    {
        "metric_name": st.from_regex(r"[a-z_:][a-z0-9_:]{0,9}", fullmatch=True),
        "metric_type": st.sampled_from(["counter", "gauge", "histogram", "summary"]),
        "metric_value": st.floats(allow_nan=False, allow_infinity=False),
        "labels": st.dictionaries(
            st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True),
            st.text(
                st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=9
            ),
            max_size=3,
        ),
        "help_text": st.none()
        | st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=9),
        "unit": st.none() | st.sampled_from(["seconds", "bytes", ""]),
        "timestamp": st.datetimes(
            NOW.replace(tzinfo=None) - timedelta(days=1), NOW.replace(tzinfo=None)
        ).map(lambda moment: moment.isoformat() + "+00:00"),
    }
)


@given(st.lists(full_samples, max_size=9))
def test_rows_are_what_was_sent(batch: list[dict[str, Any]]) -> None:
    """Every field of every sample survives PostgreSQL's format, and the order stays; an empty label
    is none."""
    rows, rejects = encode(parse(*batch))
    assert rejects == []
    assert rows == [
        Row(
            7,
            datetime.fromisoformat(sent["timestamp"]),
            sent["metric_value"],
            sent["metric_name"],
            sent["metric_type"],
            {name: value for name, value in sent["labels"].items() if value},
            sent["help_text"],
            sent["unit"],
        )
        for sent in batch
    ]


def test_a_bad_sample_does_not_sink_the_others() -> None:
    """A sample that is no object, or has half of a surrogate pair, is rejected by its place."""
    good = sample(labels={"a": "b"}, timestamp=NOW.timestamp())
    bad_samples: list[Any] = [3, None, [], {"metric_name": "x"}, sample(labels={"a": "\ud800"})]
    for bad in bad_samples:
        parsed = parse(good, bad, good)
        rows, rejects = encode(parsed)
        assert [1] == [reject.position for reject in rejects], bad
        assert 2 == len(rows)
        assert {"a": "b"} == rows[1].labels


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"metric_name": "a" * 256}, "has 256 characters: at most 255"),
        ({"labels": {"a" * 256: "b"}}, "has 256 characters: at most 255"),
        ({"labels": dict.fromkeys("abcd", "x")}, "the sample has 4 labels: at most 3"),
        ({"labels": {"a": "x" * 21}}, "label 'a' has 21 characters"),
        ({"help_text": "x" * 21}, "help_text has 21 characters"),
        ({"unit": "x" * 21}, "unit has 21 characters"),
        ({"labels": {"a": 1}}, "Expected `str`"),
        ({"metric_type": "timer"}, "use one of counter, gauge, histogram, summary"),
        ({"timestamp": 0}, "more than 86400 s in the past"),
        ({"timestamp": NOW.timestamp() * 1000}, "is in milliseconds"),
        ({"timestamp": NOW.timestamp() + 3_601}, "more than 3600 s in the future"),
        ({"timestamp": "2026-01-31T00:00:00"}, "has no offset from UTC"),
    ],
)
def test_a_sample_beyond_a_limit_is_rejected(fields: dict[str, Any], reason: str) -> None:
    """The reason names the limit; the sample beside it is stored."""
    rows, rejects = encode(parse(sample(**fields), sample()))
    assert [0] == [reject.position for reject in rejects]
    assert reason in rejects[0].reason
    assert 1 == len(rows)


def test_times_within_the_bounds_are_kept() -> None:
    """A day in a spool, or a clock an hour ahead, is within the bounds."""
    times = [NOW.timestamp() - 86_400, NOW.timestamp() + 3_600]
    rows, rejects = encode(parse(*(sample(timestamp=time) for time in times)))
    assert [] == rejects
    assert times == [row.timestamp.timestamp() for row in rows]


def test_special_values_become_floats() -> None:
    """Values without a JSON number, and whole numbers, become floats in PostgreSQL's format."""
    values = ["NaN", "+Inf", "-Inf", 3]
    rows, _ = encode(parse(*(sample(metric_value=value) for value in values)))
    found = [row.metric_value for row in rows]
    assert math.isnan(found[0])
    assert [math.inf, -math.inf, 3.0] == found[1:]


def test_the_header_is_postgresql_s() -> None:
    """It has eleven bytes of signature, then flags and extension length; the trailer is -1."""
    assert b"PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00" == copy_format.HEADER
    assert b"\xff\xff" == copy_format.TRAILER


def test_a_body_has_a_bounded_number_of_escapes() -> None:
    """The parser lets no other thread run, and takes long for escapes; so do searches for halves of
    surrogate pairs."""
    body = b'{"metrics":[],"x":"' + rb"\"" * (ESCAPES_MAX + 1) + b'"}'
    with pytest.raises(BodyTooLargeError, match=f"more than {ESCAPES_MAX} backslashes"):
        parse_body(body, 10)
    as_many = body.replace(rb"\"", b"", 1)
    assert [] == parse_body(as_many, 10).samples


@pytest.mark.parametrize(
    ("wrong", "detail"),
    [
        ("NaN", "NaN is not JSON: write it as one of the strings"),
        ("-Infinity", "Infinity is not JSON: write it as one of the strings"),
        ("1 1", "JSON is malformed"),
    ],
)
def test_what_is_wrong_with_a_large_body_is_said_by_the_one_parser(wrong: str, detail: str) -> None:
    """A body that Python's own parser would take long for is explained all the same."""
    body = "[" + "1234567890," * 20_000 + wrong + "]"
    assert len(body) > EXPLAINED_BYTES_MAX
    with pytest.raises(BodyMalformedError, match=detail):
        parse_body(body.encode(), 20_001)


def test_halves_of_pairs_are_found_in_every_piece_of_a_large_body() -> None:
    """A NUL, which cannot be stored either, stands for each of them, in UTF-8 and in UTF-16."""
    good = {
        "metric_name": "a",
        "metric_type": "gauge",
        "metric_value": 1,
        "help_text": "x" * 99_999,
    }
    bad = {**good, "unit": "\udc00"}
    metrics = [good, bad, good, good, good, bad, good]
    escaped = json.dumps({"metrics": metrics}).encode()
    unescaped = json.dumps({"metrics": metrics}, ensure_ascii=False).encode(
        "utf-16", "surrogatepass"
    )
    for body in (escaped, unescaped):
        units = [sample.unit for sample in parse_body(body, 10).samples]
        assert [None, "\x00", None, None, None, "\x00", None] == units
