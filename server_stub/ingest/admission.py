"""How much of requests' bodies the server holds at once; what does not fit is to come again."""

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
        """Return room for a body, to be held by `with`.

        Args:
            bytes_expected: how large it is, or can be.

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
        """Count bytes as held no more."""
        self.bytes_held -= count


class Room:
    """The room that one request has; it ends with the block.

    Args:
        admission: whose room it is.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._bytes = 0

    def take(self, count: int) -> None:
        """Take more room: for a body that was decompressed, for example.

        Raises:
            StoreUnavailableError: there is none.
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
