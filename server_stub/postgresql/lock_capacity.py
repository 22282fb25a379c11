"""Whether PostgreSQL has room for the locks of queries over many days.

A query locks each partition that it reads, and each of the partition's indexes. All sessions share
the room for locks, and a session that finds none gets an error, whatever it asks for.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, NamedTuple

import psycopg

from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from server_stub.settings import Settings

OTHER_LOCKS_PER_CONNECTION = 32
"""The half of PostgreSQL's default, for everything that is not a partition."""

_DAYS_BEFORE_A_DROP = 2

_logger = logging.getLogger(__name__)


class Capacity(NamedTuple):
    """The room for locks, and what a partition takes of it.

    `per_connection` is PostgreSQL's setting `max_locks_per_transaction`. There is room for as many
    locks as it and `connections` make together. `indexes` is how many indexes a partition has, and
    `partitions` how many partitions there are.
    """

    per_connection: int
    connections: int
    indexes: int
    partitions: int


def locks_needed(capacity: Capacity, settings: Settings, days_at_once: int) -> int:
    """Return the `max_locks_per_transaction` with which every query finds room.

    Args:
        capacity: the room, and what a partition takes.
        settings: how many days are kept, and how many queries run at once.
        days_at_once: how many days a transaction of a page reads at most.
    """
    kept = max(settings.retention_days, *settings.metric_retention_days.values(), 0)
    days = max(capacity.partitions, kept + _DAYS_BEFORE_A_DROP + settings.partitions_days_ahead)
    # In each worker process one chart at a time reads all days, and one deletion of a component
    # ends. So do one export and the maintenance.
    whole = 2 * settings.workers + 2
    connections = max(settings.pool_size, 2 * settings.workers)
    partitions = whole * days + connections * min(days, days_at_once)
    locks = partitions * (1 + capacity.indexes)
    return OTHER_LOCKS_PER_CONNECTION + math.ceil(locks / capacity.connections)


def lacking_locks(database_url: str, settings: Settings, days_at_once: int) -> int | None:
    """Return the `max_locks_per_transaction` that is needed, or None if PostgreSQL's is enough.

    Args:
        database_url: the database, which has its schema.
        settings: how many days are kept, and how many queries run at once.
        days_at_once: how many days a transaction of a page reads at most.
    """
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(read_sql("partitions/lock_capacity.sql")).fetchone()
    assert row is not None
    capacity = Capacity._make(row)
    needed = locks_needed(capacity, settings, days_at_once)
    return needed if needed > capacity.per_connection else None


def check_lock_capacity(database_url: str, settings: Settings, days_at_once: int) -> None:
    """Say in the log which setting of PostgreSQL is too small for the days that are kept.

    Args:
        database_url: as for `lacking_locks`, like all other arguments.
        settings: the settings.
        days_at_once: the days.
    """
    needed = lacking_locks(database_url, settings, days_at_once)
    if needed is not None:
        _logger.warning(
            "max_locks_per_transaction of PostgreSQL is too small for the days that are kept: set "
            "it to %d, and restart PostgreSQL; else queries may fail: out of shared memory",
            needed,
        )
