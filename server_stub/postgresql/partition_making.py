"""Makes the partitions of days; one that cannot be made keeps no other.

Why so: docs/decisions/partitions.md.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg import AsyncConnection, DatabaseError, OperationalError, errors

from server_stub.errors import PartitionBlockedError
from server_stub.postgresql.database import scalars_in

if TYPE_CHECKING:
    from collections.abc import Generator

RETRY_AFTER_SECONDS = 60
"""When a client sends a batch again, after an operator may have made room for its partition."""

INITIAL_DAYS_AHEAD = 7
"""How many days ahead `noetl.initialize_metric_partitions()` makes partitions at least."""

_OF_THE_DATABASE = (OperationalError, errors.ReadOnlySqlTransaction)
"""What is no matter of one day."""

_logger = logging.getLogger(__name__)


class Made(NamedTuple):
    """The names of the partitions made, and how many could not be made, which is logged."""

    created: list[str]
    blocked: int


async def initialize(connection: AsyncConnection[Any], days_ahead: int) -> Made:
    """Make the partitions that are needed; if one of them cannot be made, make the others.

    Args:
        connection: in a transaction.
        days_ahead: how many days ahead they are made.
    """
    try:
        async with connection.transaction():
            (created,) = await scalars_in(
                connection, "partitions/initialize_partitions.sql", {"days_ahead": days_ahead}
            )
            return Made(list(created), 0)
    except _OF_THE_DATABASE:
        raise
    except DatabaseError:
        pass  # some day is in the way; now each day is tried by itself
    made: list[str | None] = []
    blocked = 0
    for day_offset in range(-1, max(days_ahead, INITIAL_DAYS_AHEAD) + 1):
        try:
            with explained():
                async with connection.transaction():
                    made += await scalars_in(
                        connection, "partitions/create_partition.sql", {"day_offset": day_offset}
                    )
        except PartitionBlockedError:
            blocked += 1
    return Made([name for name in made if name is not None], blocked)


@contextmanager
def explained() -> Generator[None]:
    """Log which table or bound stands in a partition's way: an operator has to change that.

    Raises:
        PartitionBlockedError: the block raised an error that is about a partition.
    """
    try:
        yield
    except _OF_THE_DATABASE:
        raise
    except DatabaseError as error:
        _logger.error(  # noqa: TRY400 - the database's message says it, and a traceback no more
            "a partition of noetl.metric cannot be made: %s", error
        )
        raise PartitionBlockedError(
            "a partition of noetl.metric is missing and cannot be made; the server's log says what "
            "stands in its way. Try again later",
            RETRY_AFTER_SECONDS,
        ) from error
