"""From a request's body to committed rows: the path of every batch, the server's own too."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from server_stub.ingest.body import parse_body
from server_stub.ingest.compression import decode_body
from server_stub.ingest.rejection import RejectKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from server_stub.auth.tokens import BoundComponent
    from server_stub.ingest.admission import Room
    from server_stub.ingest.batch_key import BatchKey
    from server_stub.ingest.body import ParsedBody
    from server_stub.ingest.insertion import Insertion
    from server_stub.settings import Settings
    from server_stub.statistics import Statistics

INFLATED_AT_ONCE_BYTES_MAX = 8 * 1024
"""The server decompresses a body up to this size in less time than a thread takes to begin."""

PARSED_AT_ONCE_BYTES_MAX = 128 * 1024
"""The server parses a body up to this size in a few milliseconds, whatever is in it. A larger one
is parsed in a thread, and other requests go on meanwhile."""

READING_AT_ONCE_MAX = 2
"""How many large bodies are decompressed or parsed at once."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes batches.

    Args:
        insertion: inserts the batches.
        settings: the limits.
        statistics: counts what happens to the batches.
        clock: returns the time for samples that have none of their own.
        reading: how many large bodies are decompressed or parsed at once.
    """

    insertion: Insertion
    settings: Settings
    statistics: Statistics
    clock: Callable[[], datetime]
    reading: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(READING_AT_ONCE_MAX)
    )

    def __post_init__(self) -> None:
        """Make each kind's series at 0: a scraper then sees the first reject, too."""
        for kind in RejectKind:
            self.statistics.samples_rejected.labels(kind)

    async def take(
        self,
        body: bytes,
        content_encoding: str,
        key: BatchKey | None,
        room: Room | None = None,
        bound_to: BoundComponent | None = None,
    ) -> dict[str, Any]:
        """Insert a batch; return the answer of `POST /api/metrics` once it is committed.

        Args:
            body: the request's body.
            content_encoding: its Content-Encoding, or "".
            key: the batch's name, if the client gave it one.
            room: the request's share of memory, which grows by what the body decompresses to.
            bound_to: the only component that the batch may be for, or None for any.

        Raises:
            ServerError: the server refuses the body, the component is not registered, the batch
                may not be for this component, or the database is away. Nothing was inserted.
        """
        decoded = await self._decode(body, content_encoding)
        if room is not None and decoded is not body:
            room.take(len(decoded))
        parsed = await self._parse(decoded)
        named = None if key is None else key.within(bound_to)
        inserted = await self.insertion.insert(parsed, named, self.clock(), bound_to)
        self.statistics.partitions_created.inc(inserted.partitions_created)
        if inserted.duplicate:
            self.statistics.batches_duplicate.inc()
        else:
            self.statistics.samples_inserted.inc(inserted.rows)
            for kind, count in inserted.rejects.items():
                self.statistics.samples_rejected.labels(kind).inc(count)
        return inserted.answer

    async def _decode(self, body: bytes, content_encoding: str) -> bytes:
        bytes_max = self.settings.body_bytes_decompressed_max
        if not content_encoding or len(body) <= INFLATED_AT_ONCE_BYTES_MAX:
            return decode_body(body, content_encoding, bytes_max)
        # zlib lets other threads run, so the server answers requests meanwhile. It decompresses few
        # bodies at a time, because it learns only afterwards how large each of them becomes.
        async with self.reading:
            return await asyncio.to_thread(decode_body, body, content_encoding, bytes_max)

    async def _parse(self, decoded: bytes) -> ParsedBody:
        if len(decoded) <= PARSED_AT_ONCE_BYTES_MAX:
            return parse_body(decoded, self.settings.samples_max)
        async with self.reading:
            return await asyncio.to_thread(parse_body, decoded, self.settings.samples_max)
