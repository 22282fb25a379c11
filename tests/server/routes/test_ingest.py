"""`POST /api/metrics`: what the server inserts, what it rejects, and what it refuses."""

from __future__ import annotations

import gzip
import json
import math
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest

from server_stub.ingest.body import ERRORS_MAX
from server_stub.ingest.intake import INFLATED_AT_ONCE_BYTES_MAX
from tests.server.application import running_api, sample

if TYPE_CHECKING:
    from tests.server.application import Api


def test_an_envelope_is_inserted_whole(api: Api) -> None:
    """Every field of every sample of an envelope is a column of its row."""
    runtime_id = api.register()
    full = sample(
        labels={"status": "completed", "ünï": "x"} | {"quote": 'a"b\\c\nd\te'},
        help_text="Jobs\tdone\\n",
        unit="jobs",
        timestamp="2026-01-31T13:00:00.25+01:00",
    )
    del full["labels"]["ünï"]
    answer = api.insert({"runtime_id": runtime_id, "metrics": [full]})
    assert 200 == answer.status_code
    assert answer.json() == {
        "status": "ok",
        "runtime_id": runtime_id,
        "metrics_inserted": 1,
        "metrics_rejected": 0,
        "errors": [],
    }
    assert api.sql(
        "SELECT runtime_id::text, metric_name, metric_type, metric_value, labels, help_text, unit,"
        " timestamp = '2026-01-31 12:00:00.25+00', expires_at - created_at = interval '1 day'"
        " FROM noetl.metric WHERE unit = 'jobs'"
    ) == [
        (
            runtime_id, "jobs_total", "counter", 1.0, full["labels"], "Jobs\tdone\\n", "jobs",
            True, True,
        )
    ]  # fmt: skip


def test_every_form_of_body_is_taken(api: Api) -> None:
    """A runtime id as string or number, a name, an array and a single sample all insert."""
    runtime_id = api.register("cpu-01")
    bodies: list[Any] = [
        {"runtime_id": runtime_id, "metrics": [sample(metric_value=1)]},
        {"runtime_id": int(runtime_id), "metrics": [sample(metric_value=2)]},
        {"component_name": "cpu-01", "metrics": [sample(metric_value=3)]},
        [sample(metric_value=4, runtime_id=runtime_id)],
        sample(metric_value=5, runtime_id=int(runtime_id)),
        {"metrics": [sample(metric_value=6, runtime_id=runtime_id)]},
    ]
    for body in bodies:
        answer = api.insert(body).json()
        assert (runtime_id, 1, 0) == (
            answer["runtime_id"],
            answer["metrics_inserted"],
            answer["metrics_rejected"],
        )
    assert [1, 2, 3, 4, 5, 6] == [value for _, _, value, _ in api.stored()]


def test_the_alias_inserts_too(embedded_api: Api) -> None:
    """`/api/metrics/report` does the same as `/api/metrics`."""
    body = {"runtime_id": embedded_api.register(), "metrics": [sample()]}
    answer = embedded_api.post("/api/metrics/report", json=body)
    assert (200, 1) == (answer.status_code, answer.json()["metrics_inserted"])
    assert "gzip" == answer.headers["accept-encoding"]


def test_samples_of_several_runtimes_have_no_runtime_in_common(embedded_api: Api) -> None:
    """If an array reports for several runtimes, the answer names none of them."""
    ids = [embedded_api.register("a"), embedded_api.register("b")]
    answer = embedded_api.insert([sample(runtime_id=runtime_id) for runtime_id in ids]).json()
    assert (None, 2) == (answer["runtime_id"], answer["metrics_inserted"])


