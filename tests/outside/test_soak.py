"""Everything at once for a long time: batches whose series come and go, queries, pages, upkeep."""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest

from tests.outside.conftest import LONG
from tests.server_process import start_server

if TYPE_CHECKING:
    from collections.abc import Callable

# Other programs send requests to the server, which is the same on every interpreter.
pytestmark = pytest.mark.once

SECONDS = 600 if LONG else 6
SAMPLES = 500
BATCHES_A_SECOND = 20
RUNTIMES = 12
SERIES_PER_PROCESS_MAX = 40_000
MEMORY_BYTES_MAX = 640 * 1024 * 1024
GROWTH_BYTES_MAX = 48 * 1024 * 1024


class Traffic:
    """Threads that send requests to the server again and again, until a test ends them.

    `answered` counts the answers by request and status.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._end = threading.Event()
        self._threads: list[threading.Thread] = []
        self.answered: dict[tuple[str, int], int] = {}

    def start(self, name: str, pause: float, ask: Callable[[httpx.Client], httpx.Response]) -> None:
        def run() -> None:
            with httpx.Client(base_url=self._url, timeout=60) as client:
                while not self._end.wait(pause):
                    status = ask(client).status_code
                    self.answered[name, status] = self.answered.get((name, status), 0) + 1

        thread = threading.Thread(target=run)
        thread.start()
        self._threads.append(thread)

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def batches(runtime_ids: list[str]) -> Callable[[httpx.Client], httpx.Response]:
    numbers = itertools.count()

    def send(client: httpx.Client) -> httpx.Response:
        number = next(numbers)
        samples = [
            {
                "metric_name": f"soak_{index % 20}_total", "metric_type": "counter",
                "metric_value": number, "labels": {"index": str(index), "age": str(number // 20)},
            }
            for index in range(SAMPLES)
        ]  # fmt: skip
        body = {"runtime_id": runtime_ids[number % RUNTIMES], "metrics": samples}
        return client.post(
            "/api/metrics", content=json.dumps(body), headers={"Idempotency-Key": f"soak:{number}"}
        )

    return send


def get(path: str) -> Callable[[httpx.Client], httpx.Response]:
    return lambda client: client.get(path)


def test_memory_is_bounded(database_url: str) -> None:
    """A server that is used in every way, by components with ever new series, answers all the time
    and takes no more memory at the end than in the middle."""
    with ExitStack() as stack:
        server = start_server(
            database_url,
            f"--series-per-process-max={SERIES_PER_PROCESS_MAX}",
            "--maintenance-interval-seconds=1",
            "--exposition-lookback-seconds=5",
        )
        assert server.process.stdout is not None
        stack.enter_context(server.process.stdout)
        stack.callback(server.stop)
        runtime_ids = [
            httpx.post(
                f"{server.url}/api/worker/pool/register", json={"name": f"soak-{number}"}
            ).json()["runtime_id"]
            for number in range(RUNTIMES)
        ]
        traffic = Traffic(server.url)
        stack.callback(traffic.stop)
        traffic.start("insert", 1 / BATCHES_A_SECOND, batches(runtime_ids))
        traffic.start("page", 0.2, get("/api/metrics?metric_name=soak_1_total&limit=200"))
        traffic.start("scrape", 1.0, get("/metrics"))
        traffic.start("components", 0.5, get("/api/runtime"))
        traffic.start("ready", 0.5, get("/readyz"))
        traffic.start("clean up", 2.0, lambda client: client.post("/api/metrics/cleanup"))
        process = psutil.Process(server.process.pid)
        memory_bytes: list[int] = []
        ends_at = time.monotonic() + SECONDS
        while time.monotonic() < ends_at:
            memory_bytes.append(process.memory_info().rss)
            time.sleep(0.1)
        traffic.stop()
        third = len(memory_bytes) // 3
        middle, last = max(memory_bytes[third:-third]), max(memory_bytes[-third:])
        shown = [number >> 20 for number in memory_bytes[:: third // 5]]
        sys.stderr.write(f"{traffic.answered}\nMiB in use: {shown}\n")
        assert {200} == {status for _, status in traffic.answered}
        assert {"insert", "page", "scrape", "components", "ready", "clean up"} == {
            name for name, _ in traffic.answered
        }
        assert last < MEMORY_BYTES_MAX
        assert last - middle < GROWTH_BYTES_MAX
        assert 0 == server.stop()
