"""Uvicorn's server, which says when it takes requests, and that it still does."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING

import uvicorn

from server_stub.serving.connection import ConnectionLimits, loop_factory
from server_stub.serving.garbage import FullCollections

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from server_stub.serving.stop_signals import StopSignals


TICKS_PER_SIGN = 10
"""Uvicorn's ticks are a tenth of a second apart."""

THREAD_TURN_SECONDS = 0.0005
"""How long a thread that works has the interpreter to itself. By default it is ten times as long,
and the event loop waits so long after each of its calls into the system: while a large body was
read in a thread, a transaction of other work held the loop for up to 171 ms."""


class Server(uvicorn.Server):
    """Says when it takes requests, and about every second that its event loop still runs.

    Args:
        config: uvicorn's.
        on_ready: called once, when the server takes requests.
        on_alive: called about every second while it serves.
        stop_signals: the signals that may have come before uvicorn takes them.
        limits: the bounds of its connections.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        on_alive: Callable[[], None],
        stop_signals: StopSignals,
        limits: ConnectionLimits,
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._on_alive = on_alive
        self._stop_signals = stop_signals
        self._limits = limits
        self._full_collections = FullCollections(time.monotonic)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal arrives, on a loop whose connections are bounded."""
        with asyncio.Runner(loop_factory=loop_factory(self._limits)) as runner:
            runner.run(self.serve(sockets))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests, and say so."""
        await super().startup(sockets)
        sys.setswitchinterval(THREAD_TURN_SECONDS)
        self._full_collections.begin()
        # A signal may have come before uvicorn began to listen to signals.
        self.should_exit = self.should_exit or self._stop_signals.requested
        if not self.should_exit:
            self._on_ready()

    async def on_tick(self, counter: int) -> bool:
        """Do what uvicorn does ten times a second."""
        if counter % TICKS_PER_SIGN == 0:
            self._on_alive()
        self._full_collections.note_moment(is_idle=not self.server_state.tasks)
        return await super().on_tick(counter)
