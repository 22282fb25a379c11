"""The pool of connections, its transactions' time-outs, and what its failures mean to a client.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from psycopg import AsyncConnection, InterfaceError, OperationalError, errors
from psycopg.rows import scalar_row
from psycopg.sql import SQL, Literal
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from server_stub.errors import StoreUnavailableError
from server_stub.postgresql.query_places import QueryPlaces
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from psycopg import AsyncCursor

POOL_WAIT_SECONDS = 5.0
"""How long a request waits for a connection before the server tells the client to try again."""

WAITING_PER_CONNECTION_MAX = 16
"""How many requests may wait for each connection; the server refuses the next one at once."""

QUERIES_SHARE = 2
"""Queries have at most one of so many connections; the others are for batches and upkeep."""

ROWS_FETCHED_AT_ONCE = 500
"""To make objects of so many rows takes some milliseconds."""

CLIENT_SIDE_SECONDS = 5.0
"""How much longer than the database's own time-outs a transaction may take. If it does not end by
then, the database does not even keep its own time-outs."""

_logger = logging.getLogger(__name__)

_Row = TypeVar("_Row")


class TimeOuts(NamedTuple):
    """How long a transaction waits for a lock, and for each of its statements."""

    lock_seconds: float = 5.0
    statement_seconds: float = 30.0


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
        self._begin = _begin(self._time_outs)
        # Each time-out bounds one lock or one statement, and a transaction may have many. One that
        # takes longer than this is not worth its connection.
        self._transaction_seconds = sum(self._time_outs) + CLIENT_SIDE_SECONDS
        # Without prepared statements, PostgreSQL plans every query with its parameters, which
        # pruning and the optional filters need, and pgbouncer may pool by transaction. With
        # autocommit, this module begins the transactions, which takes no round trip of its own.
        self._query_places = QueryPlaces(max(1, pool_size // QUERIES_SHARE))
        self._pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
            database_url,
            min_size=1,
            max_size=pool_size,
            max_waiting=pool_size * WAITING_PER_CONNECTION_MAX,
            timeout=POOL_WAIT_SECONDS,
            kwargs={
                "autocommit": True,
                "prepare_threshold": None,
                "application_name": "server_stub",
            },
            open=False,
        )

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreUnavailableError: the database cannot be reached.
        """
        try:
            await self._pool.open(wait=True, timeout=POOL_WAIT_SECONDS)
        except PoolTimeout as error:
            raise StoreUnavailableError("the database cannot be reached") from error
        for name in await self.scalars("partitions/unsafe_settings.sql"):
            _logger.warning(
                "the database has %s = off: what is answered 200 can be lost when its machine "
                "fails. Turn it on where that matters",
                name,
            )

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @property
    def requests_waiting(self) -> int:
        """How many requests wait for a connection now."""
        of_pool = int(self._pool.get_stats().get("requests_waiting", 0))
        return of_pool + self._query_places.waiting

    @asynccontextmanager
    async def transaction(
        self, time_outs: TimeOuts | None = None
    ) -> AsyncGenerator[AsyncConnection[Any]]:
        """Lend a connection for one transaction, committed to disk unless the block raises.

        Args:
            time_outs: the bounds of this transaction, if they differ from the others'.

        Raises:
            StoreUnavailableError: the database is away or busy, or took too long; nothing was
                committed.
        """
        begin, seconds = self._begin, self._transaction_seconds
        if time_outs is not None:
            begin, seconds = _begin(time_outs), sum(time_outs) + CLIENT_SIDE_SECONDS
        deadline: asyncio.Timeout | None = None
        try:
            async with (
                self._pool.connection() as connection,
                asyncio.timeout(seconds) as deadline,
            ):
                await connection.execute(begin)
                yield connection
                # The commit is within the deadline; the pool finds nothing left to commit.
                await connection.commit()
        except (PoolTimeout, TooManyRequests) as error:
            raise StoreUnavailableError(
                "every connection to the database is in use: try again later"
            ) from error
        except errors.QueryCanceled as error:
            raise self._took_too_long() from error
        except TimeoutError as error:
            if deadline is None or not deadline.expired():
                raise
            _logger.warning("the database did not answer for %g s", seconds)
            raise self._took_too_long() from error
        except errors.LockNotAvailable as error:
            raise StoreUnavailableError(
                f"the database had a lock for longer than {self._time_outs.lock_seconds:g} s: "
                "try again later"
            ) from error
        except (
            OperationalError,
            InterfaceError,
            errors.IdleInTransactionSessionTimeout,
            errors.ReadOnlySqlTransaction,
        ) as error:
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
            yield connection

    def _took_too_long(self) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"the database took longer than {self._time_outs.statement_seconds:g} s: narrow a "
            "query by start_time, end_time, metric_name or a component; send a batch again later"
        )

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


def _begin(time_outs: TimeOuts) -> bytes:
    """Return the statements that begin a transaction, sent as one query without parameters."""
    return (
        SQL(read_sql("begin.sql"))
        .format(
            lock_timeout_ms=Literal(round(time_outs.lock_seconds * 1000)),
            statement_timeout_ms=Literal(round(time_outs.statement_seconds * 1000)),
        )
        .as_bytes(None)
    )


def adapted(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return query parameters with dictionaries and lists as JSONB."""
    return {
        name: Jsonb(value) if isinstance(value, dict | list) else value
        for name, value in parameters.items()
    }
