"""Uvicorn's server, which says when it takes requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvicorn

from server_stub.serving.connection import ConnectionLimits, loop_factory

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from server_stub.serving.stop_signals import StopSignals


class Server(uvicorn.Server):
    """Says when it takes requests."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_ready: Callable[[], None],
        stop_signals: StopSignals,
        limits: ConnectionLimits,
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._stop_signals = stop_signals
        self._limits = limits

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal arrives, on a loop whose connections are bounded."""
        with asyncio.Runner(loop_factory=loop_factory(self._limits)) as runner:
            runner.run(self.serve(sockets))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take requests, and say so."""
        await super().startup(sockets)
        # A signal may have come before uvicorn began to listen to signals.
        self.should_exit = self.should_exit or self._stop_signals.requested
        if not self.should_exit:
            self._on_ready()
