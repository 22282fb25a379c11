"""No request waits for ever on the database, and a 200 means that the rows are on its disk."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from server_stub.errors import StoreUnavailableError
from server_stub.postgresql.database import Database
from server_stub.postgresql.session import TimeOuts
from tests.server.application import Api, running_api, sample
from tests.server.database_queries import query, scalar

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

SHORT = {"lock_timeout_seconds": 0.3, "statement_timeout_seconds": 0.6}


def run(url: str, work: Any, time_outs: TimeOuts | None = None) -> Any:
    """Run a coroutine function with a Database."""

    async def with_database() -> Any:
        database = Database(url, 2, time_outs)
        await database.open()
        try:
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(with_database())


async def setting(database: Database, name: str) -> str:
    async with database.transaction() as connection:
        row = await (await connection.execute("SELECT current_setting(%s)", (name,))).fetchone()
    return str(row[0]) if row else ""


async def slow(database: Database, milliseconds: int = 0) -> None:
    """Run a statement for a minute, or until a bound of its own; 0 is none."""
    async with database.transaction() as connection:
        await connection.execute(f"SET LOCAL statement_timeout = {milliseconds}")
        await connection.execute("SELECT pg_sleep(60)")


def test_a_database_without_room_for_locks_is_named(database_url: str) -> None:
    """What PostgreSQL calls out of memory is a 503 that says what to narrow, and which setting is
    too small."""

    async def read_too_much(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("DO $$ BEGIN RAISE out_of_memory; END $$")

    with pytest.raises(StoreUnavailableError, match=r"start_time .* max_locks_per_transaction"):
        run(database_url, read_too_much)


def test_requests_behind_an_operators_lock_are_told_to_come_again(database_url: str) -> None:
    """While an operator has noetl.metric locked, more inserts and queries than there are
    connections get 503 with Retry-After, and liveness answers; afterwards all is as before."""
    with running_api(database_url, pool_size=2, **SHORT) as api:
        body = {"runtime_id": api.register(), "metrics": [sample()]}
        with psycopg.connect(database_url) as operator:
            operator.execute("LOCK TABLE noetl.metric IN ACCESS EXCLUSIVE MODE")
            with ThreadPoolExecutor(5) as threads:
                answers = list(threads.map(lambda _: api.insert(body), range(5)))
            for answer in answers:
                assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
                assert "had a lock for longer than 0.3 s" in answer.json()["detail"]
            assert 503 == api.get("/api/metrics").status_code
            assert 200 == api.get("/healthz").status_code
        assert 200 == api.insert(body).status_code
        assert [("jobs_total", "counter", 1.0, {})] == api.stored()


def test_a_query_that_takes_too_long_is_told_to_be_narrower(database_url: str) -> None:
    """A statement beyond its time-out gets 503, and the detail says what narrows a query."""
    with running_api(database_url, **SHORT) as api:
        api.register()
        # A view in place of the table makes any query slow, without many rows.
        api.sql(
            "ALTER TABLE noetl.runtime RENAME TO runtime_kept;"
            "CREATE VIEW noetl.runtime AS SELECT * FROM noetl.runtime_kept"
            " WHERE pg_sleep(60) IS NOT NULL"
        )
        answer = api.get("/api/runtime")
        api.sql("DROP VIEW noetl.runtime; ALTER TABLE noetl.runtime_kept RENAME TO runtime")
    assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
    assert "took longer than 0.6 s: narrow a query by start_time" in answer.json()["detail"]


def test_a_connection_is_whole_after_a_time_out(each_database_url: str) -> None:
    """After a statement's time-out, a cancelled request, an error and a cut connection, the pool
    lends working connections outside of any transaction."""

    async def work(database: Database) -> None:
        with pytest.raises(StoreUnavailableError, match="took longer than"):
            await slow(database, milliseconds=200)
        task = asyncio.create_task(slow(database))
        while await blocked(database) == 0:
            assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(psycopg.errors.DivisionByZero):
            async with database.transaction() as connection:
                await connection.execute("SELECT 1 / 0")
        with pytest.raises(StoreUnavailableError, match="cannot be reached"):
            async with database.transaction() as connection:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        for _ in range(4):
            async with database.transaction() as connection:
                row = await (await connection.execute("SELECT 1")).fetchone()
            assert (1,) == row

    async def blocked(database: Database) -> int:
        async with database.transaction() as connection:
            row = await (
                await connection.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND wait_event = 'PgSleep'"
                )
            ).fetchone()
        return int(row[0]) if row else 0

    run(each_database_url, work)


def test_what_fails_in_a_transaction_is_undone(each_database_url: str) -> None:
    """A block that ends is committed; a block that raises, or whose commit fails, is not."""

    async def insert_and_raise(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO public.kept VALUES (2)")
            raise RuntimeError

    async def work(database: Database) -> list[int]:
        async with database.transaction() as connection:
            await connection.execute(
                "CREATE TABLE public.kept (number int PRIMARY KEY);"
                "CREATE TABLE public.late"
                " (number int REFERENCES public.kept DEFERRABLE INITIALLY DEFERRED)"
            )
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO public.kept VALUES (1)")
        with pytest.raises(RuntimeError):
            await insert_and_raise(database)
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            async with database.transaction() as connection:
                await connection.execute("INSERT INTO public.late VALUES (9)")
        async with database.transaction() as connection:
            cursor = await connection.execute(
                "SELECT number FROM public.kept UNION TABLE public.late"
            )
            return [number for (number,) in await cursor.fetchall()]

    assert [1] == run(each_database_url, work)


def test_the_settings_end_with_the_transaction(each_database_url: str) -> None:
    """The time-outs hold within a transaction, and the connection itself is unchanged."""

    async def work(database: Database) -> list[str]:
        async with database.transaction() as connection:
            inside = [
                await setting_of(connection, name)
                for name in (
                    "lock_timeout",
                    "statement_timeout",
                    "idle_in_transaction_session_timeout",
                )
            ]
            await connection.commit()
            return [*inside, await setting_of(connection, "lock_timeout")]

    async def setting_of(connection: Any, name: str) -> str:
        row = await (await connection.execute("SELECT current_setting(%s)", (name,))).fetchone()
        return str(row[0])

    assert ["7s", "8s", "8s", "0"] == run(each_database_url, work, TimeOuts(7, 8))


@pytest.mark.parametrize(
    ("configured", "used"), [("off", "on"), ("on", "on"), ("remote_apply", "remote_apply")]
)
def test_a_commit_waits_for_the_disk(each_database_url: str, configured: str, used: str) -> None:
    """A commit waits for the disk on this server, even if the database's default is not to."""
    with psycopg.connect(each_database_url, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname} SET synchronous_commit = {configured}"
        )
    assert used == run(each_database_url, lambda database: setting(database, "synchronous_commit"))


