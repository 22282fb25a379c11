"""The faults that the proxy applies to requests, and the order in which it does so."""

from __future__ import annotations

import threading
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

BATCH_PATH = "/api/metrics"


class Fault(StrEnum):
    """The fate of a request on its way."""

    NONE = "passed on"
    REFUSED = "connection refused"
    RESET_IN_REQUEST = "reset in the request"
    RESET_BEFORE_ANSWER = "reset after the commit, before the answer"
    RESET_IN_ANSWER = "reset in the answer"
    DELAYED = "delayed"
    DRIPPED = "a byte at a time"
    SWALLOWED = "swallowed"
    ANSWER_SWALLOWED = "answer swallowed"
    LATE = "delivered once its sender has given up"
    OVERTAKEN = "delivered after what its sender sent next"
    STATUS_500 = "500"
    STATUS_503_SECONDS = "503, Retry-After in seconds"
    STATUS_503_DATE = "503, Retry-After as a date"
    STATUS_400 = "400"
    STATUS_429 = "429"
    STATUS_413 = "413"
    STATUS_404 = "404"
    NO_JSON = "200 that is no JSON"
    STATUS_504_AFTER_COMMIT = "504 after the commit"
    NO_JSON_AFTER_COMMIT = "200 that is no JSON, after the commit"


class Plan(Protocol):
    """Decides the fate of each request."""

    def draw(self, path: str) -> Fault:
        """Return the fate of a request to this path."""
        ...


class Deck:
    """Faults in random order, like cards: each has its turn before any comes again.

    Args:
        chance: shuffles the faults.
        faults: the faults that occur. A 400 is not among them, as it costs samples.
        passes: how many requests pass for each that has a fault.
    """

    def __init__(
        self, chance: random.Random, faults: Iterable[Fault] = tuple(Fault), passes: float = 1.0
    ) -> None:
        self._chance = chance
        cards = [fault for fault in faults if fault not in {Fault.NONE, Fault.STATUS_400}]
        self._cards = cards + [Fault.NONE] * round(len(cards) * passes)
        # Guards the rest of the deck: each connection of the proxy has a thread.
        self._lock = threading.Lock()
        self._left: list[Fault] = []

    def draw(self, path: str) -> Fault:
        del path  # every request may have any fault
        with self._lock:
            if not self._left:
                self._left = list(self._cards)
                self._chance.shuffle(self._left)
            return self._left.pop()


class Sequence:
    """A given sequence of faults, one for each batch of samples, and then none.

    Registrations and heartbeats pass: how many there are depends on how busy the machine is.

    Args:
        faults: the faults of the next batches.
    """

    def __init__(self, *faults: Fault) -> None:
        self._lock = threading.Lock()
        self._left = list(reversed(faults))

    def draw(self, path: str) -> Fault:
        if path != BATCH_PATH:
            return Fault.NONE
        with self._lock:
            return self._left.pop() if self._left else Fault.NONE

    @property
    def left(self) -> int:
        return len(self._left)
