"""`--storage remote-write`: the same API, and no metric in PostgreSQL."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from server_stub.command_line import parse_settings
from tests.prometheus import needs_prometheus, running_prometheus
from tests.server.application import running_api, sample
from tests.server.histories import RECEIVERS, all_pages, exporting_api

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from tests.server.application import Api

pytestmark = pytest.mark.once


@pytest.fixture
def now() -> int:
    """The time at which a test begins, in whole seconds."""
    return int(time.time())


@pytest.fixture(params=RECEIVERS)
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Any]:
    with request.param(tmp_path) as program:
        yield program


def numbered(now: int, count: int, **fields: Any) -> list[dict[str, Any]]:
    return [sample(metric_value=float(i), timestamp=now - 100 + i, **fields) for i in range(count)]


def post(api: Api, runtime_id: str, samples: list[dict[str, Any]], **headers: str) -> Any:
    answer = api.insert({"runtime_id": runtime_id, "metrics": samples}, **headers)
    assert 200 == answer.status_code, answer.text
    return answer.json()


def test_samples_are_written_and_read_and_not_in_the_table(
    database_url: str, receiver: Any, now: int
) -> None:
    """After a 200 a worker's samples are in the time-series database, and only there."""
    with exporting_api(database_url, receiver, storage="remote-write") as api:
        runtime_id = api.register("pool-1")
        described = {"labels": {"kind": 'a "b"', "component": "mine"}, "help_text": "Jobs"}
        answer = post(api, runtime_id, numbered(now, 50, **described), Idempotency_Key="boot:1")
        assert (50, 0) == (answer["metrics_inserted"], answer["metrics_rejected"])
        again = post(api, runtime_id, numbered(now, 50, **described), Idempotency_Key="boot:1")
        assert answer | {"status": "duplicate"} == again
        receiver.wait_until("sum(count_over_time(jobs_total[10m]))", (50.0).__eq__)
        rows, sources = all_pages(api, metric_name="jobs_total", limit=7)
        assert [float(i) for i in reversed(range(50))] == [row["metric_value"] for row in rows]
        assert described["labels"] == rows[0]["labels"]
        assert ("counter", "Jobs") == (rows[0]["metric_type"], rows[0]["help_text"])
        assert {"history"} == {part["source"] for page in sources for part in page}
        of_component = api.get(f"/api/runtime/{runtime_id}/metrics").json()["metrics"]
        assert 50 == len(of_component)
        chart = api.get(
            "/api/metrics/series",
            params={"metric_name": "jobs_total", "aggregation": "increase", "step": 3600,
                    "start_time": now - 7200},
        ).json()  # fmt: skip
        assert 49 == sum(value for _, value in chart["series"][0]["points"])
        named = {"metric_name": "jobs_total", "metric_type": "counter", "help_text": "Jobs",
                 "unit": None}  # fmt: skip
        assert [named] == api.get("/api/metrics/names?search=jobs_t").json()["names"]
        labels = api.get("/api/metrics/labels?metric_name=jobs_total").json()["labels"]
        assert {"component": ["mine"], "kind": ['a "b"'], "runtime_id": [runtime_id]} == {
            label["name"]: label["values"]
            for label in labels
            if not label["name"].startswith("component_")
        }
        page = api.get("/metrics", params={"component_name": "pool-1"}).text
        assert "# HELP jobs_total Jobs\n# TYPE jobs_total counter\n" in page
        assert page.count("jobs_total{") == 1
        assert [(0,)] == api.sql("SELECT count(*) FROM noetl.metric")
        assert 1 == len([it for it in api.get("/api/runtime").json()["components"]
                         if it["name"] == "pool-1"])  # fmt: skip


def test_a_name_is_described_though_the_first_transaction_that_did_so_failed(
    database_url: str, receiver: Any, now: int
) -> None:
    """A rolled-back description of a name does not count as written: the next batch writes it."""
    with exporting_api(database_url, receiver, storage="remote-write") as api:
        runtime_id = api.register("pool-1")
        api.sql(
            "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = 'serialization_failure'; END $$;"
            "CREATE CONSTRAINT TRIGGER fail AFTER INSERT ON noetl.metric_family "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()"
        )
        body = {"runtime_id": runtime_id, "metrics": numbered(now, 1, help_text="Jobs")}
        assert 503 == api.insert(body).status_code
        api.sql("DROP TRIGGER fail ON noetl.metric_family")
        assert 200 == api.insert(body).status_code
        described = "SELECT help_text FROM noetl.metric_family WHERE metric_name = 'jobs_total'"
        assert [("Jobs",)] == api.sql(described)


def test_one_of_two_samples_of_a_millisecond_is_counted(
    database_url: str, receiver: Any, now: int
) -> None:
    """The protocol has one place for both: the later one is kept, and the other is counted."""
    with exporting_api(database_url, receiver, storage="remote-write") as api:
        twice = [sample(metric_value=value, timestamp=now + at / 1e6)
                 for value, at in ((1.0, 100), (2.0, 200))]  # fmt: skip
        post(api, api.register(), twice)
        receiver.wait_until("jobs_total", (2.0).__eq__)
        counted = api.app.state.resources.statistics.registry.get_sample_value(
            "noetl_api_export_samples_dropped_total", {"reason": "same_millisecond"}
        )
        assert 1 == counted


