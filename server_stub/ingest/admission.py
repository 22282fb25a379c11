"""How many bytes of bodies the server holds at once; a client sends again what does not fit.

What counts is what has come. If the room of a whole body were reserved at its beginning, a few
clients that send slowly would lock out all others.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from server_stub.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

RETRY_AFTER_SECONDS = 1


class Admission:
    """The room for bodies, shared by all requests.

    Args:
        bytes_max: how many bytes of bodies are held at once.
        monotonic: returns the seconds of the monotonic clock.
    """

    def __init__(self, bytes_max: int, monotonic: Callable[[], float]) -> None:
        self._bytes_max = bytes_max
        self._monotonic = monotonic
        self._held_since = 0.0
        self._seconds_held = 0.0
        self.bytes_held = 0

    def seconds_held(self) -> float:
        """Return how long there has been a body, of all the time since the start."""
        current = self._monotonic() - self._held_since if self.bytes_held else 0.0
        return self._seconds_held + current

    def room(self, bytes_announced: int) -> Room:
        """Return the room of a body, still empty; the caller holds it by `with`.

        Args:
            bytes_announced: how large the body will be, or 0 if the client does not say. A body
                that does not fit now is refused before it is read, but nothing is reserved.

        Raises:
            StoreUnavailableError: too many bodies are held already.
        """
        self._check(0, bytes_announced)
        return Room(self)

    def take(self, held_by_room: int, count: int) -> None:
        """Count bytes as held.

        Args:
            held_by_room: how many bytes the body holds already.
            count: how many are to be added.

        Raises:
            StoreUnavailableError: they do not fit. A body that is alone always fits.
        """
        self._check(held_by_room, count)
        if not self.bytes_held:
            self._held_since = self._monotonic()
        self.bytes_held += count

    def _check(self, held_by_room: int, count: int) -> None:
        held_by_others = self.bytes_held - held_by_room
        if held_by_others and self.bytes_held + count > self._bytes_max:
            raise StoreUnavailableError(
                "the server holds as many batches as it has memory for: try again later",
                RETRY_AFTER_SECONDS,
            )

    def give_back(self, count: int) -> None:
        """Count bytes as no longer held."""
        self._seconds_held = self.seconds_held()
        self._held_since = self._monotonic()
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
        """Take more room: for what has arrived, or for a body that was decompressed.

        Raises:
            StoreUnavailableError: there is no more room.
        """
        self._admission.take(self._bytes, count)
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
