"""Writes a batch into the table `noetl.metric`, by COPY.

The server encodes rows while PostgreSQL takes the rows before them, so a batch takes little longer
than its COPY. The transaction has locked the batch's components already. So PostgreSQL need not
look up the component of each row, where it allows that (`noetl.skip_row_checks`).

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from typing import TYPE_CHECKING, Any

from server_stub.ingest.copy_format import HEADER, TRAILER
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import AsyncConnection

    from server_stub.ingest.body import ParsedBody, Sample
    from server_stub.ingest.owners import Owners
    from server_stub.ingest.row_encoding import RowEncoder
    from server_stub.time_series_database.known_series import Family

ROWS_WRITTEN_AT_ONCE = 200
"""Some 30 KB: PostgreSQL gets its first rows soon. To reject as many takes some milliseconds."""

LABELS_WRITTEN_AT_ONCE_BYTES_MAX = 256 * 1024
"""Rows whose labels are larger together are written one by one."""


class TableDestination:
    """Writes batches into the table."""

    async def write(
        self,
        connection: AsyncConnection[Any],
        parsed: ParsedBody,
        encoder: RowEncoder,
        owners: Owners,
    ) -> Sequence[Family]:
        """Write the samples of a batch.

        Args:
            connection: in the transaction that claims the batch.
            parsed: the batch.
            encoder: makes the rows; gets the rejects.
            owners: the components, which are locked.

        Returns:
            No families: each row has its own type, help text and unit.
        """
        del owners
        if not parsed.samples:
            return ()
        await connection.execute(read_sql("ingest/skip_row_checks.sql"))
        samples: Iterator[tuple[int, Sample]] = zip(parsed.positions, parsed.samples, strict=True)
        async with (
            connection.cursor() as cursor,
            cursor.copy(read_sql("ingest/copy_metrics.sql")) as copy,
        ):
            await copy.write(HEADER)
            while some := list(islice(samples, ROWS_WRITTEN_AT_ONCE)):
                for portion in _portions(some):
                    await copy.write(encoder.encode(portion))
                    # A write that does not have to wait would let no other request have its turn.
                    await asyncio.sleep(0)
            await copy.write(TRAILER)
        return ()

    def note_committed(self, families: Sequence[Family]) -> None:
        """Do nothing: there is nothing to remember of a batch that is in the table."""


def _portions(samples: list[tuple[int, Sample]]) -> Iterator[list[tuple[int, Sample]]]:
    if sum([len(sample.labels) for _, sample in samples]) <= LABELS_WRITTEN_AT_ONCE_BYTES_MAX:
        yield samples
    else:
        for one in samples:
            yield [one]