def test_values_that_json_has_no_number_for_are_kept(api: Api) -> None:
    """NaN and the infinities travel as strings, in both directions."""
    runtime_id = api.register()
    values: list[Any] = [
        "NaN",
        "+Inf",
        "-Inf",
        1.7976931348623157e308,
        5e-324,
        -0.0,
        12345678901234567890,
    ]
    body = {"runtime_id": runtime_id, "metrics": [sample(metric_value=v) for v in values]}
    assert api.insert(body).json()["metrics_inserted"] == len(values)
    stored = [value for _, _, value, _ in api.stored()]
    assert math.isnan(stored[0])
    assert stored[1:] == [math.inf, -math.inf, *(float(value) for value in values[3:])]
    page = api.get("/api/metrics", params={"runtime_id": runtime_id, "order": "asc"}).json()
    assert [metric["metric_value"] for metric in page["metrics"]] == [
        "NaN", "+Inf", "-Inf", *(float(value) for value in values[3:]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"metric_name": "1st"}, "metric name '1st' is not valid"),
        ({"metric_name": "a" * 256}, "at most 255"),
        ({"metric_name": 7}, "Expected `str`, got `int` - at `$.metric_name`"),
        ({"metric_type": "timer"}, "use one of counter, gauge, histogram, summary"),
        ({"metric_value": "1"}, "use a number, or one of the strings"),
        ({"metric_value": None}, "right is metric_name"),
        ({"metric_value": True}, "a number or 'NaN', '+Inf', '-Inf'"),
        ({"labels": {"a-b": "x"}}, "label name 'a-b' is not valid"),
        ({"labels": {"__name__": "x"}}, "reserved"),
        ({"labels": {"a": 1}}, "labels: an object of strings"),
        ({"labels": {"a": "x\x00y"}}, "NUL"),
        ({"labels": {"a": "\ud800"}}, "surrogates"),
        ({"help_text": "\x00"}, "NUL"),
        ({"unit": "\udfff"}, "surrogates"),
        ({"timestamp": "2026-01-31T12:00:00"}, "has no offset"),
        ({"timestamp": "yesterday"}, "use ISO 8601 with an offset"),
        ({"timestamp": 1e25}, "years 1 to 9999"),
        ({"timestamp": "0001-01-01T00:00:00+10:00"}, "years 1 to 9999"),
        ({"runtime_id": 2**63}, "whole number from 0 to"),
        ({"runtime_id": -1}, "whole number from 0 to"),
        ({"runtime_id": "x"}, "whole number from 0 to"),
        ({"runtime_id": 1.5}, "whole number from 0 to"),
        ({"runtime_id": 4}, "no runtime 4 is registered"),
    ],
)
def test_a_bad_sample_is_rejected_alone(
    embedded_api_shared: Api, fields: dict[str, Any], reason: str
) -> None:
    """The answer names a sample that cannot be stored, with a reason; the others are inserted."""
    api = embedded_api_shared
    body = {"runtime_id": api.register(), "metrics": [sample(), sample(**fields), sample()]}
    answer = api.insert(body)
    assert 200 == answer.status_code
    assert 2 == answer.json()["metrics_inserted"]
    (error,) = answer.json()["errors"]
    assert 1 == error["index"]
    assert reason in error["reason"]


@pytest.mark.parametrize("number", ["1e400", "-1e400", "9" * 400])
def test_a_number_beyond_a_double_is_rejected_alone(embedded_api_shared: Api, number: str) -> None:
    """A value that no double holds costs only its own sample."""
    api = embedded_api_shared
    bad = json.dumps(sample(metric_value=0)).replace(
        '"metric_value": 0', f'"metric_value":{number}'
    )
    body = f'{{"runtime_id":{api.register()},"metrics":[{json.dumps(sample())},{bad}]}}'
    answer = api.post("/api/metrics", content=body)
    assert (200, 1) == (answer.status_code, answer.json()["metrics_inserted"])
    assert 1 == answer.json()["errors"][0]["index"]


def test_an_answer_names_the_first_rejected_samples_and_counts_all(
    embedded_api_shared: Api,
) -> None:
    """An answer stays short however many samples are bad, and so does that to the repeat."""
    api = embedded_api_shared
    body = {
        "runtime_id": api.register(),
        "metrics": [sample(metric_name="no good"), sample(), *[7] * (ERRORS_MAX + 100)],
    }
    headers = {"Idempotency-Key": "many-errors:1"}
    for status in ("ok", "duplicate"):
        answer = api.post("/api/metrics", json=body, headers=headers).json()
        assert (status, 1, ERRORS_MAX + 101, [0, *range(2, ERRORS_MAX + 1)]) == (
            answer["status"], answer["metrics_inserted"], answer["metrics_rejected"],
            [error["index"] for error in answer["errors"]],
        )  # fmt: skip


