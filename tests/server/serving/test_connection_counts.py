"""The bound on connections is the whole server's, however the kernel deals them out."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from server_stub.serving.connection_counts import ConnectionCounts
from tests.server.strangers import connected, parse_answer, read_to_end, request
from tests.server_process import start_server

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.server_process import ServerProcess

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

CONNECTIONS_MAX = 40
REFUSED = request("GET", "/healthz")
KEPT = REFUSED.replace(b"Connection: close\r\n", b"")


@pytest.fixture
def server(database_url: str) -> Generator[ServerProcess]:
    running = start_server(database_url, "--workers=3", f"--connections-max={CONNECTIONS_MAX}")
    try:
        yield running
        assert 0 == running.stop()
    finally:
        running.process.kill()
        running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()


def test_no_worker_refuses_while_the_server_has_room(server: ServerProcess) -> None:
    """All workers together take as many connections as may be, and no more; a worker that is killed
    has none any more."""
    with ExitStack() as stack:
        taken = [stack.enter_context(connected(server.url)) for _ in range(CONNECTIONS_MAX)]
        for connection in taken:
            connection.sendall(KEPT)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        refused = stack.enter_context(connected(server.url))
        assert 503 == parse_answer(read_to_end(refused)).status
        for worker in psutil.Process(server.process.pid).children():
            os.kill(worker.pid, signal.SIGKILL)
        for connection in taken:
            read_to_end(connection)
        while True:
            try:
                answer = httpx.get(f"{server.url}/healthz")
            except httpx.TransportError:
                continue
            assert 200 == answer.status_code
            break
        again = [stack.enter_context(connected(server.url)) for _ in range(CONNECTIONS_MAX - 1)]
        for connection in again:
            connection.sendall(KEPT)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_counts_are_those_of_all_workers() -> None:
    """One worker may have all; what one gives back another one takes."""
    counts = ConnectionCounts(3, connections_max=2)
    assert [True, True, False, False] == [
        counts.try_add(0), counts.try_add(2), counts.try_add(2), counts.try_add(1)
    ]  # fmt: skip
    assert [1, 0, 1] == [counts.of(worker) for worker in range(3)]
    counts.remove(2)
    assert [True, False] == [counts.try_add(1), counts.try_add(0)]
    counts.forget(0)
    assert [True, False] == [counts.try_add(2), counts.try_add(2)]
