"""Partitions, liveness, readiness, and what all routes have in common."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from server_stub.postgresql import maintenance
from tests.server.application import running_api

if TYPE_CHECKING:
    from tests.server.application import Api

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once


def partition_name(offset: int) -> str:
    return f"metric_{datetime.now(UTC).date() + timedelta(offset):%Y_%m_%d}"


def test_cleanup_names_what_it_dropped(api: Api) -> None:
    """The answer has the form of the contract, and the second answer is empty."""
    api.sql("SELECT noetl.create_metric_partition('2024-02-29')")
    for dropped in (["metric_2024_02_29"], []):
        answer = api.post("/api/metrics/cleanup")
        assert 200 == answer.status_code
        assert answer.json() == {
            "status": "ok",
            "dropped_partitions": dropped,
            "dropped_count": len(dropped),
            "message": f"Dropped {len(dropped)} expired partitions",
        }


def test_cleanup_does_not_wait_for_ever(embedded_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition that stays in use is left, and the next cleanup drops it."""
    monkeypatch.setattr(maintenance, "DROP_PAUSE_SECONDS", 0)
    api = embedded_api
    api.sql("SELECT noetl.create_metric_partition('2024-02-29')")
    with psycopg.connect(api.database_url) as reader:
        reader.execute("SELECT count(*) FROM noetl.metric")
        assert [] == api.post("/api/metrics/cleanup").json()["dropped_partitions"]
    assert ["metric_2024_02_29"] == api.post("/api/metrics/cleanup").json()["dropped_partitions"]


def test_partitions_are_made_ahead(api: Api) -> None:
    """The answer has the form of the contract, and the second answer is empty."""
    for created in ([partition_name(8), partition_name(9)], []):
        answer = api.post("/api/metrics/partitions/create", params={"days_ahead": 9})
        assert 200 == answer.status_code
        assert answer.json() == {
            "status": "ok",
            "created_partitions": created,
            "created_count": len(created),
            "days_ahead": 9,
            "message": f"Created {len(created)} partitions",
        }


@pytest.mark.parametrize("days_ahead", ["0", "367", "x", "-1", "99999999999999999999", ""])
def test_a_bad_number_of_days_is_refused(embedded_api_shared: Api, days_ahead: str) -> None:
    """The answer names the parameter, its value and what is right."""
    answer = embedded_api_shared.post(
        "/api/metrics/partitions/create", params={"days_ahead": days_ahead}
    )
    assert 422 == answer.status_code
    assert f"query.days_ahead is {days_ahead!r}" in answer.json()["detail"]


def test_a_server_is_ready_when_its_partitions_are_there(api: Api) -> None:
    """Readiness asks for today's and tomorrow's partitions, and names missing ones."""
    assert {"status": "ok"} == api.get("/healthz").json()
    assert {"status": "ok"} == api.get("/readyz").json()
    api.sql(f"DROP TABLE noetl.{partition_name(1)}")
    # The server keeps what it has seen for a second.
    while (answer := api.get("/readyz")).status_code == 200:
        pass
    assert 503 == answer.status_code
    assert partition_name(1) in answer.json()["detail"]
    assert partition_name(0) not in answer.json()["detail"]
    assert 200 == api.get("/healthz").status_code


def test_maintenance_makes_and_drops_partitions(database_url: str) -> None:
    """The server makes missing partitions and drops expired ones without a request."""
    with running_api(database_url, maintenance_interval_seconds=0.1) as api:
        api.sql("SELECT noetl.create_metric_partition('2024-02-29')")
        api.sql(f"DROP TABLE noetl.{partition_name(1)}")
        there = partition_name(1)
        query = (
            "SELECT to_regclass('noetl.metric_2024_02_29')::text, "
            f"to_regclass('noetl.{there}')::text"
        )
        expected = [(None, f"noetl.{there}")]
        deadline = time.monotonic() + 60
        while (found := api.sql(query)) != expected and time.monotonic() < deadline:
            pass
        assert expected == found


def test_the_configured_retention_is_the_databases(database_url: str) -> None:
    """A server that keeps metrics for a week makes that the database's own rule."""
    with running_api(database_url, retention_days=7) as api:
        day = datetime.now(UTC).date() - timedelta(days=5)
        assert api.sql("SELECT retention FROM noetl.metric_retention") == [(timedelta(days=7),)]
        api.sql("SELECT noetl.create_metric_partition(%s)", day)
        assert 0 == api.post("/api/metrics/cleanup").json()["dropped_count"]


