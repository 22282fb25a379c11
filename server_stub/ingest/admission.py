"""How many bytes of bodies the server holds at once; a client sends again what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from server_stub.errors import StoreUnavailableError

if TYPE_CHECKING:
    from types import TracebackType

RETRY_AFTER_SECONDS = 1


class Admission:
    """The room for bodies, shared by all requests.

    Args:
        bytes_max: how many bytes of bodies are held at once.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self.bytes_held = 0

    def room(self, bytes_expected: int) -> Room:
        """Return room for a body; the caller holds it by `with`.

        Args:
            bytes_expected: how large the body is, or can be.

        Raises:
            StoreUnavailableError: too many bodies are held already.
        """
        room = Room(self)
        room.take(bytes_expected)
        return room

    def take(self, count: int) -> None:
        """Count bytes as held.

        Raises:
            StoreUnavailableError: they do not fit. One body always fits, however large.
        """
        if self.bytes_held and self.bytes_held + count > self._bytes_max:
            raise StoreUnavailableError(
                "the server holds as many batches as it has memory for: try again later",
                RETRY_AFTER_SECONDS,
            )
        self.bytes_held += count

    def give_back(self, count: int) -> None:
        """Count bytes as no longer held."""
        self.bytes_held -= count


class Room:
    """The room of one request; it ends with the `with` block.

    Args:
        admission: the room for all bodies, of which this one takes its part.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._bytes = 0

    def take(self, count: int) -> None:
        """Take more room: for a body that was decompressed, for example.

        Raises:
            StoreUnavailableError: there is no more room.
        """
        self._admission.take(count)
        self._bytes += count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._admission.give_back(self._bytes)
        self._bytes = 0
