"""The transactions on the pool's connections, their bounds, and what failures mean to a client.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from psycopg import AsyncConnection, InterfaceError, OperationalError, errors
from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb

from server_stub.errors import DatabaseReadOnlyError, StoreUnavailableError
from server_stub.postgresql.connections import Connections
from server_stub.postgresql.query_places import QueryPlaces
from server_stub.postgresql.session import TimeOuts, begin
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from psycopg import AsyncCursor

QUERIES_SHARE = 2
"""Queries have at most one of so many connections; the others are for batches and upkeep."""

ROWS_FETCHED_AT_ONCE = 500
"""To make objects of so many rows takes some milliseconds."""

CLIENT_SIDE_SECONDS = 5.0
"""How much longer than the database's own time-outs a transaction may take. If it does not end by
then, the database does not even keep its own time-outs."""

_UNFIT = (
    errors.InsufficientPrivilege,
    errors.InvalidSchemaName,
    errors.UndefinedColumn,
    errors.UndefinedFunction,
    errors.UndefinedObject,
    errors.UndefinedTable,
)
"""What PostgreSQL says when an operator has taken away what this server made or needs."""

_BROKEN_OFF = (
    OperationalError,
    InterfaceError,
    errors.IdleInTransactionSessionTimeout,
    errors.TransactionTimeout,
)

_logger = logging.getLogger(__name__)

_Row = TypeVar("_Row")


class ConnectionUse(NamedTuple):
    """How many connections of the pool are in use now, by purpose, and how many are open."""

    queries: int
    others: int
    open: int


class Database:
    """A pool of connections.

    Args:
        database_url: the database.
        pool_size: the most connections.
        time_outs: the bounds of every transaction.
    """

    def __init__(
        self, database_url: str, pool_size: int, time_outs: TimeOuts | None = None
    ) -> None:
        self._time_outs = time_outs or TimeOuts()
        self._connections = Connections(database_url, pool_size)
        self._query_places = QueryPlaces(max(1, pool_size // QUERIES_SHARE))
        self._queries = 0

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreUnavailableError: the database cannot be reached.
        """
        await self._connections.open()
        for name in await self.scalars("partitions/unsafe_settings.sql"):
            _logger.warning(
                "the database has %s = off: what is answered 200 can be lost when its machine "
                "fails. Turn it on where that matters",
                name,
            )

    async def close(self) -> None:
        """Close every connection."""
        await self._connections.close()

    @property
    def requests_waiting(self) -> int:
        """How many requests wait for a connection now."""
        return self._connections.requests_waiting + self._query_places.waiting

    @property
    def queries_max(self) -> int:
        """How many connections queries may have at once."""
        return self._query_places.count

    def check_room(self) -> None:
        """Refuse a request that could only be refused once it needs a connection.

        Raises:
            StoreUnavailableError: as many requests wait for a connection as may.
        """
        self._connections.check_room()

    def connection_use(self) -> ConnectionUse:
        """Return what the connections are used for now."""
        return ConnectionUse(
            self._queries, self._connections.lent - self._queries, self._connections.open_count
        )

    async def check_writable(self) -> None:
        """Look whether the database takes writes.

        Raises:
            DatabaseReadOnlyError: it does not; the message says why.
            StoreUnavailableError: the database is away or busy.
        """
        async with self.transaction() as connection:
            for reason in await scalars_in(connection, "partitions/read_only_reason.sql"):
                raise DatabaseReadOnlyError(reason)

    @asynccontextmanager
    async def transaction(
        self, time_outs: TimeOuts | None = None
    ) -> AsyncGenerator[AsyncConnection[Any]]:
        """Lend a connection for one transaction, committed to disk unless the block raises.

        Args:
            time_outs: the bounds of this transaction, if they differ from the others'.

        Raises:
            StoreUnavailableError: the database is away, busy or read-only, took too long, or lacks
                what the server made; nothing was committed.
        """
        bounds = time_outs or self._time_outs
        # Each time-out bounds one lock or one statement, and a transaction may have many. One that
        # takes longer than this is not worth its connection.
        seconds = sum(bounds) + CLIENT_SIDE_SECONDS
        deadline: asyncio.Timeout | None = None
        try:
            connection = await self._connections.lend(begin(bounds))
            try:
                async with connection, asyncio.timeout(seconds) as deadline:
                    yield connection
                    # The commit is within the deadline; the pool finds nothing left to commit.
                    await connection.commit()
            finally:
                await self._connections.take_back(connection)
        except errors.QueryCanceled as error:
            raise _took_too_long(bounds) from error
        except TimeoutError as error:
            if deadline is None or not deadline.expired():
                raise
            _logger.warning("the database did not answer for %g s", seconds)
            raise _took_too_long(bounds) from error
        except errors.LockNotAvailable as error:
            raise StoreUnavailableError(
                f"the database had a lock for longer than {bounds.lock_seconds:g} s: "
                "try again later"
            ) from error
        except (errors.ReadOnlySqlTransaction, DatabaseReadOnlyError) as error:
            # The connections may remember that: a session keeps what it was told at its start, and
            # another machine may be the primary by now.
            _logger.warning("the database takes no writes: %s", error)
            await self._connections.replace_all()
            if isinstance(error, DatabaseReadOnlyError):
                raise
            raise DatabaseReadOnlyError("it is read-only, or a hot standby") from error
        except _UNFIT as error:
            _logger.error("the database is not as this server made it: %s", error)  # noqa: TRY400
            raise StoreUnavailableError(
                "the database lacks a right or a table that this server needs; the server's log "
                "says which. Try again later"
            ) from error
        except errors.OutOfMemory as error:
            _logger.warning("the database has no room for it: %s", error)
            raise StoreUnavailableError(
                "the database has no room for that now: narrow a query by start_time and end_time. "
                "For the locks of many days its max_locks_per_transaction may be too small; the "
                "server's log says at its start which value is right"
            ) from error
        except _BROKEN_OFF as error:
            _logger.warning("the database did not take it: %s", error)
            raise StoreUnavailableError(
                "the database cannot be reached or is busy: try again later"
            ) from error

    @asynccontextmanager
    async def query(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """Lend a connection for a transaction that only reads for a client, like `transaction()`.

        Such queries never have all connections at once, so batches go on beside them.

        Raises:
            StoreUnavailableError: as many queries run as may, or the database is away or busy.
        """
        async with self._query_places.taken(), self.transaction() as connection:
            self._queries += 1
            try:
                yield connection
            finally:
                self._queries -= 1

    async def scalars(self, path: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Run a query in a transaction of its own; return the first column of its rows.

        Args:
            path: the file of the query below `sql/`: `components/heartbeat.sql` for example.
            parameters: the query's parameters.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        async with self.transaction() as connection:
            return await scalars_in(connection, path, parameters)


async def scalars_in(
    connection: AsyncConnection[Any], path: str, parameters: Mapping[str, Any] | None = None
) -> list[Any]:
    """Run a query in a transaction that has begun; return the first column of its rows.

    Args:
        connection: in the transaction.
        path: the file of the query below `sql/`: `components/heartbeat.sql` for example.
        parameters: the query's parameters.
    """
    cursor = connection.cursor(row_factory=scalar_row)
    await cursor.execute(read_sql(path), parameters)
    return await cursor.fetchall() if cursor.description else []


async def fetch_all(
    cursor: AsyncCursor[_Row], rows_at_once: int = ROWS_FETCHED_AT_ONCE
) -> list[_Row]:
    """Return the rows of a query; other requests get their turn after every few of them.

    Args:
        cursor: after its query.
        rows_at_once: after how many rows.
    """
    rows: list[_Row] = []
    while some := await cursor.fetchmany(rows_at_once):
        rows += some
        await asyncio.sleep(0)
    return rows


def _took_too_long(bounds: TimeOuts) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"the database took longer than {bounds.statement_seconds:g} s: narrow a query by "
        "start_time, end_time, metric_name or a component; send a batch again later"
    )


def adapted(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return query parameters with dictionaries and lists as JSONB."""
    return {
        name: Jsonb(value) if isinstance(value, dict | list) else value
        for name, value in parameters.items()
    }
