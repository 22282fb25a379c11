"""From a request's body to committed rows: the path of every batch, whoever brings it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.compression import decode_body
from server_stub.errors import RuntimeNotFoundError
from server_stub.ingest import ParsedBody, Reject, parse_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from server_stub.batch_key import BatchKey
    from server_stub.component_store import ComponentStore
    from server_stub.ingest import Row
    from server_stub.settings import Settings
    from server_stub.statistics import Statistics
    from server_stub.store import Store


class _Accepted(NamedTuple):
    rows: list[Row]
    rejects: list[Reject]
    runtime_id: int | None


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes batches.

    Args:
        store: where they are kept.
        components: knows whose they can be.
        settings: the limits.
        statistics: counts what happens to them.
        clock: the time of samples that have none of their own.
    """

    store: Store
    components: ComponentStore
    settings: Settings
    statistics: Statistics
    clock: Callable[[], datetime]

    async def take(
        self, body: bytes, content_encoding: str, key: BatchKey | None
    ) -> dict[str, Any]:
        """Insert a batch; return the answer of `POST /api/metrics` once it is committed.

        Args:
            body: the request's body.
            content_encoding: its Content-Encoding, or "".
            key: what names the batch, if the client named it.

        Raises:
            ServerError: the body is refused, its runtime is not registered, or the database is
                away; nothing was inserted.
        """
        decoded = decode_body(body, content_encoding, self.settings.body_bytes_decompressed_max)
        parsed = parse_body(decoded, self.clock(), self.settings.samples_max)
        accepted = await self._resolve(parsed)
        answer = _answer(accepted)
        inserted = await self.store.insert(accepted.rows, accepted.runtime_id, key, answer)
        self.statistics.partitions_created.inc(inserted.partitions_created)
        if inserted.duplicate_of is not None:
            self.statistics.batches_duplicate.inc()
            return answer | inserted.duplicate_of | {"status": "duplicate"}
        self.statistics.samples_inserted.inc(len(accepted.rows))
        self.statistics.samples_rejected.inc(len(accepted.rejects))
        return answer

    async def _resolve(self, parsed: ParsedBody) -> _Accepted:
        """Find out whose the rows are; reject those of components that are not registered."""
        runtime_id = parsed.runtime_id
        if runtime_id is None and parsed.component_name is not None:
            runtime_id = await self.components.find_runtime_named(parsed.component_name)
        wanted = {row.runtime_id for row in parsed.rows} | {parsed.runtime_id}
        known = await self.components.find_runtime_ids(
            [found for found in wanted if found is not None]
        )
        if parsed.runtime_id is not None and parsed.runtime_id not in known:
            raise _not_registered(parsed.runtime_id)
        rows = [row for row in parsed.rows if row.runtime_id is None or row.runtime_id in known]
        rejects = parsed.rejects
        if len(rows) < len(parsed.rows):
            unknown = [row for row in parsed.rows if row.runtime_id not in known | {None}]
            if not rows:
                raise _not_registered(unknown[0].runtime_id)
            rejects = rejects + [
                Reject(row.position, str(_not_registered(row.runtime_id))) for row in unknown
            ]
        if runtime_id is None:
            runtime_id = _shared_runtime_id(rows)
        return _Accepted(rows, sorted(rejects), runtime_id)


def _shared_runtime_id(rows: list[Row]) -> int | None:
    owners = {row.runtime_id for row in rows}
    return owners.pop() if len(owners) == 1 else None


def _not_registered(runtime_id: int | None) -> RuntimeNotFoundError:
    return RuntimeNotFoundError(
        f"no runtime {runtime_id} is registered: register it by POST /api/worker/pool/register"
    )


def _answer(accepted: _Accepted) -> dict[str, Any]:
    return {
        "status": "ok",
        # 64 bits are more than a JavaScript number holds.
        "runtime_id": None if accepted.runtime_id is None else str(accepted.runtime_id),
        "metrics_inserted": len(accepted.rows),
        "metrics_rejected": len(accepted.rejects),
        "errors": [
            {"index": reject.position, "reason": reject.reason} for reject in accepted.rejects
        ],
    }