def test_a_route_that_is_not_there_is_named(embedded_api_shared: Api) -> None:
    """An unknown path is 404 and a wrong method 405, each with a detail and no HTML."""
    missing = embedded_api_shared.get("/api/nothing")
    assert (404, ["detail"]) == (missing.status_code, list(missing.json()))
    assert "GET /api/nothing" in missing.json()["detail"]
    wrong = embedded_api_shared.request("PUT", "/api/metrics/cleanup")
    assert (405, "POST") == (wrong.status_code, wrong.headers["allow"])
    assert "this path takes POST" in wrong.json()["detail"]


def test_the_documentation_has_every_route(embedded_api_shared: Api) -> None:
    """OpenAPI lists the routes with the body of the bulk insert and the form of errors."""
    assert 200 == embedded_api_shared.get("/docs").status_code
    document = embedded_api_shared.get("/openapi.json").json()
    assert {
        "/api/metrics", "/api/metrics/cleanup", "/api/metrics/export", "/api/metrics/labels",
        "/api/metrics/labels/{label_name}/values", "/api/metrics/names",
        "/api/metrics/partitions", "/api/metrics/partitions/create",
        "/api/metrics/series", "/api/version", "/api/runtime", "/api/runtime/{runtime_id}",
        "/api/runtime/{runtime_id}/metrics", "/api/worker/pool/goodbye",
        "/api/worker/pool/deregister", "/api/worker/pool/heartbeat", "/api/worker/pool/register",
        "/healthz", "/metrics", "/readyz",
    } == set(document["paths"])  # fmt: skip
    insert = document["paths"]["/api/metrics"]["post"]
    assert 3 == len(insert["requestBody"]["content"]["application/json"]["schema"]["anyOf"])
    problem = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert {True} == {
        insert["responses"][status]["content"] == problem for status in ("400", "404", "413")
    }


def test_the_server_counts_its_connections_to_the_database(database_url: str) -> None:
    """The gauges have what is in use by queries and by others, what is open, and the bounds."""
    with running_api(database_url, pool_size=6, ingest_bytes_max=5_000) as api:
        resources = api.app.state.resources

        def gauges() -> dict[str, float | None]:
            value = resources.statistics.registry.get_sample_value
            prefix = "noetl_api_database_connections"
            return {
                f"{name} {purpose}": value(f"{prefix}_{name}", {"purpose": purpose})
                for name in ("in_use", "max")
                for purpose in ("queries", "others")
            }

        async def during(*blocks: Any) -> dict[str, float | None]:
            async with AsyncExitStack() as stack:
                for block in blocks:
                    await stack.enter_async_context(block())
                return gauges()

        bounds = {"max queries": 3, "max others": 6}
        database = resources.database
        while gauges()["in_use others"]:
            pass  # the first turn of the upkeep
        assert {"in_use queries": 0, "in_use others": 0} | bounds == gauges()
        blocks = (database.query, database.query, database.transaction)
        held = api.loop.run(during(*blocks))
        assert {"in_use queries": 2, "in_use others": 1} | bounds == held
        assert {"in_use queries": 0, "in_use others": 0} | bounds == gauges()
        value = resources.statistics.registry.get_sample_value
        assert 3 <= (value("noetl_api_database_connections_open") or 0) <= 6
        assert 5_000 == value("noetl_api_ingest_bytes_max")


def test_the_server_reports_its_own_metrics(database_url: str) -> None:
    """At its end at the latest, the server writes its counts as rows under its own runtime."""
    with running_api(database_url, reports_itself=True, component_name="this-server") as api:
        runtime_id = api.register()
        api.insert({"runtime_id": runtime_id, "metrics": [{}]})
        api.get("/nowhere/at/all")
        api.get("/api/runtime/1/metrics")
    reported = {
        (name, labels.get("endpoint"), labels.get("status") or labels.get("reason")): value
        for name, labels, value in api.sql(
            "SELECT metric_name, m.labels, metric_value FROM noetl.metric AS m "
            "INNER JOIN noetl.runtime AS r USING (runtime_id) "
            "WHERE r.name = 'this-server' AND r.component_type = 'server_api' ORDER BY metric_id"
        )
    }
    expected = {
        ("noetl_api_requests_total", "/api/worker/pool/register", "200"): 1,
        ("noetl_api_requests_total", "/api/metrics", "200"): 1,
        ("noetl_api_requests_total", "unmatched", "404"): 1,
        ("noetl_api_requests_total", "/api/runtime/{runtime_id}/metrics", "404"): 1,
        ("noetl_api_request_duration_seconds_count", "/api/metrics", None): 1,
        ("noetl_api_samples_rejected_total", None, "malformed"): 1,
        ("noetl_api_partitions_created_total", None, None): 9,
    }
    assert {key: reported.get(key) for key in expected} == expected