def test_a_database_that_can_lose_what_it_committed_is_named(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """On start a warning names the setting that can lose committed rows: the tests' fsync = off."""

    async def nothing(database: Database) -> None:
        del database

    with caplog.at_level(logging.WARNING):
        run(database_url, nothing)
    assert ["fsync"] == [record.args[0] for record in caplog.records if record.args]  # type: ignore[index]
    assert "what is answered 200 can be lost" in caplog.text


@pytest.mark.once
def test_a_database_that_hangs_is_given_up(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped PostgreSQL process holds up neither its request nor the pool's next one."""
    margin = "server_stub.postgresql.database.CLIENT_SIDE_SECONDS"

    async def hang(database: Database, stopped: list[int]) -> None:
        async with database.transaction() as connection:
            stopped.append(connection.info.backend_pid)
            os.kill(stopped[0], signal.SIGSTOP)
            await connection.execute("SELECT 1")

    async def work(database: Database) -> str:
        stopped: list[int] = []
        try:
            with monkeypatch.context() as patched:
                # Only the transaction that hangs is short: the others need time.
                patched.setattr(margin, 0.3 - sum(TimeOuts()))
                with pytest.raises(StoreUnavailableError, match="took longer than 30 s"):
                    await hang(database, stopped)
            return await setting(database, "lock_timeout")
        finally:
            os.kill(stopped[0], signal.SIGCONT)

    assert "5s" == run(database_url, work)


def test_a_time_out_for_transactions_is_not_the_requests(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A transaction has the server's own bounds only; if a transaction is ended all the same, the
    answer is 503, and the log says why."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname} SET transaction_timeout = '100ms'"
        )

    async def end(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("SET LOCAL transaction_timeout = '1ms'; SELECT pg_sleep(60)")

    async def work(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("SELECT pg_sleep(0.2)")
        with pytest.raises(StoreUnavailableError, match="cannot be reached or is busy"):
            await end(database)
        assert "0" == await setting(database, "transaction_timeout")

    run(database_url, work)
    assert "due to transaction timeout" in caplog.text


def test_a_schema_that_is_renamed_is_said(
    embedded_api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """While the tables are not where they were, every route answers 503, and the log says what is
    missing; afterwards all is as before."""
    api = embedded_api
    body = {"runtime_id": api.register(), "metrics": [sample()]}
    api.sql("ALTER SCHEMA noetl RENAME TO kept")
    paths = ("/metrics", "/api/runtime", "/readyz")
    answers = [api.insert(body), *(api.get(path) for path in paths)]
    assert {503} == {answer.status_code for answer in answers}
    assert {"1"} == {answer.headers["retry-after"] for answer in answers}
    assert "lacks a right or a table that this server needs" in answers[0].json()["detail"]
    assert 'relation "noetl.runtime" does not exist' in caplog.text
    api.sql("ALTER SCHEMA kept RENAME TO noetl")
    assert 200 == api.insert(body).status_code


@pytest.mark.parametrize(
    "right", ["INSERT ON noetl.metric", "UPDATE ON noetl.metric_batch", "SELECT ON noetl.runtime"]
)
def test_a_right_that_is_revoked_is_said(
    database_url: str, caplog: pytest.LogCaptureFixture, right: str
) -> None:
    """Without a right that it needs, an insert is answered 503, and the log names the table."""
    with running_api(database_url) as first:
        runtime_id = first.register()
    role = "limited_" + str(scalar(database_url, "SELECT current_database()"))
    query(
        database_url,
        f"CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA noetl TO {role};"
        f"GRANT ALL ON ALL TABLES IN SCHEMA noetl TO {role};"
        f"GRANT ALL ON ALL SEQUENCES IN SCHEMA noetl TO {role}",
    )
    try:
        body = {"runtime_id": runtime_id, "metrics": [sample()]}
        with running_api(psycopg.conninfo.make_conninfo(database_url, user=role)) as api:
            assert 200 == api.insert(body, idempotency_key="a:1").status_code
            query(database_url, f"REVOKE {right} FROM {role}")
            answer = api.insert(body, idempotency_key="a:2")
            assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
            query(database_url, f"GRANT {right} TO {role}")
            assert 200 == api.insert(body, idempotency_key="a:3").status_code
        table = right.rpartition(".")[2]
        assert f"permission denied for table {table}" in caplog.text
    finally:
        query(database_url, f"DROP OWNED BY {role}; DROP ROLE {role}")
