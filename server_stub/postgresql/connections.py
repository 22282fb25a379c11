"""The pool of connections: it lends none that has died, and knows whether the database is there.

While the database is away, the pool tries about once a second, however long that lasts. Why so:
docs/decisions/ingest.md.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from psycopg import AsyncConnection, Error, OperationalError
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from server_stub.errors import DatabaseAwayError, StoreUnavailableError
from server_stub.postgresql.session import connection_parameters

if TYPE_CHECKING:
    from collections.abc import Callable

POOL_WAIT_SECONDS = 5.0
"""How long a request waits for a connection before the server tells the client to try again."""

WAITING_PER_CONNECTION_MAX = 16
"""How many requests may wait for each connection; the server refuses the next one at once."""

RECONNECT_SECONDS = 1.0
"""How long the pool repeats an attempt to connect by itself, with growing pauses. Then it begins
anew at once, so no pause is ever longer than this."""

DEAD_PAUSE_SECONDS = 0.1
"""The pause between two attempts once a request has met more dead connections than the pool has."""

REPLACING_SECONDS = 1.0
"""The server replaces all connections at most once in this time."""

_logger = logging.getLogger(__name__)

# It logs each attempt to connect. Reachability logs the first that fails, and the end of an outage.
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)


class Reachability:
    """Whether the database is there: whether connections can be made, or are of use.

    Args:
        monotonic: returns the seconds of the monotonic clock.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._away_since: float | None = None
        self._used_at = monotonic()

    def note_failure(self, error: Error) -> None:
        """Note that an attempt has failed."""
        if self._away_since is None:
            self._away_since = self._monotonic()
            _logger.warning("no connection to the database: %s", error)

    def note_success(self) -> None:
        """Note that an attempt has succeeded."""
        if self._away_since is not None:
            away_seconds = self._monotonic() - self._away_since
            self._away_since = None
            _logger.warning("the database is back after %.1f s", away_seconds)

    def note_use(self) -> None:
        """Note that a transaction has begun: the database may only have no room for more."""
        self._used_at = self._monotonic()

    def is_away_for(self, seconds: float) -> bool:
        """Return whether for so long no connection could be made, and none was of use."""
        if self._away_since is None:
            return False
        return self._monotonic() - max(self._away_since, self._used_at) >= seconds


class Connections:
    """Lends connections on which a transaction has begun.

    Args:
        database_url: the database.
        size: the most connections.
        monotonic: returns the seconds of the monotonic clock.
    """

    def __init__(
        self, database_url: str, size: int, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._monotonic = monotonic
        self._waiting_max = size * WAITING_PER_CONNECTION_MAX
        self._reachability = Reachability(monotonic)
        self._replaced_at = -REPLACING_SECONDS
        self._lent = 0
        self._pool: AsyncConnectionPool[AsyncConnection[Any]] = AsyncConnectionPool(
            database_url,
            connection_class=_noting(self._reachability),
            configure=self._configure,
            min_size=1,
            max_size=size,
            max_waiting=self._waiting_max,
            timeout=POOL_WAIT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
            reconnect_failed=self._connect_again,
            kwargs=connection_parameters(database_url),
            open=False,
        )

    async def open(self) -> None:
        """Connect.

        Raises:
            DatabaseAwayError: the database cannot be reached.
        """
        try:
            await self._pool.open(wait=True, timeout=POOL_WAIT_SECONDS)
        except PoolTimeout as error:
            raise DatabaseAwayError from error

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    @property
    def requests_waiting(self) -> int:
        """How many requests wait for a connection now."""
        return int(self._pool.get_stats().get("requests_waiting", 0))

    @property
    def lent(self) -> int:
        """How many connections are in use now."""
        return self._lent

    @property
    def open_count(self) -> int:
        """How many connections are open now, or being made."""
        return int(self._pool.get_stats().get("pool_size", 0))

    def check_room(self) -> None:
        """Refuse a request that `lend` could only refuse.

        Raises:
            StoreUnavailableError: as many requests wait for a connection as may.
        """
        if self.requests_waiting >= self._waiting_max:
            raise self._refusal()

    async def lend(self, begin: bytes) -> AsyncConnection[Any]:
        """Return a connection on which a transaction has begun; it comes back by `take_back`.

        A connection in the pool may have died: the database was restarted, or ends idle sessions.
        That shows when the transaction begins. As nothing was done by then, the next connection is
        tried, until one works or the request has waited for too long.

        Args:
            begin: the statements that begin the transaction.

        Raises:
            StoreUnavailableError: the database is away or busy, or does not answer.
        """
        deadline = self._monotonic() + POOL_WAIT_SECONDS
        dead = 0
        while True:
            connection = await self._next(deadline)
            try:
                # A pgbouncer has the request wait here for a connection to the database.
                async with asyncio.timeout(POOL_WAIT_SECONDS):
                    await connection.execute(begin)
            except TimeoutError as error:
                await self._pool.putconn(connection)
                raise StoreUnavailableError(
                    f"the database did not answer for {POOL_WAIT_SECONDS:g} s: try again later"
                ) from error
            except OperationalError as error:
                has_died = connection.closed
                await self._pool.putconn(connection)
                if not has_died or self._monotonic() >= deadline - DEAD_PAUSE_SECONDS:
                    raise
                _logger.info("a connection has died, and the next one is taken: %s", error)
                dead += 1
                if dead > self._pool.max_size:
                    await asyncio.sleep(DEAD_PAUSE_SECONDS)
            except BaseException:
                await self._pool.putconn(connection)
                raise
            else:
                self._lent += 1
                self._reachability.note_use()
                return connection

    async def take_back(self, connection: AsyncConnection[Any]) -> None:
        """Take a connection back, in whatever state it is."""
        self._lent -= 1
        await self._pool.putconn(connection)

    async def replace_all(self) -> None:
        """Close every connection once it is back, and make others: these know an old state."""
        now = self._monotonic()
        if now - self._replaced_at >= REPLACING_SECONDS:
            self._replaced_at = now
            await self._pool.drain()

    async def _next(self, deadline: float) -> AsyncConnection[Any]:
        # It gains nothing to wait for what has been away for long.
        if not self._lent and self._reachability.is_away_for(POOL_WAIT_SECONDS):
            raise DatabaseAwayError
        try:
            return await self._pool.getconn(deadline - self._monotonic())
        except (PoolTimeout, TooManyRequests) as error:
            raise self._refusal() from error

    def _refusal(self) -> StoreUnavailableError:
        if not self._lent and self._reachability.is_away_for(0.0):
            return DatabaseAwayError()
        return StoreUnavailableError("every connection to the database is in use: try again later")

    async def _configure(self, connection: AsyncConnection[Any]) -> None:
        set_json_loads(json_document, connection)

    async def _connect_again(self, pool: AsyncConnectionPool[AsyncConnection[Any]]) -> None:
        # The pool has given an attempt up, and would make the next one only for a new request.
        await pool.check()


def _noting(reachability: Reachability) -> type[AsyncConnection[Any]]:
    """Return a class of connections that tells whether they can be made."""

    class NotingConnection(AsyncConnection[Any]):
        @classmethod
        async def connect(cls, conninfo: str = "", **parameters: Any) -> Any:
            try:
                connection = await super().connect(conninfo, **parameters)
            except Error as error:
                reachability.note_failure(error)
                raise
            reachability.note_success()
            return connection

    return NotingConnection


def json_document(text: str | bytes) -> Any:
    """Return a JSON value, or its text if it is nested too deep or has too long a number."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text if isinstance(text, str) else text.decode()
