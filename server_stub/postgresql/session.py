"""What the server's sessions are, whatever the database, the role or the environment sets.

Settings of a session change what SQL means. Behind a pgbouncer that pools by transaction, a session
is another one in each transaction. So each transaction sets them itself when it begins. Only the
encoding belongs to the connection, which pgbouncer keeps too.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from psycopg.conninfo import conninfo_to_dict
from psycopg.sql import SQL, Literal

from server_stub.errors import StartupError
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from typing import Any

CONNECT_SECONDS = 4
"""How long the server waits for a connection to the database, unless the URL or
PGCONNECT_TIMEOUT says otherwise.

Within this time TCP asks again after 1 s and 3 s. So the server finds a machine that is back within
2 s."""

ENCODING = "UTF8"


class TimeOuts(NamedTuple):
    """How long a transaction waits for a lock, and for each of its statements; 0 is for ever."""

    lock_seconds: float = 5.0
    statement_seconds: float = 30.0


def connection_parameters(database_url: str) -> dict[str, Any]:
    """Return what `psycopg.connect` gets besides the URL.

    Args:
        database_url: the URL, whose own time-out for connecting counts more.
    """
    parameters: dict[str, Any] = {
        # This module begins the transactions, which takes no round trip of its own.
        "autocommit": True,
        # Without prepared statements, PostgreSQL plans every query with its parameters, which
        # pruning and the optional filters need, and pgbouncer may pool by transaction.
        "prepare_threshold": None,
        "application_name": "server_stub",
        # It counts more than PGCLIENTENCODING, the URL, the role and the database.
        "client_encoding": ENCODING,
    }
    if "connect_timeout" not in conninfo_to_dict(database_url) and (
        "PGCONNECT_TIMEOUT" not in os.environ
    ):
        parameters["connect_timeout"] = CONNECT_SECONDS
    return parameters


@cache
def begin(time_outs: TimeOuts) -> bytes:
    """Return the statements that begin a transaction, sent as one query without parameters.

    Args:
        time_outs: the bounds of the transaction.
    """
    return (
        SQL(read_sql("begin.sql"))
        .format(
            lock_timeout_ms=Literal(round(time_outs.lock_seconds * 1000)),
            statement_timeout_ms=Literal(round(time_outs.statement_seconds * 1000)),
        )
        .as_bytes(None)
    )


def check_encoding(encoding: str) -> None:
    """Refuse a database that cannot hold every text, or that does not know what its bytes mean.

    Args:
        encoding: the setting `server_encoding`.

    Raises:
        StartupError: it is another one than UTF8.
    """
    if encoding != ENCODING:
        raise StartupError(
            f"the database has the encoding {encoding}, and this server needs {ENCODING}, which "
            "a database has from its beginning. Make one by CREATE DATABASE metrics TEMPLATE "
            f"template0 ENCODING '{ENCODING}' LOCALE 'C'; and name it in --database-url"
        )
