"""Makes and migrates the schema `noetl`."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from server_stub.errors import StartupError
from server_stub.postgresql.session import TimeOuts, begin, check_encoding, connection_parameters
from server_stub.postgresql.sql_files import migration_names, read_sql

if TYPE_CHECKING:
    from collections.abc import Generator

    from psycopg import Connection

POSTGRESQL_VERSION_MIN = 15

_NO_TIME_OUTS = TimeOuts(lock_seconds=0, statement_seconds=0)

_A_DATABASE_OF_ITS_OWN = (
    "Give this server a database of its own (CREATE DATABASE metrics), and name that one in "
    "--database-url"
)

_logger = logging.getLogger(__name__)


def apply_schema(database_url: str) -> None:
    """Make the schema, or apply the migrations that it lacks; change nothing if it is up to date.

    Args:
        database_url: the database.

    Raises:
        StartupError: the database cannot be reached, is too old, is not UTF8 or read-only, does not
            allow it, or has tables `noetl.metric` and `noetl.runtime` of another shape.
    """
    with _locked_transaction(database_url) as connection:
        _apply(connection)


class SchemaState(NamedTuple):
    """How far the schema of a database is.

    `exists` says whether there is one. `missing` are the migrations that a server would apply at
    its start, and `unknown` those that a newer server has applied.
    """

    exists: bool
    missing: list[str]
    unknown: list[str]


def schema_state(database_url: str) -> SchemaState:
    """Return how far the schema of a database is; change nothing.

    Args:
        database_url: the database.

    Raises:
        StartupError: as `apply_schema`, but a read-only database will do.
    """
    with _locked_transaction(database_url) as connection:
        _refuse_other_shape(connection)
        names = migration_names()
        applied = _applied(connection)
    if applied is None:
        return SchemaState(exists=False, missing=names, unknown=[])
    missing = [name for name in names if name not in applied]
    return SchemaState(exists=True, missing=missing, unknown=sorted(applied - set(names)))


@contextmanager
def _locked_transaction(database_url: str) -> Generator[Connection]:
    """Begin a transaction in which no other server makes or migrates the schema."""
    try:
        with psycopg.connect(database_url, **connection_parameters(database_url)) as connection:
            check_version(connection.info.server_version)
            connection.execute(begin(_NO_TIME_OUTS))
            (encoding,) = connection.execute(read_sql("schema_state/encoding.sql")).fetchall()
            check_encoding(*encoding)
            connection.execute(read_sql("schema_state/lock.sql"))
            yield connection
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise StartupError(
            f"the schema noetl cannot be made or migrated, as the database is read-only: {error}. "
            "Name the primary of a standby in --database-url, or end default_transaction_read_only"
        ) from error
    except psycopg.OperationalError as error:
        raise StartupError(f"the database cannot be used: {error}") from error
    except psycopg.Error as error:
        raise StartupError(f"the schema noetl cannot be made: {error}") from error


def check_version(server_version: int) -> None:
    """Refuse a PostgreSQL that is too old.

    Args:
        server_version: the number that PostgreSQL gives itself, like 150004.

    Raises:
        StartupError: it is older than the oldest version that works.
    """
    major_version = server_version // 10_000
    if major_version < POSTGRESQL_VERSION_MIN:
        raise StartupError(
            f"the database is PostgreSQL {major_version}: "
            f"version {POSTGRESQL_VERSION_MIN} or newer is required"
        )


def _apply(connection: Connection) -> None:
    _refuse_other_shape(connection)
    names = migration_names()
    applied = _applied(connection)
    if applied is not None:
        names = [name for name in names if name not in applied]
        for name in names:
            _logger.info("applying migration %s", name)
            connection.execute(read_sql(f"migrations/{name}"))
    else:
        _logger.info("making the schema noetl")
        connection.execute(read_sql("schema.sql"))
    for name in names:
        connection.execute(read_sql("schema_state/record.sql"), {"name": name})


def _applied(connection: Connection) -> set[str] | None:
    """Return the migrations that a database has, or None if it has no schema."""
    if connection.execute(read_sql("schema_state/exists.sql")).fetchone() != (True,):
        return None
    return {name for (name,) in connection.execute(read_sql("schema_state/applied.sql"))}


def _refuse_other_shape(connection: Connection) -> None:
    """Refuse tables that are there already, and that this server cannot work with."""
    row = connection.execute(read_sql("schema_state/partition_key.sql")).fetchone()
    if row is not None and row[0] != "RANGE (created_at)":
        raise StartupError(
            "the database has a table noetl.metric that is not partitioned by RANGE (created_at): "
            "rename it, or use another database"
        )
    others = connection.execute(read_sql("schema_state/other_columns.sql")).fetchall()
    if others:
        shown = ", ".join(
            f"noetl.{table}.{column} {needed}" + (f" (it is {found})" if found else "")
            for table, column, needed, found in others
        )
        raise StartupError(
            f"the database has tables of other columns, perhaps from a NoETL server of another "
            f"version; this server needs {shown}. {_A_DATABASE_OF_ITS_OWN}"
        )
    if connection.execute(read_sql("schema_state/lacks_sequence.sql")).fetchone() == (True,):
        raise StartupError(
            "the database has a table noetl.metric whose metric_id has no sequence, and this "
            "server numbers its rows by one: CREATE SEQUENCE noetl.metric_metric_id_seq OWNED BY "
            "noetl.metric.metric_id; ALTER TABLE noetl.metric ALTER COLUMN metric_id SET DEFAULT "
            f"nextval('noetl.metric_metric_id_seq'). Or: {_A_DATABASE_OF_ITS_OWN}"
        )
