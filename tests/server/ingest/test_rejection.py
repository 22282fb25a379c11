"""The kinds of reasons for which samples are rejected, and that the server counts by them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from server_stub.ingest.body import parse_body
from server_stub.ingest.rejection import RejectKind
from server_stub.ingest.row_encoding import RowEncoder, TimeBounds
from server_stub.ingest.series_table import SeriesLimits, SeriesTable

if TYPE_CHECKING:
    from tests.server.application import Api

pytestmark = pytest.mark.once

NOW = datetime(2026, 1, 31, tzinfo=UTC)
LIMITS = SeriesLimits(labels_max=2, text_length_max=20, series_max=2)
BOUNDS = TimeBounds(age_seconds_max=60.0, ahead_seconds_max=60.0)
SAMPLE: dict[str, Any] = {"metric_name": "jobs_total", "metric_type": "counter", "metric_value": 1}

WRONG: list[tuple[RejectKind, dict[str, Any]]] = [
    (RejectKind.MALFORMED, {"metric_name": 5}),
    (RejectKind.UNKNOWN_RUNTIME, {"runtime_id": "8"}),
    (RejectKind.INVALID_NAME, {"metric_name": "jobs total"}),
    (RejectKind.INVALID_TYPE, {"metric_type": "meter"}),
    (RejectKind.INVALID_VALUE, {"metric_value": "many"}),
    (RejectKind.INVALID_LABELS, {"labels": {"pool": 5}}),
    (RejectKind.INVALID_LABELS, {"labels": {"job type": "sql"}}),
    (RejectKind.INVALID_TEXT, {"labels": {"pool": "a\x00b"}}),
    (RejectKind.INVALID_TEXT, {"help_text": "a\x00b"}),
    (RejectKind.INVALID_TIMESTAMP, {"timestamp": "yesterday"}),
    (RejectKind.TOO_LARGE, {"labels": {"a": "1", "b": "2", "c": "3"}}),
    (RejectKind.TOO_LARGE, {"labels": {f"label_{number}": "1" for number in range(2_000)}}),
    (RejectKind.TOO_LARGE, {"help_text": "x" * 21}),
    (RejectKind.TOO_LARGE, {"help_text": "x" * 2_000_000}),
    (RejectKind.TOO_OLD, {"timestamp": NOW.timestamp() - 61}),
    (RejectKind.TOO_FAR_AHEAD, {"timestamp": NOW.timestamp() + 61}),
    (RejectKind.TOO_MANY_SERIES, {"labels": {"pool": "one too many"}}),
]


@pytest.mark.parametrize(
    ("kind", "wrong"), WRONG, ids=[f"{kind}-{'-'.join(wrong)}" for kind, wrong in WRONG]
)
def test_a_reject_has_its_kind(kind: RejectKind, wrong: dict[str, Any]) -> None:
    """Whatever is wrong with a sample is one of the kinds, and those beside it are stored."""
    right = [SAMPLE]
    if kind is RejectKind.TOO_MANY_SERIES:
        right.append(SAMPLE | {"labels": {"pool": "the last"}})
    body = json.dumps({"runtime_id": "7", "metrics": [*right, SAMPLE | wrong]}).encode()
    parsed = parse_body(body, samples_max=10)
    owners: dict[str | float | None, int | str] = {None: 7, "8": "no runtime 8 is registered"}
    encoder = RowEncoder(SeriesTable(LIMITS), owners, NOW, BOUNDS)
    encoder.check(zip(parsed.positions, parsed.samples, strict=True))
    rejects = [*parsed.rejects, *encoder.rejects]
    assert [(len(right), kind)] == [(reject.position, reject.kind) for reject in rejects]


def test_every_kind_but_the_receivers_is_tested() -> None:
    """A new kind needs a sample here; a receiver's refusal needs a receiver."""
    assert set(RejectKind) - {RejectKind.REFUSED_BY_RECEIVER} == {kind for kind, _ in WRONG}


def rejected(api: Api) -> dict[str, float]:
    """Return the server's counts of rejected samples by reason."""
    (family,) = (
        family
        for family in api.app.state.resources.statistics.registry.collect()
        if family.name == "noetl_api_samples_rejected"
    )
    return {
        sample.labels["reason"]: sample.value
        for sample in family.samples
        if sample.name.endswith("_total")
    }


def test_the_server_counts_rejects_by_kind(embedded_api: Api) -> None:
    """Each kind is counted from 0, each reject once, and a batch that comes again not at all."""
    none = dict.fromkeys([str(kind) for kind in RejectKind], 0.0)
    assert none == rejected(embedded_api)
    body = {
        "runtime_id": embedded_api.register(),
        "metrics": [SAMPLE, SAMPLE | {"metric_name": "a b"}, SAMPLE | {"metric_name": "c d"}, {}],
    }
    expected = none | {"invalid_name": 2.0, "malformed": 1.0}
    for status in ("ok", "duplicate"):
        answer = embedded_api.insert(body, Idempotency_Key="boot:1").json()
        assert (status, 1, 3) == (
            answer["status"], answer["metrics_inserted"], answer["metrics_rejected"],
        )  # fmt: skip
        assert expected == rejected(embedded_api)
