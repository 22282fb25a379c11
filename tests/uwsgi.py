"""What uWSGI itself says of its workers.

uWSGI's handlers of signals are a worker's own only once the worker accepts requests: a signal that
comes before is lost, and the master waits for that worker. And a worker that is ended while it
answers a request calls no function at its exit. So the tests ask first.
"""

from __future__ import annotations

import json
import socket
import time

GRACEFUL_STOP = (
    "--hook-master-start", "unix_signal:15 gracefully_kill_them_all",
    "--hook-master-start", "unix_signal:2 gracefully_kill_them_all",
)  # fmt: skip
WAIT_SECONDS = 60


def stats_option(port: int) -> str:
    """Return the option by which uWSGI tells at a port what its workers do."""
    return f"--stats=127.0.0.1:{port}"


def wait_until_workers(port: int, *, status: str = "idle") -> None:
    """Wait until every worker accepts requests, and one has the status or, if "idle", all."""
    deadline = time.monotonic() + WAIT_SECONDS
    matches = all if status == "idle" else any
    while True:
        workers = _workers(port)
        accept = bool(workers) and all(worker["accepting"] for worker in workers)
        if accept and matches(worker["status"] == status for worker in workers):
            return
        assert time.monotonic() < deadline, workers
        time.sleep(0.02)


def _workers(port: int) -> list[dict[str, object]]:
    try:
        with socket.create_connection(("127.0.0.1", port), WAIT_SECONDS) as connection:
            said = b"".join(iter(lambda: connection.recv(65_536), b""))
    except ConnectionRefusedError:
        return []  # the master listens there after it has forked its workers
    workers: list[dict[str, object]] = json.loads(said)["workers"]
    return workers
