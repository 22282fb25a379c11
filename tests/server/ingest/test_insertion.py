"""Batches into the database: which locks they hold, which checks they skip, and a full server."""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from server_stub.postgresql.connections import WAITING_PER_CONNECTION_MAX
from tests.server.application import Api, running_api, sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

BLOCKED = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


class Background:
    """A call in a thread of its own, and what it returned."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._outcome: list[Any] = []
        self._thread = threading.Thread(target=lambda: self._outcome.append(work()))
        self._thread.start()

    def result(self) -> Any:
        self._thread.join()
        return self._outcome[0]


def wait_until_blocked(api: Api, count: int) -> None:
    with psycopg.connect(api.database_url, autocommit=True) as connection:
        while connection.execute(BLOCKED).fetchone() != (count,):
            pass


@pytest.fixture
def api(each_database_url: str) -> Generator[Api]:
    """The application, patient with locks: the tests hold them as long as they need."""
    with running_api(each_database_url, lock_timeout_seconds=100.0) as running:
        yield running


@contextmanager
def claims_held_up(api: Api) -> Generator[None]:
    """Let every batch with a key wait between finding its component and inserting its rows."""
    with psycopg.connect(api.database_url) as connection:
        connection.execute("LOCK TABLE noetl.metric_batch IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def role_without_rights(api: Api) -> Generator[str]:
    """Yield the URL of a role that owns nothing and may set nothing."""
    api.sql(
        "CREATE ROLE plain LOGIN;"
        "GRANT USAGE ON SCHEMA noetl TO plain;"
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA noetl TO plain;"
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA noetl TO plain"
    )
    try:
        yield make_conninfo(api.database_url, user="plain")
    finally:
        api.sql("DROP OWNED BY plain; DROP ROLE plain")


def test_a_component_is_not_removed_under_a_batch(api: Api) -> None:
    """Deleting a component waits for a batch of it that is under way, and then deletes its rows
    too; no row is left without its component."""
    runtime_id = api.register()
    body = {"runtime_id": runtime_id, "metrics": [sample()]}
    with claims_held_up(api):
        insert = Background(lambda: api.insert(body, idempotency_key="boot:1"))
        wait_until_blocked(api, 1)
        delete = Background(
            lambda: api.sql("DELETE FROM noetl.runtime WHERE runtime_id = %s", int(runtime_id))
        )
        wait_until_blocked(api, 2)
    assert 200 == insert.result().status_code
    assert [] == delete.result()
    assert [] == api.stored()
    assert 404 == api.insert(body).status_code


def test_row_checks_are_skipped_for_a_transaction(api: Api) -> None:
    """The transaction skips the foreign key until it ends, and the key holds again afterwards."""
    insert = (
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value)"
        " VALUES (1, 'a', 'gauge', 1)"
    )
    with psycopg.connect(api.database_url) as connection:
        connection.execute("SELECT noetl.skip_row_checks()")
        connection.execute(insert)
        connection.rollback()
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(insert)


def test_without_the_right_the_foreign_key_is_looked_up(api: Api) -> None:
    """A role that may not skip the checks inserts all the same, and its rows are checked."""
    with role_without_rights(api) as url, psycopg.connect(url, autocommit=True) as connection:
        assert (False,) == connection.execute("SELECT noetl.skip_row_checks()").fetchone()
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            connection.execute(
                "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value)"
                " VALUES (1, 'a', 'gauge', 1)"
            )
        api.sql("GRANT SET ON PARAMETER session_replication_role TO plain")
        assert (True,) == connection.execute("SELECT noetl.skip_row_checks()").fetchone()


@pytest.mark.parametrize("table", ["metric", "a partition"])
def test_an_operators_own_trigger_fires(api: Api, table: str) -> None:
    """If an operator has put a trigger on the table or a partition, nothing is skipped."""
    (today,) = api.sql("SELECT to_char(now() AT TIME ZONE 'UTC', '\"metric_\"YYYY_MM_DD')")[0]
    api.sql(
        "CREATE TABLE seen (name text);"
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO public.seen VALUES (new.metric_name); RETURN new; END';"
        f"CREATE TRIGGER see AFTER INSERT ON noetl.{today if table == 'a partition' else table}"
        " FOR EACH ROW EXECUTE FUNCTION see()"
    )
    body = {"runtime_id": api.register(), "metrics": [sample()]}
    assert 200 == api.insert(body).status_code
    assert ("jobs_total",) in api.sql("SELECT name FROM seen")


def test_a_full_server_refuses_and_recovers(database_url: str) -> None:
    """When the bodies in memory reach the bound, the server answers the next one with 503 and
    Retry-After; one body always fits, and afterwards there is room again."""
    with running_api(database_url, ingest_bytes_max=1_024, lock_timeout_seconds=100.0) as api:
        runtime_id = api.register()
        large = {"runtime_id": runtime_id, "metrics": [sample(labels={"a": "x" * 2_000})]}
        with claims_held_up(api):
            first = Background(lambda: api.insert(large, idempotency_key="boot:1"))
            wait_until_blocked(api, 1)
            refused = api.insert(large, idempotency_key="boot:2")
            assert (503, "1") == (refused.status_code, refused.headers["retry-after"])
            assert "try again later" in refused.json()["detail"]
        assert 200 == first.result().status_code
        assert 200 == api.insert(large, idempotency_key="boot:2").status_code
        assert 0 == api.app.state.resources.admission.bytes_held
        assert 2 == len(api.stored())


def test_a_batch_that_could_only_be_refused_is_not_read(database_url: str) -> None:
    """While as many requests wait for a connection to the database as may, the server answers the
    next batch with 503 before it reads the body; those that waited are inserted."""
    with running_api(database_url, pool_size=1, lock_timeout_seconds=100.0) as api:
        body = {"runtime_id": api.register(), "metrics": [sample()]}
        with claims_held_up(api):
            waiting = [
                Background(partial(api.insert, body, idempotency_key=f"b-{number}:1"))
                for number in range(1 + WAITING_PER_CONNECTION_MAX)
            ]
            wait_until_blocked(api, 1)
            while api.app.state.resources.database.requests_waiting < WAITING_PER_CONNECTION_MAX:
                pass
            refused = api.post("/api/metrics", content=_Unreadable())
            assert (503, "1") == (refused.status_code, refused.headers["retry-after"])
            assert "every connection to the database is in use" in refused.json()["detail"]
        assert {200} == {one.result().status_code for one in waiting}
        assert len(waiting) == len(api.stored())


class _Unreadable:
    """A body that must not be asked for."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("the server has asked for the body")


def test_what_a_body_decompresses_to_counts(database_url: str) -> None:
    """A body that grows beyond the bound while another is in memory is refused, not held."""
    with running_api(database_url, ingest_bytes_max=4_096, lock_timeout_seconds=100.0) as api:
        runtime_id = api.register()
        small = {"runtime_id": runtime_id, "metrics": [sample()]}
        large = {"runtime_id": runtime_id, "metrics": [sample(labels={"a": "x" * 4_000})]}
        packed = gzip.compress(json.dumps(large).encode())
        with claims_held_up(api):
            first = Background(lambda: api.insert(small, idempotency_key="boot:1"))
            wait_until_blocked(api, 1)
            refused = api.post("/api/metrics", content=packed, headers={"content-encoding": "gzip"})
            assert 503 == refused.status_code
        assert 200 == first.result().status_code
        assert 0 == api.app.state.resources.admission.bytes_held
