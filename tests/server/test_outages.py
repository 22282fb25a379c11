"""Connections that have died cost no request, and a database that is back is found at once."""

from __future__ import annotations

import logging
import select
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from server_stub.postgresql import connections, readiness
from server_stub.postgresql.schema import apply_schema
from tests.pgbouncer import find_pgbouncer, pooled
from tests.postgresql import with_options
from tests.server.application import running_api, sample
from tests.server.database_queries import query, scalar

if TYPE_CHECKING:
    from tests.postgresql import RestartableCluster
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

CONNECTIONS = 4
WAIT_SECONDS = 30.0
BACK_SECONDS = 5.0
"""How soon after its start a database serves again, at most: two seconds, and what a busy machine
adds."""

OUTAGE_SECONDS = 8.0
"""With pauses that double, the next attempt would come 15 s after the beginning of the outage."""

OF_SERVER = (
    " FROM pg_stat_activity WHERE application_name = 'server_stub' AND datname = current_database()"
)


@pytest.fixture(autouse=True)
def _each_request_asks_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """`GET /readyz` may not answer from what another request has seen a moment ago."""
    monkeypatch.setattr(readiness, "LOOK_SECONDS", 0.0)


def inserted_at_once(api: Api, count: int) -> list[int]:
    """Send batches at the same moment; return the statuses of the answers."""
    body = {"runtime_id": api.register(), "metrics": [sample()]}
    with ThreadPoolExecutor(count) as threads:
        answers = list(threads.map(lambda _: api.insert(body), range(count)))
    return [answer.status_code for answer in answers]


def fill_pool(api: Api) -> None:
    """Have the pool make all of its connections."""
    while scalar(api.database_url, "SELECT count(*)" + OF_SERVER) < CONNECTIONS:
        inserted_at_once(api, 4 * CONNECTIONS)


def test_connections_that_were_ended_cost_no_request(database_url: str) -> None:
    """If all connections of the pool have been ended, requests at once get others."""
    with running_api(database_url, pool_size=CONNECTIONS) as api:
        fill_pool(api)
        query(database_url, "SELECT pg_terminate_backend(pid)" + OF_SERVER)
        assert {200} == set(inserted_at_once(api, 2 * CONNECTIONS))
        assert {200} == {api.get(path).status_code for path in ("/readyz", "/metrics")}


def test_an_idle_session_time_out_costs_no_request(database_url: str) -> None:
    """If the database ends sessions that are idle, each request gets a session that lives."""
    patient = with_options(database_url, "-c idle_session_timeout=0")
    with running_api(database_url, pool_size=CONNECTIONS) as api:
        with psycopg.connect(patient, autocommit=True) as connection:
            connection.execute(
                f"ALTER DATABASE {connection.info.dbname} SET idle_session_timeout = '30ms'"
            )
        query(patient, "SELECT pg_terminate_backend(pid)" + OF_SERVER)
        for _ in range(3):
            while scalar(patient, "SELECT count(*)" + OF_SERVER):
                pass
            assert 200 == api.get("/readyz").status_code


def test_an_idle_time_out_of_pgbouncer_costs_no_request(database_url: str) -> None:
    """The same holds if pgbouncer ends the connections of clients that are idle."""
    program = find_pgbouncer()
    if program is None:
        pytest.skip("no pgbouncer: it is neither on PATH nor in /usr/sbin")
    with (
        pooled(program, database_url, "client_idle_timeout = 1") as url,
        running_api(url, pool_size=CONNECTIONS) as api,
    ):
        runtime_id = api.register()
        with psycopg.connect(url, autocommit=True) as later:
            later.execute("SELECT 1")
            # What pgbouncer ends is readable. The server's connections are idle for longer.
            readable, _, _ = select.select([later.fileno()], [], [], WAIT_SECONDS)
            assert [later.fileno()] == readable
        assert 200 == api.insert({"runtime_id": runtime_id, "metrics": [sample()]}).status_code


