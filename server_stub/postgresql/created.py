"""Bounds on the time at which rows were inserted, which decides the partitions of a query.

PostgreSQL locks every partition that it cannot rule out when it plans a query, and each of its
indexes. It can rule out by constants only, and an expression with `now()` is none. So a query gets
its bounds as values, and reads many days in several transactions.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg import AsyncConnection

DAYS_AT_ONCE = timedelta(days=32)
"""How many days a transaction of a page reads at most."""

_AHEAD = timedelta(days=1)
"""No row is inserted later than now, and a row of the next day may be from a moment after now."""


ANY_TIME: Mapping[str, str] = {"created_after": "-infinity", "created_until": "infinity"}
"""The parameters of `sql/filters/created.sql` that rule out nothing."""


class Created(NamedTuple):
    """After which time rows were inserted, and until when."""

    after: datetime
    until: datetime

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of `sql/filters/created.sql`."""
        return {"created_after": self.after, "created_until": self.until}

    def portions(self, *, newest_first: bool) -> Iterator[Created]:
        """Yield bounds of at most `DAYS_AT_ONCE`, which have all of these together."""
        after, until = self
        while after < until:
            if newest_first:
                begin = max(after, until - DAYS_AT_ONCE)
                yield Created(begin, until)
                until = begin
            else:
                end = min(until, after + DAYS_AT_ONCE)
                yield Created(after, end)
                after = end


def created_since(now: datetime, after: datetime) -> Created:
    """Return the bounds of rows that were inserted after a time and can be seen now."""
    return Created(after, now + _AHEAD)


async def database_time(connection: AsyncConnection[Any]) -> datetime:
    """Return the time at which a transaction began, by the database's clock."""
    found = await connection.execute(read_sql("query/now.sql"))
    row = await found.fetchone()
    assert row is not None
    now: datetime = row[0]
    return now
