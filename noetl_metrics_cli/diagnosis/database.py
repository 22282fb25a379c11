"""Checks of a server's database: the schema, the role's rights, PostgreSQL's settings, locks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg

from noetl_metrics_cli.diagnosis.finding import clock_finding, failure, ok, warning
from noetl_metrics_cli.terminal.output import shown_ago
from server_stub.errors import StartupError
from server_stub.postgresql.created import DAYS_AT_ONCE
from server_stub.postgresql.lock_capacity import Capacity, locks_needed
from server_stub.postgresql.schema import schema_state
from server_stub.postgresql.session import connection_parameters
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Generator
    from typing import Any

    from noetl_metrics_cli.diagnosis.finding import Finding
    from server_stub.settings import Settings


def check_database(database_url: str, settings: Settings) -> Generator[Finding]:
    """Yield what is found in a database.

    Args:
        database_url: the database of a server.
        settings: those of the server, as far as this machine's environment has them.
    """
    try:
        state = schema_state(database_url)
    except StartupError as error:
        yield failure(
            "database",
            " ".join(str(error).split()),
            "--database-url has to be the server's, and its PostgreSQL has to be running",
        )
        return
    yield ok("database", "it can be used")
    if state.missing:
        yield warning(
            "schema",
            f"{len(state.missing)} migrations are missing" if state.exists else "there is none",
            "noetl-metrics migrate applies them, and so does a server when it starts",
        )
    else:
        yield ok("schema", "it is up to date")
    with psycopg.connect(database_url, **connection_parameters(database_url)) as connection:
        yield from _role(connection)
        yield from _settings(connection)
        if state.exists:
            yield _lock_capacity(connection, settings)
            yield from _blocking_sessions(connection)
        ((seconds,),) = _rows(connection, "diagnosis/clock.sql")
        yield clock_finding("database's clock", "the database's", seconds - time.time())


def _role(connection: psycopg.Connection) -> Generator[Finding]:
    ((role, is_owner, may_skip_checks),) = _rows(connection, "diagnosis/role.sql")
    if not is_owner:
        yield failure(
            "role",
            f"{role} does not own noetl.metric, so it can neither make nor drop partitions",
            f'ALTER SCHEMA noetl OWNER TO "{role}", and so its tables; or use their owner',
        )
    elif not may_skip_checks:
        yield warning(
            "role",
            f"{role} lacks a right that saves a fifth of the cost of inserts",
            f'GRANT SET ON PARAMETER session_replication_role TO "{role}"',
        )
    else:
        yield ok("role", f"{role} has all rights that it needs")


def _settings(connection: psycopg.Connection) -> Generator[Finding]:
    unsafe = [name for (name,) in _rows(connection, "partitions/unsafe_settings.sql")]
    for name in unsafe:
        yield warning(
            name,
            "it is off: what is answered 200 can be lost when the database's machine fails",
            f"ALTER SYSTEM SET {name} = on; SELECT pg_reload_conf()",
        )
    if not unsafe:
        yield ok("fsync", "it is on, and so is full_page_writes")
    ((buffers, wal),) = _rows(connection, "diagnosis/sizes.sql")
    yield ok(
        "memory",
        f"shared_buffers is {buffers}, max_wal_size is {wal}",
        "for many inserts: a quarter of the memory, and some gigabytes",
    )


def _lock_capacity(connection: psycopg.Connection, settings: Settings) -> Finding:
    (row,) = _rows(connection, "partitions/lock_capacity.sql")
    capacity = Capacity._make(row)
    needed = locks_needed(capacity, settings, DAYS_AT_ONCE.days)
    said = f"max_locks_per_transaction is {capacity.per_connection}"
    if needed <= capacity.per_connection:
        return ok("locks", f"{said}, which is enough for {capacity.partitions} partitions")
    return warning(
        "locks",
        f"{said}, and the days that are kept need {needed}: queries may fail",
        f"ALTER SYSTEM SET max_locks_per_transaction = {needed}, and restart PostgreSQL",
    )


def _blocking_sessions(connection: psycopg.Connection) -> Generator[Finding]:
    sessions = _rows(connection, "diagnosis/blocking_sessions.sql")
    for pid, name, state, seconds in sessions:
        yield warning(
            "retention's locks",
            f"{name} (process {pid}, {state}) has held one for {shown_ago(seconds)}",
            f"expired days wait for it: end it, or SELECT pg_terminate_backend({pid})",
        )
    if not sessions:
        yield ok("retention's locks", "no transaction has held one for a minute")


def _rows(connection: psycopg.Connection, path: str) -> list[tuple[Any, ...]]:
    return connection.execute(read_sql(path)).fetchall()
