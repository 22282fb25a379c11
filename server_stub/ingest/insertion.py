"""Inserts a batch: all of it once, or nothing, in one transaction.

The transaction locks the components of the batch, claims its name, and has a destination write the
samples: into the table `noetl.metric`, or to a time-series database.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from psycopg import errors
from psycopg.types.json import Jsonb

from server_stub.ingest.body import ERRORS_MAX
from server_stub.ingest.owners import Owners, find_owners
from server_stub.ingest.row_encoding import RowEncoder
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from psycopg import AsyncConnection

    from server_stub.auth.tokens import BoundComponent
    from server_stub.ingest.batch_key import BatchKey
    from server_stub.ingest.body import ParsedBody, Reject
    from server_stub.ingest.rejection import RejectKind
    from server_stub.ingest.row_encoding import TimeBounds
    from server_stub.ingest.series_table import SeriesTable
    from server_stub.postgresql.database import Database
    from server_stub.postgresql.partitions import Partitions
    from server_stub.time_series_database.known_series import Family

INSERT_ATTEMPTS = 3
"""Once to find the partition missing, once to insert, once more if midnight comes in between."""

_logger = logging.getLogger(__name__)


class Destination(Protocol):
    """Where the samples of a batch go: `TableDestination` or `ReceiverDestination`."""

    async def write(
        self,
        connection: AsyncConnection[Any],
        parsed: ParsedBody,
        encoder: RowEncoder,
        owners: Owners,
    ) -> Sequence[Family]:
        """Write the samples of a batch, in the transaction that claims it."""
        ...

    def note_committed(self, families: Sequence[Family]) -> None:
        """Note that the transaction in which `write` returned these families is committed."""
        ...


class Inserted(NamedTuple):
    """The outcome of an insert: the answer, what it did in numbers, and the partitions made.

    A duplicate has neither rows nor rejects: they were counted with the batch itself.
    """

    answer: dict[str, Any]
    rows: int
    rejects: Mapping[RejectKind, int]
    duplicate: bool
    partitions_created: int


class Insertion:
    """Inserts batches.

    Args:
        database: the pool of connections; the schema must be there.
        partitions: makes a partition that is missing.
        series: the series that the components have reported.
        bounds: which times a sample may have.
        destination: where the samples go.
    """

    def __init__(
        self,
        database: Database,
        partitions: Partitions,
        series: SeriesTable,
        bounds: TimeBounds,
        destination: Destination,
    ) -> None:
        self._database = database
        self._partitions = partitions
        self._series = series
        self._bounds = bounds
        self._destination = destination

    async def insert(
        self,
        parsed: ParsedBody,
        key: BatchKey | None,
        received_at: datetime,
        bound_to: BoundComponent | None = None,
    ) -> Inserted:
        """Insert a batch, once for each key; return when it is committed.

        Args:
            parsed: the batch.
            key: the batch's name, if the client gave it one.
            received_at: the time for samples that have none of their own.
            bound_to: the only component that the batch may be for, or None for any.

        Raises:
            ComponentNotFoundError: the batch is of a component that is not registered.
            ForbiddenError: the batch is of another component than it may be for.
            ParameterInvalidError: several components have the name that the batch gives.
            StoreUnavailableError: the database is away or busy; nothing was inserted.
        """
        partitions_created = 0
        for attempt in range(1, INSERT_ATTEMPTS + 1):
            try:
                inserted = await self._try_insert(parsed, key, received_at, bound_to)
            except errors.CheckViolation as error:
                # An error of one of the table's checks has the check's name. An error about a
                # missing partition has none.
                if error.diag.constraint_name is not None or attempt == INSERT_ATTEMPTS:
                    raise
                _logger.warning("today's partition is missing and is made for an insert")
                partitions_created += await self._partitions.create_partition_now()
            else:
                return inserted._replace(partitions_created=partitions_created)
        raise AssertionError("the last attempt returns or raises")

    async def _try_insert(
        self,
        parsed: ParsedBody,
        key: BatchKey | None,
        received_at: datetime,
        bound_to: BoundComponent | None,
    ) -> Inserted:
        async with self._database.transaction() as connection:
            owners = await find_owners(connection, parsed, bound_to)
            encoder = RowEncoder(self._series, owners.by_value, received_at, self._bounds)
            # Nearly every batch gets this answer. The claim needs one before the rows are written.
            expected = _answer(parsed, owners, ())
            if key is not None and not await _claim(connection, key, expected):
                return await _answer_repeat(connection, key, parsed, owners, encoder)
            families = await self._destination.write(connection, parsed, encoder, owners)
            answer = _answer(parsed, owners, encoder.rejects)
            if key is not None and answer != expected:
                await connection.execute(
                    read_sql("ingest/amend_answer.sql"),
                    {"boot_id": key.boot_id, "answer": Jsonb(answer)},
                )
        self._destination.note_committed(families)
        return Inserted(
            answer,
            rows=answer["metrics_inserted"],
            rejects=Counter(reject.kind for reject in [*parsed.rejects, *encoder.rejects]),
            duplicate=False,
            partitions_created=0,
        )


async def _claim(connection: AsyncConnection[Any], key: BatchKey, answer: dict[str, Any]) -> bool:
    claimed = await connection.execute(
        read_sql("ingest/claim_batch.sql"), key._asdict() | {"answer": Jsonb(answer)}
    )
    return await claimed.fetchone() is not None


async def _answer_repeat(
    connection: AsyncConnection[Any],
    key: BatchKey,
    parsed: ParsedBody,
    owners: Owners,
    encoder: RowEncoder,
) -> Inserted:
    """Return the first answer, or make it anew if a later batch's answer has taken its place."""
    cursor = await connection.execute(read_sql("ingest/last_batch.sql"), {"boot_id": key.boot_id})
    found = await cursor.fetchone()
    if found is not None and found[0] == key.sequence:
        answer: dict[str, Any] = found[1]
    else:
        for checked in zip(parsed.positions, parsed.samples, strict=True):
            encoder.check([checked])
            await asyncio.sleep(0)  # other requests get their turn
        answer = _answer(parsed, owners, encoder.rejects)
    return Inserted(
        answer | {"status": "duplicate"}, rows=0, rejects={}, duplicate=True, partitions_created=0
    )


def _answer(parsed: ParsedBody, owners: Owners, rejects: Sequence[Reject]) -> dict[str, Any]:
    all_rejects = sorted([*parsed.rejects, *rejects])
    return {
        "status": "ok",
        # 64 bits are more than a JavaScript number holds.
        "runtime_id": None if owners.shared is None else str(owners.shared),
        "metrics_inserted": len(parsed.samples) - len(rejects),
        "metrics_rejected": len(all_rejects),
        "errors": [
            {"index": reject.position, "reason": reject.reason}
            for reject in all_rejects[:ERRORS_MAX]
        ],
    }