def test_a_sample_without_a_field_or_a_runtime_is_rejected(embedded_api_shared: Api) -> None:
    """A missing field, a missing runtime and a sample that is no object have their reasons."""
    api = embedded_api_shared
    body = [sample(runtime_id=api.register()), {"metric_name": "a"}, sample(), 7]
    answer = api.insert(body).json()
    assert 1 == answer["metrics_inserted"]
    assert [1, 2, 3] == [error["index"] for error in answer["errors"]]
    assert "missing required field" in answer["errors"][0]["reason"]
    assert "runtime_id is missing" in answer["errors"][1]["reason"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "detail"),
    [
        (b"", {}, 400, "the body is not valid"),
        (b"{", {}, 400, "send {"),
        (b"\xff\xfe", {}, 400, "the body is not valid"),
        (b"3", {}, 400, "send {"),
        (b"{}", {}, 400, "metrics"),
        (b'{"metrics": {}}', {}, 400, "metrics"),
        (b'{"metrics": [], "runtime_id": "x"}', {}, 400, "runtime_id"),
        (b'{"metrics": [], "runtime_id": 1e99}', {}, 400, "runtime_id"),
        (b'{"metrics": [NaN]}', {}, 400, "the body is not valid"),
        (b"[" * 100_000, {}, 400, "nested too deeply"),
        (b'{"metrics": [], "component_name": "\\u0000"}', {}, 400, "component_name"),
        (b'{"metrics": [], "runtime_id": 4}', {}, 404, "no runtime 4 is registered"),
        (b'{"metrics": [], "component_name": "no"}', {}, 404, "no component named 'no'"),
        (json.dumps([sample(runtime_id=4)]).encode(), {}, 404, "no runtime 4"),
        (b"[]", {"content-encoding": "br"}, 415, "use gzip or none"),
        (b"[]", {"content-encoding": "gzip, gzip"}, 415, "use gzip or none"),
        (b"[]", {"content-encoding": "gzip"}, 400, "not valid gzip"),
        (gzip.compress(b"[]", mtime=0)[:-1], {"content-encoding": "gzip"}, 400, "cut short"),
        (gzip.compress(b"[]", mtime=0) + b"x", {"content-encoding": "gzip"}, 400, "behind its end"),
        (b"[]", {"idempotency-key": "x"}, 400, "<boot id>:<sequence>"),
        (b"[]", {"idempotency-key": ":1"}, 400, "<boot id>:<sequence>"),
        (b"[]", {"idempotency-key": f"a:{2**63}"}, 400, "<boot id>:<sequence>"),
    ],
    ids=str,
)
def test_a_body_that_cannot_be_read_is_refused(
    embedded_api_shared: Api, body: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    """`detail` says what is wrong with a body, its encoding or its key."""
    answer = embedded_api_shared.post("/api/metrics", content=body, headers=headers)
    assert answer.status_code == status
    assert ["detail"] == list(answer.json())
    assert detail in answer.json()["detail"]
    assert "gzip" == answer.headers["accept-encoding"]


def test_gzip_is_taken(embedded_api: Api) -> None:
    """A gzip body of one or several members is inserted like its plain text."""
    api = embedded_api
    body = json.dumps({"runtime_id": api.register(), "metrics": [sample()] * 3}).encode()
    for packed in (gzip.compress(body), gzip.compress(body[:9]) + gzip.compress(body[9:])):
        answer = api.post("/api/metrics", content=packed, headers={"content-encoding": "gzip"})
        assert (200, 3) == (answer.status_code, answer.json()["metrics_inserted"])


def test_a_large_gzip_body_is_taken(embedded_api: Api) -> None:
    """A gzip body whose decompression takes a while is inserted like its plain text too."""
    api = embedded_api
    chance = random.Random(1)
    samples = [sample(labels={"a": chance.randbytes(16).hex()}) for _ in range(1_000)]
    body = json.dumps({"runtime_id": api.register(), "metrics": samples}).encode()
    packed = gzip.compress(body)
    assert len(packed) > INFLATED_AT_ONCE_BYTES_MAX
    answer = api.post("/api/metrics", content=packed, headers={"content-encoding": "gzip"})
    assert (200, 1_000) == (answer.status_code, answer.json()["metrics_inserted"])
    assert 1_000 == len(api.stored())


def test_too_much_is_refused(database_url: str) -> None:
    """A too large body, a gzip bomb and too many samples get 413 and insert nothing."""
    limits = {"body_bytes_max": 2048, "body_bytes_decompressed_max": 4096, "samples_max": 3}
    with running_api(database_url, **limits) as api:
        runtime_id = api.register()
        bomb = gzip.compress(b"[" + b" " * 500_000 + b"]")
        assert len(bomb) < 2048
        many = json.dumps({"runtime_id": runtime_id, "metrics": [sample()] * 4}).encode()

        async def chunks() -> Any:
            for _ in range(3):
                yield b" " * 1000

        bodies: list[tuple[Any, dict[str, str], str]] = [
            (b" " * 2049, {}, "exceeds 2048 bytes"),
            (chunks(), {}, "exceeds 2048 bytes"),
            (bomb, {"content-encoding": "gzip"}, "exceeds 4096 bytes after decompression"),
            (many, {}, "at most 3"),
        ]
        for body, headers, detail in bodies:
            answer = api.post("/api/metrics", content=body, headers=headers)
            assert 413 == answer.status_code
            assert detail in answer.json()["detail"]
        register = api.post("/api/worker/pool/register", content=b" " * 2049)
        assert 413 == register.status_code
        assert [] == api.stored()


def test_a_batch_is_inserted_once(api: Api) -> None:
    """A repeat of a batch inserts nothing and gets the first answer, marked as duplicate."""
    body = {"runtime_id": api.register(), "metrics": [sample(), sample(metric_name="?")]}
    first = api.insert(body, idempotency_key="boot:1").json()
    again = api.insert(body, idempotency_key="boot:1").json()
    assert again == {**first, "status": "duplicate"}
    assert 1 == len(api.stored())


def test_an_earlier_batch_is_a_duplicate_too(embedded_api: Api) -> None:
    """A batch with a lower number than the last one is a duplicate."""
    api = embedded_api
    body = {"runtime_id": api.register(), "metrics": [sample()]}
    statuses = [
        api.insert(body, idempotency_key=key).json()["status"]
        for key in ("boot:1", "boot:3", "boot:2", "other:2", "boot:4")
    ]
    assert ["ok", "ok", "duplicate", "ok", "ok"] == statuses
    assert 4 == len(api.stored())


def test_a_refused_batch_leaves_no_trace(embedded_api: Api) -> None:
    """The key of a batch that was not inserted is free for the corrected batch."""
    api = embedded_api
    refused = api.insert({"runtime_id": 4, "metrics": [sample()]}, idempotency_key="boot:1")
    assert 404 == refused.status_code
    assert [(0,)] == api.sql("SELECT count(*) FROM noetl.metric_batch WHERE boot_id = 'boot'")
    body = {"runtime_id": api.register(), "metrics": [sample()]}
    assert "ok" == api.insert(body, idempotency_key="boot:1").json()["status"]


def test_a_batch_sent_twice_at_once_is_inserted_once(api: Api) -> None:
    """Of several requests with one key at the same moment, one inserts."""
    body = {"runtime_id": api.register(), "metrics": [sample()] * 500}
    barrier = threading.Barrier(6)
    statuses: list[str] = []

    def send() -> None:
        barrier.wait()
        statuses.append(api.insert(body, idempotency_key="boot:1").json()["status"])

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["duplicate"] * 5 + ["ok"] == sorted(statuses)
    assert 500 == len(api.stored())


def test_a_missing_partition_is_made_on_the_spot(api: Api) -> None:
    """An insert makes its missing partition, and is not refused."""
    (name,) = api.sql("SELECT to_char(now() AT TIME ZONE 'UTC', '\"metric_\"YYYY_MM_DD')")[0]
    body = {"runtime_id": api.register(), "metrics": [sample()]}
    api.sql(f"DROP TABLE noetl.{name}")
    answer = api.insert(body, idempotency_key="boot:1")
    assert (200, "ok") == (answer.status_code, answer.json()["status"])
    assert 1 == len(api.stored())


def test_a_table_that_is_away_is_503(embedded_api: Api) -> None:
    """A missing table is answered by 503 without its name; once it is back, all is as before, and
    connections that were cut meanwhile cost no request."""
    api = embedded_api
    body = {"runtime_id": api.register(), "metrics": [sample()]}
    api.sql("ALTER TABLE noetl.metric_batch RENAME TO hidden")
    failed = api.insert(body, idempotency_key="boot:1")
    assert (503, "1") == (failed.status_code, failed.headers["retry-after"])
    assert "metric_batch" not in failed.text
    api.sql("ALTER TABLE noetl.hidden RENAME TO metric_batch")
    api.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'server_stub'"
    )
    answers = [api.insert(body, idempotency_key="boot:1") for _ in range(20)]
    assert {200} == {answer.status_code for answer in answers}
    assert 1 == len(api.stored())


def test_a_client_that_breaks_off_is_no_failure_of_the_server(
    embedded_api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """A body that ends too early is logged as no error and counted as no 5xx; nothing is kept."""
    api = embedded_api
    body = json.dumps({"runtime_id": api.register(), "metrics": [sample()]}).encode()
    messages: list[Any] = [
        {"type": "http.request", "body": body, "more_body": True},
        {"type": "http.disconnect"},
    ]
    statuses: list[int] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": "/api/metrics", "raw_path": b"/api/metrics",
        "query_string": b"", "root_path": "", "headers": [], "client": None, "server": None,
    }  # fmt: skip
    api.loop.run(api.app(scope, receive, send))
    assert [400] == statuses
    assert [] == [record for record in caplog.records if record.levelname == "ERROR"]
    assert [] == api.stored()
