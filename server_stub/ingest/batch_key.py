"""The Idempotency-Key of a batch.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from server_stub.components.runtime_id import RUNTIME_ID_MAX
from server_stub.errors import ParameterInvalidError

if TYPE_CHECKING:
    from server_stub.auth.tokens import BoundComponent

_BOOT_ID = re.compile(r"[!-~]{1,200}")
_SEQUENCE = re.compile(r"[0-9]{1,19}")


class BatchKey(NamedTuple):
    """The name of a batch for ever: the process that sent it, and the batch's number there."""

    boot_id: str
    sequence: int

    def within(self, bound_to: BoundComponent | None) -> BatchKey:
        """Return the key as the table has it.

        What a bound token names is apart from what others name: it cannot take their names, and
        gets no answer to their batches. A boot id has no space, so the two never meet.

        Args:
            bound_to: the only component that the sender may write for, or None for any.
        """
        if bound_to is None:
            return self
        return self._replace(boot_id=f"{bound_to} {self.boot_id}")


def parse_batch_key(header: str) -> BatchKey:
    """Return the key of an `Idempotency-Key` header.

    Raises:
        ParameterInvalidError: it is not of the form `boot id:sequence`.
    """
    boot_id, _, sequence = header.strip().rpartition(":")
    if (
        not _BOOT_ID.fullmatch(boot_id)
        or not _SEQUENCE.fullmatch(sequence)
        or int(sequence) > RUNTIME_ID_MAX
    ):
        raise ParameterInvalidError(
            f"Idempotency-Key {header[:60]!r} is not valid: it must be <boot id>:<sequence>, "
            "an id of the process of up to 200 visible ASCII characters, and a 63-bit number "
            "that grows with every batch"
        )
    return BatchKey(boot_id, int(sequence))
