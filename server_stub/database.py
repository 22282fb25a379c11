"""The pool of connections, and what its failures mean to a client."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection, InterfaceError, OperationalError, errors
from psycopg.rows import scalar_row
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from server_stub.errors import StoreUnavailableError
from server_stub.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

POOL_WAIT_SECONDS = 5.0
"""How long a request waits for a connection before it is told to try again."""

WAITING_PER_CONNECTION_MAX = 16
"""How many requests wait for each connection at most; the next one is refused at once."""

_logger = logging.getLogger(__name__)


class Database:
    """A pool of connections.

    Args:
        database_url: the database.
        pool_size: the most connections.
    """

    def __init__(self, database_url: str, pool_size: int) -> None:
        # Without prepared statements every plan knows its parameters, which pruning and the
        # optional filters need, and pgbouncer may pool by transaction.
        self._pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
            database_url,
            min_size=1,
            max_size=pool_size,
            max_waiting=pool_size * WAITING_PER_CONNECTION_MAX,
            timeout=POOL_WAIT_SECONDS,
            kwargs={"prepare_threshold": None, "application_name": "server_stub"},
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

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @property
    def requests_waiting(self) -> int:
        """How many requests wait for a connection now."""
        return int(self._pool.get_stats().get("requests_waiting", 0))

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[AsyncConnection[Any]]:
        """Lend a connection for one transaction, committed unless the block raises.

        Raises:
            StoreUnavailableError: the database is away or busy; nothing was committed.
        """
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (PoolTimeout, TooManyRequests) as error:
            raise StoreUnavailableError(
                "every connection to the database is in use: try again later"
            ) from error
        except (OperationalError, InterfaceError, errors.ReadOnlySqlTransaction) as error:
            _logger.warning("the database did not take it: %s", error)
            raise StoreUnavailableError(
                "the database cannot be reached or is busy: try again later"
            ) from error

    async def scalars(self, query: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """Run a query in a transaction of its own; return the first column of its rows.

        Args:
            query: the name of a file of `sql/queries/`, without its ending.
            parameters: the query's parameters.

        Raises:
            StoreUnavailableError: the database is away or busy.
        """
        async with self.transaction() as connection:
            cursor = connection.cursor(row_factory=scalar_row)
            await cursor.execute(read_sql(f"queries/{query}.sql"), parameters)
            return await cursor.fetchall() if cursor.description else []


def adapted(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return query parameters with dictionaries and lists as JSONB."""
    return {
        name: Jsonb(value) if isinstance(value, dict | list) else value
        for name, value in parameters.items()
    }