def test_bad_samples_are_rejected_as_ever(database_url: str, receiver: Any, now: int) -> None:
    """Each bad sample is rejected by itself with its reason, and costs no others."""
    with exporting_api(database_url, receiver, storage="remote-write") as api:
        runtime_id = api.register()
        samples = [
            *numbered(now, 3),
            sample(metric_name="a name"),
            sample(metric_value="many"),
            sample(timestamp="yesterday"),
        ]
        answer = post(api, runtime_id, samples)
        assert (3, 3) == (answer["metrics_inserted"], answer["metrics_rejected"])
        assert [3, 4, 5] == [error["index"] for error in answer["errors"]]
        unknown = api.insert({"runtime_id": "77", "metrics": numbered(now, 1)})
        assert 404 == unknown.status_code


@needs_prometheus
def test_what_the_receiver_refuses_is_rejected_by_name(
    database_url: str, tmp_path: Path, now: int
) -> None:
    """Prometheus takes nothing older than its newest sample: the answer names those, others are
    kept."""
    with (
        running_prometheus(tmp_path) as receiver,
        exporting_api(database_url, receiver, storage="remote-write") as api,
    ):
        runtime_id = api.register()
        post(api, runtime_id, numbered(now, 10))
        late = sample(metric_value=-1.0, timestamp=now - 99)
        answer = post(api, runtime_id, [*numbered(now, 1, labels={"a": "1"}), late])
        assert (1, 1) == (answer["metrics_inserted"], answer["metrics_rejected"])
        assert "the time-series database refuses it: 400" in answer["errors"][0]["reason"]
        assert 1 == answer["errors"][0]["index"]
        counted = api.app.state.resources.statistics.registry.get_sample_value(
            "noetl_api_samples_rejected_total", {"reason": "refused_by_receiver"}
        )
        assert 1 == counted


def test_a_receiver_that_is_away_is_no_acknowledgement(
    database_url: str, receiver: Any, now: int
) -> None:
    """The answer is 503 with Retry-After, and the batch can be sent again under its name."""
    with exporting_api(database_url, receiver, storage="remote-write") as api:
        runtime_id = api.register()
        receiver.kill()
        body = {"runtime_id": runtime_id, "metrics": numbered(now, 5)}
        refused = api.insert(body, Idempotency_Key="boot:1")
        assert 503 == refused.status_code
        assert "the time-series database" in refused.json()["detail"]
        assert int(refused.headers["Retry-After"]) >= 1
        receiver.start()
        answer = api.insert(body, Idempotency_Key="boot:1").json()
        assert ("ok", 5) == (answer["status"], answer["metrics_inserted"])


def test_what_was_stored_before_is_exported_still(
    database_url: str, receiver: Any, now: int
) -> None:
    """An operator who changes the storage loses nothing that is in PostgreSQL."""
    with running_api(database_url) as api:
        post(api, api.register(), numbered(now, 20))
    with exporting_api(database_url, receiver, storage="remote-write"):
        receiver.wait_until("sum(count_over_time(jobs_total[10m]))", (20.0).__eq__)


@pytest.mark.parametrize("given", [[], ["--remote-write-url=http://a"], ["--history-url=http://a"]])
def test_both_addresses_are_needed(given: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The server needs the address for writing samples and the one for reading them."""
    with pytest.raises(SystemExit):
        parse_settings(["--storage=remote-write", *given], {})
    assert "--storage remote-write needs --remote-write-url" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--remote-write-url", "localhost:8428", "must be a URL like http://localhost:8428"),
        ("--history-url", "http://host:nine", "must be a URL like http://localhost:8428"),
        ("--receiver-headers", "Authorization", "header 1 must be like 'X-Scope-OrgID: tenant-1'"),
        ("--remote-write-version", "3", "must be one of auto, 1.0, 2.0"),
    ],
)
def test_a_wrong_setting_is_named(
    flag: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the setting, and says what a right value looks like."""
    with pytest.raises(SystemExit):
        parse_settings([f"{flag}={value}"], {})
    error = capsys.readouterr().err
    assert flag in error
    assert message in error


def test_headers_are_given_by_lines_or_semicolons() -> None:
    """A tenant of Mimir that needs a password is an example."""
    settings = parse_settings(
        ["--receiver-headers=X-Scope-OrgID: one; Authorization: Basic YTpi\n"], {}
    )
    assert {"X-Scope-OrgID": "one", "Authorization": "Basic YTpi"} == settings.receiver_headers


LOOP_SECONDS_MAX = 0.15
"""How much processor time the loop's thread may take at once: three times what is promised, for a
machine that is busy, and less than half of what ten thousand new series take."""


@asynccontextmanager
async def loop_watched(pieces: list[float]) -> AsyncGenerator[None]:
    """Note the processor time that the loop's thread takes between two turns of this coroutine."""

    async def watch() -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            pieces.append(time.thread_time() - before)

    watching = asyncio.create_task(watch())
    # This process has the objects of all tests, which a collection of garbage would go through.
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        watching.cancel()


def test_a_batch_of_new_series_holds_up_no_other_request(database_url: str, receiver: Any) -> None:
    """The loop goes on while ten thousand series are checked, and made ready for the receiver."""
    pieces: list[float] = []
    with exporting_api(database_url, receiver, storage="remote-write") as api:
        runtime_id = api.register("pool-1")
        metrics = [sample(labels={f"l{n}": f"{i}" for n in range(20)}) for i in range(10_000)]
        body = json.dumps({"runtime_id": runtime_id, "metrics": metrics})
        watching = loop_watched(pieces)
        api.loop.run(watching.__aenter__())
        answer = api.post("/api/metrics", content=body)
        api.loop.run(watching.__aexit__(None, None, None))
    assert 10_000 == answer.json()["metrics_inserted"]
    assert LOOP_SECONDS_MAX > max(pieces)
