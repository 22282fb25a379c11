"""Uvicorn's server, as this project runs it."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

import pytest
import uvicorn

from server_stub.serving.connection import ConnectionLimits
from server_stub.serving.server import Server
from server_stub.serving.stop_signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def interpreter() -> Generator[None]:
    """Have the interpreter afterwards as it was before."""
    interval_seconds, thresholds = sys.getswitchinterval(), gc.get_threshold()
    yield
    sys.setswitchinterval(interval_seconds)
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("interpreter")
def test_a_thread_that_works_soon_gives_the_event_loop_its_turn() -> None:
    """When the server takes requests, a thread has the interpreter for half a millisecond at most
    while the loop waits for it."""
    intervals: list[float] = []

    def note() -> None:
        intervals.append(sys.getswitchinterval())
        server.should_exit = True

    config = uvicorn.Config("tests.server.serving.test_server:nothing", port=0, lifespan="off")
    limits = ConnectionLimits(header_seconds_max=1.0, body_seconds_max=1.0)
    server = Server(config, note, lambda: None, StopSignals(), limits)
    server.run()
    assert [pytest.approx(0.0005)] == intervals


async def nothing(scope: object, receive: object, send: object) -> None:
    """Be an application that gets no request."""