def test_a_database_without_room_for_more_connections_is_there(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the database lets the server make only some connections, requests share these."""
    monkeypatch.setattr(connections, "POOL_WAIT_SECONDS", 1.5)
    role = "few_" + str(scalar(database_url, "SELECT current_database()"))
    apply_schema(database_url)
    query(
        database_url,
        f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 2;"
        f"GRANT USAGE ON SCHEMA noetl TO {role};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA noetl TO {role};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA noetl TO {role};"
        "SELECT noetl.initialize_metric_partitions()",
    )
    try:
        limited = make_conninfo(database_url, user=role)
        with running_api(limited, pool_size=CONNECTIONS) as api:
            began_at = time.monotonic()
            while time.monotonic() - began_at < 2.0:
                assert {200} == set(inserted_at_once(api, CONNECTIONS))
    finally:
        query(database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_a_restart_costs_no_later_request(restartable_postgresql: RestartableCluster) -> None:
    """All requests after a restart of PostgreSQL succeed, though every connection is dead."""
    with running_api(restartable_postgresql.url, pool_size=CONNECTIONS) as api:
        fill_pool(api)
        restartable_postgresql.stop("fast")
        restartable_postgresql.start()
        assert {200} == set(inserted_at_once(api, 2 * CONNECTIONS))


def test_a_database_that_is_back_is_found_at_once(
    restartable_postgresql: RestartableCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """During an outage requests are told that the database is away, and the log says it once; after
    its end, requests succeed at once, however long it was."""
    with running_api(restartable_postgresql.url, pool_size=CONNECTIONS) as api:
        fill_pool(api)
        restartable_postgresql.stop()
        caplog.clear()
        began_at = time.monotonic()
        with caplog.at_level(logging.WARNING):
            answers = [api.get("/readyz")]
            while time.monotonic() - began_at < OUTAGE_SECONDS:
                time.sleep(0.05)
        restartable_postgresql.start()
        back_at = time.monotonic()
        while api.get("/readyz").status_code != 200:
            assert time.monotonic() - back_at < BACK_SECONDS
        assert {200} == set(inserted_at_once(api, 2 * CONNECTIONS))
    assert {503} == {answer.status_code for answer in answers}
    assert "the database cannot be reached: try again later" == answers[0].json()["detail"]
    assert 1 == caplog.text.count("no connection to the database")


def test_a_long_outage_is_answered_at_once(
    restartable_postgresql: RestartableCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the database has been away for longer than a request waits, none waits for it."""
    with running_api(restartable_postgresql.url, pool_size=CONNECTIONS) as api:
        restartable_postgresql.stop()
        monkeypatch.setattr(connections, "POOL_WAIT_SECONDS", 0.5)
        try:
            while api.get("/readyz").elapsed.total_seconds() > 0.25:
                pass
            answer = api.get("/readyz")
            assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
            assert "the database cannot be reached: try again later" == answer.json()["detail"]
        finally:
            restartable_postgresql.start()


def test_a_request_does_not_wait_for_ever_within_pgbouncer(
    restartable_postgresql: RestartableCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While pgbouncer is there and PostgreSQL is not, a request waits no longer than for any other
    connection; once PostgreSQL is back, requests succeed at once."""
    program = find_pgbouncer()
    if program is None:
        pytest.skip("no pgbouncer: it is neither on PATH nor in /usr/sbin")
    with (
        pooled(program, restartable_postgresql.url, "server_login_retry = 1") as url,
        running_api(url, pool_size=CONNECTIONS) as api,
    ):
        restartable_postgresql.stop()
        with monkeypatch.context() as patched:
            patched.setattr(connections, "POOL_WAIT_SECONDS", 0.3)
            answer = api.get("/readyz")
        restartable_postgresql.start()
        assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
        back_at = time.monotonic()
        while api.get("/readyz").status_code != 200:
            assert time.monotonic() - back_at < BACK_SECONDS
