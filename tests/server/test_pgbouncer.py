"""Behind a pgbouncer that pools by transaction, the server works as without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from tests.pgbouncer import SERVER_CONNECTIONS_MAX, find_pgbouncer, pooled
from tests.server.application import sample
from tests.server.expired_days import names_in, store
from tests.server_process import ServerProcess, start_server

if TYPE_CHECKING:
    from collections.abc import Generator

pytestmark = pytest.mark.once


@pytest.fixture
def pooled_url(each_database_url: str) -> Generator[str]:
    program = find_pgbouncer()
    if program is None:
        pytest.skip("no pgbouncer: it is neither on PATH nor in /usr/sbin")
    with pooled(program, each_database_url) as url:
        yield url


@pytest.fixture
def servers(pooled_url: str) -> Generator[list[ServerProcess]]:
    """Two servers on one pgbouncer, one of them with two worker processes."""
    running: list[ServerProcess] = []
    try:
        running.extend(start_server(pooled_url, *flags) for flags in ([], ["--workers=2"]))
        yield running
        assert [0, 0] == [each.stop() for each in running]
    finally:
        for each in running:
            each.process.kill()
            each.process.wait()
            assert each.process.stdout is not None
            each.process.stdout.close()


def test_two_servers_work_through_pgbouncer(
    servers: list[ServerProcess], each_database_url: str
) -> None:
    """Two servers that share pgbouncer's few connections do everything: schema, registration,
    inserts and their repeats, queries, the exposition, and partitions made and dropped."""
    first, second = (each.url for each in servers)
    component = {"name": "cpu-01"}
    ids = {
        httpx.post(f"{url}/api/runtime/register", json=component).json()["runtime_id"]
        for url in (first, second)
    }
    assert 1 == len(ids)
    body = {"runtime_id": ids.pop(), "metrics": [sample(metric_value=n) for n in range(700)]}
    statuses = [
        httpx.post(
            f"{url}/api/metrics", json=body, headers={"Idempotency-Key": f"boot:{number}"}
        ).json()["status"]
        for number in range(1, 6)
        for url in (first, second, first)
    ]
    assert ["ok", "duplicate", "duplicate"] * 5 == statuses
    found = httpx.get(f"{second}/api/metrics?metric_name=jobs_total&limit=1000").json()
    assert 1000 == len(found["metrics"])
    assert "jobs_total{" in httpx.get(f"{first}/metrics").text
    made = httpx.post(f"{second}/api/metrics/partitions/create?days_ahead=9").json()
    assert 2 == made["created_count"]
    with psycopg.connect(each_database_url, autocommit=True) as connection:
        connection.execute("SELECT noetl.create_metric_partition('2024-02-29')")
        dropped = httpx.post(f"{first}/api/metrics/cleanup").json()["dropped_partitions"]
        assert ["metric_2024_02_29"] == dropped
        assert {200} == {httpx.get(f"{url}/readyz").status_code for url in (first, second)}
        connections = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'server_stub'"
            " AND datname = current_database()"
        ).fetchone()
        assert connections is not None
        assert 1 <= connections[0] <= SERVER_CONNECTIONS_MAX
        stored = connection.execute(
            "SELECT count(*) FROM noetl.metric WHERE metric_name = 'jobs_total'"
        ).fetchone()
        assert (5 * 700,) == stored


def test_a_day_is_rebuilt_through_pgbouncer(pooled_url: str, each_database_url: str) -> None:
    """Copy and swap are one transaction, and leave nothing behind in a session."""
    running = start_server(pooled_url, "--metric-retention-days=jobs_total=30")
    try:
        name = store(each_database_url, 3, "jobs_total", "load")
        answer = httpx.post(f"{running.url}/api/metrics/cleanup", timeout=60).json()
        assert answer["message"].endswith(f"removed what has expired from 1: {name}")
        assert {"jobs_total"} == names_in(each_database_url, name)
        assert 0 == running.stop()
    finally:
        running.process.kill()
        running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()
