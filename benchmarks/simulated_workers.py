"""Worker processes of a fleet, in one process: each has a connection and sends what the SDK sends.

Usage: python benchmarks/simulated_workers.py PORT WORKERS INTERVAL SECONDS

A batch is recorded from a real client once. Each worker sends it with its own worker_id, keys,
values and times, compressed as the client compresses it. The program does one step for each line
on its standard input, and prints a line of JSON after each: it connects all workers, has them
register and report for the first time within four intervals, and has them report for SECONDS, while
a tenth of them restart. A latency is counted from the moment at which a report is due.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import random
import re
import sys
import threading
import time
import uuid
from collections import Counter as Tally
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import NamedTuple
from urllib.parse import urlencode

from answering_server import Server

from noetl_metrics_sdk import Counter, MetricsClient, Registry
from noetl_metrics_sdk.transport.http import GZIP_LEVEL

NAMES, JOB_TYPES = 20, 5
CHANGED_SERIES = NAMES * JOB_TYPES
WORKERS_PER_POOL = 50
HEARTBEAT_SECONDS = 30.0
RESTARTING_SHARE = 0.1
SEQUENCE_STEP = 1 << 17
"""A client's batches are so far apart, as their parts are numbered in between."""
CONNECTING_AT_ONCE = 100
STARTING_INTERVALS = 4
BACKOFF_FIRST_SECONDS, BACKOFF_SECONDS_MAX = 1.0, 30.0
"""A refused batch is sent again after a random part of a span that doubles, as the client does."""
WORKER_ID, VALUE, TIME = b"@worker@", b"@value@", b"@time@"


class _Recorder(BaseHTTPRequestHandler):
    """Answers a client as a server does, and keeps the bodies of its batches."""

    protocol_version = "HTTP/1.1"
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/metrics":
            self.bodies.append(body)
        answer = json.dumps({
            "status": "ok", "runtime_id": "1", "metrics_inserted": 0, "metrics_rejected": 0,
            "errors": [],
        }).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def record_batch() -> list[bytes]:
    """Return the samples of a batch of a real client, with places for what differs."""
    registry = Registry()
    counters = [
        Counter(f"noetl_fleet_{name}", "Rows that a step has read", ["job_type", "status"],
                unit="rows", registry=registry)
        for name in range(NAMES)
    ]  # fmt: skip
    bodies: list[bytes] = []
    handler = type("Handler", (_Recorder,), {"bodies": bodies})
    with Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with MetricsClient(
            f"http://127.0.0.1:{server.server_port}", "recorded", registry=registry,
            worker_id=WORKER_ID.decode(), system_metrics=(), flush_interval=3600,
        ) as client:  # fmt: skip
            for _ in range(2):
                bodies.clear()  # the second time there are the changed series, and not all
                for counter in counters:
                    for job_type in range(JOB_TYPES):
                        counter.labels(f"type-{job_type}", "completed").inc()
                client.flush()
            # A client collects when it starts, and maybe in the middle of the counting.
            changed = [
                sample
                for body in bodies
                for sample in body.partition(b'"metrics":[')[2].removesuffix(b"]}")
                .replace(b"},{", b"}\n{").split(b"\n")
                if b'"noetl_fleet_' in sample
            ]  # fmt: skip
        server.shutdown()
    assert len(changed) == CHANGED_SERIES, len(changed)
    return [
        re.sub(rb'"metric_value":[^,}]+,"timestamp":[^,}]+',
               b'"metric_value":%d' % index + VALUE + b',"timestamp":' + TIME, sample)
        for index, sample in enumerate(changed, 1)
    ]  # fmt: skip


class Batches:
    """Writes the batches of all workers."""

    def __init__(self) -> None:
        samples = record_batch()
        zeros = [
            re.sub(rb'"metric_value":\d+' + VALUE, b'"metric_value":0.0', one) for one in samples
        ]
        self._reports = b",".join(samples)
        # What counts from zero begins with a sample of zero.
        self._first = b",".join(one for pair in zip(zeros, samples, strict=True) for one in pair)

    def body(self, runtime_id: str, worker_id: str, value: int) -> bytes:
        """Return a worker's batch, compressed."""
        samples = self._reports if value else self._first
        for place, text in (
            (WORKER_ID, worker_id.encode()), (VALUE, b"%03d.0" % value),
            (TIME, b"%.7f" % time.time()),
        ):  # fmt: skip
            samples = samples.replace(place, text)
        plain = b'{"runtime_id":"%b","metrics":[%b]}' % (runtime_id.encode(), samples)
        return gzip.compress(plain, GZIP_LEVEL)


class Answer(NamedTuple):
    """What the server has answered."""

    status: int
    body: bytes


class SimulatedWorker:
    """One worker process, by what it sends.

    Args:
        number: which one it is.
        port: the server's.
        batches: writes its batches.
    """

    def __init__(self, number: int, port: int, batches: Batches) -> None:
        self._number = number
        self._port = port
        self._batches = batches
        self._pool = f"pool-{number // WORKERS_PER_POOL}"
        self._starts = 0
        self._turn = asyncio.Lock()
        self._begin()

    def _begin(self) -> None:
        self._starts += 1
        self._worker_id = f"host-{self._number:05d}-{self._starts:05d}"
        self._boot_id = uuid.uuid4().hex
        self._started_at = time.time()
        self._value = 0

    async def connect(self) -> None:
        """Open the connection that the worker keeps."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def request(self, method: str, path: str, body: bytes = b"", *headers: str) -> Answer:
        """Send a request over the worker's connection, and return the answer."""
        head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*",
                "Connection: keep-alive", "User-Agent: noetl-metrics-sdk",
                f"Content-Length: {len(body)}", *headers]  # fmt: skip
        self._writer.write("\r\n".join([*head, "", ""]).encode() + body)
        answer_head = await self._reader.readuntil(b"\r\n\r\n")
        status, *lines = answer_head.decode().split("\r\n")
        lengths = [line for line in lines if line.lower().startswith("content-length:")]
        length = int(lengths[0].partition(":")[2])
        return Answer(int(status.split(" ")[1]), await self._reader.readexactly(length))

    def _process(self) -> dict[str, object]:
        return {
            "name": self._pool, "kind": "worker_pool", "worker_id": self._worker_id,
            "hostname": f"host-{self._number:05d}", "pid": self._starts,
            "started_at": self._started_at, "heartbeat_interval": HEARTBEAT_SECONDS,
            "sdk_version": "0.1.0",
        }  # fmt: skip

    async def register(self) -> int:
        """Register the component, as a client does when it starts; return the answer's status."""
        body = json.dumps(self._process()).encode()
        answer = await self.request("POST", "/api/worker/pool/register", body,
                                    "Content-Type: application/json")  # fmt: skip
        if answer.status == HTTPStatus.OK:
            self._runtime_id = json.loads(answer.body)["runtime_id"]
        return answer.status

    async def heartbeat(self) -> int:
        """Send a heartbeat; return the answer's status."""
        async with self._turn:
            body = json.dumps(self._process()).encode()
            answer = await self.request("POST", "/api/worker/pool/heartbeat", body,
                                        "Content-Type: application/json")  # fmt: skip
        return answer.status

    async def report(self) -> tuple[int, int]:
        """Send a batch; return the answer's status, and how many samples were inserted.

        A batch that is not taken is written anew with the next call, under the same key.
        """
        async with self._turn:
            body = self._batches.body(self._runtime_id, self._worker_id, self._value)
            key = f"Idempotency-Key: {self._boot_id}:{(self._value + 1) * SEQUENCE_STEP}"
            answer = await self.request("POST", "/api/metrics", body, key,
                                        "Content-Type: application/json",
                                        "Content-Encoding: gzip")  # fmt: skip
            if answer.status != HTTPStatus.OK:
                return answer.status, 0
            self._value += 1
        found = json.loads(answer.body)
        if found["metrics_rejected"]:
            raise RuntimeError(f"samples were rejected: {found}")
        return answer.status, found["metrics_inserted"]

    async def restart(self) -> int:
        """Say goodbye, and begin as a new process; return the registration's status."""
        async with self._turn:
            process = urlencode(self._process())
            await self.request("POST", f"/api/worker/pool/goodbye?{process}")
            self.close()
            self._begin()
            await self.connect()
            return await self.register()

    def close(self) -> None:
        """Close the connection."""
        self._writer.close()


class Fleet:
    """All workers, which do each step at random moments of an interval.

    Args:
        port: the server's.
        workers: how many there are.
        interval: seconds from one report of a worker to the next.
    """

    def __init__(self, port: int, workers: int, interval: float) -> None:
        batches = Batches()
        self._workers = [SimulatedWorker(number, port, batches) for number in range(workers)]
        self._interval = interval
        self._random = random.Random(1)  # the same moments in each run
        self._latencies: list[float] = []
        self._statuses: Tally[str] = Tally()
        self._samples = 0

    async def connect(self) -> dict[str, object]:
        """Have every worker connect, and ask for something."""
        places = asyncio.Semaphore(CONNECTING_AT_ONCE)

        async def begin(worker: SimulatedWorker) -> int:
            async with places:
                await worker.connect()
                return (await worker.request("GET", "/healthz")).status

        statuses = await asyncio.gather(*map(begin, self._workers))
        return {"statuses": Tally(map(str, statuses))}

    async def begin(self) -> dict[str, object]:
        """Have every worker register and report for the first time, within some intervals."""

        async def begin(worker: SimulatedWorker) -> None:
            await asyncio.sleep(self._random.uniform(0, STARTING_INTERVALS * self._interval))
            for attempt in count():
                status = await worker.register()
                self._statuses[f"registration {status}"] += 1
                if status == HTTPStatus.OK:
                    break
                await self._back_off(attempt)
            await self._report(worker, time.perf_counter())

        await asyncio.gather(*map(begin, self._workers))
        return self._found()

    async def report(self, seconds: float) -> dict[str, object]:
        """Have every worker report once an interval; a tenth of them restart meanwhile."""
        until = time.perf_counter() + seconds
        restarting = self._random.sample(
            self._workers, math.ceil(RESTARTING_SHARE * len(self._workers))
        )
        await asyncio.gather(
            *(self._repeat(worker, until) for worker in self._workers),
            *(self._beat(worker, until) for worker in self._workers),
            *(self._restart(worker, seconds) for worker in restarting),
        )
        for worker in self._workers:
            worker.close()
        return self._found()

    async def _repeat(self, worker: SimulatedWorker, until: float) -> None:
        due_at = time.perf_counter() + self._random.uniform(0, self._interval)
        while due_at < until:
            await asyncio.sleep(due_at - time.perf_counter())
            await self._report(worker, due_at)
            due_at += self._interval

    async def _beat(self, worker: SimulatedWorker, until: float) -> None:
        due_at = time.perf_counter() + self._random.uniform(0, HEARTBEAT_SECONDS)
        while due_at < until:
            await asyncio.sleep(due_at - time.perf_counter())
            self._statuses[f"heartbeat {await worker.heartbeat()}"] += 1
            due_at += HEARTBEAT_SECONDS

    async def _restart(self, worker: SimulatedWorker, seconds: float) -> None:
        await asyncio.sleep(self._random.uniform(0, seconds))
        self._statuses[f"restart {await worker.restart()}"] += 1

    async def _report(self, worker: SimulatedWorker, due_at: float) -> None:
        for attempt in count():
            status, samples = await worker.report()
            self._statuses[f"batch {status}"] += 1
            if status == HTTPStatus.OK:
                break
            await self._back_off(attempt)
        self._latencies.append(time.perf_counter() - due_at)
        self._samples += samples

    async def _back_off(self, attempt: int) -> None:
        span = min(BACKOFF_FIRST_SECONDS * 2**attempt, BACKOFF_SECONDS_MAX)
        await asyncio.sleep(self._random.uniform(0, span))

    def _found(self) -> dict[str, object]:
        found = {
            "latencies": self._latencies, "statuses": self._statuses, "samples": self._samples,
        }  # fmt: skip
        self._latencies, self._statuses, self._samples = [], Tally(), 0
        return found


async def run(port: int, workers: int, interval: float, seconds: float) -> None:
    """Do each step when it is asked for."""
    fleet = Fleet(port, workers, interval)
    for step in (fleet.connect(), fleet.begin(), fleet.report(seconds)):
        await asyncio.to_thread(sys.stdin.readline)
        print(json.dumps(await step), flush=True)


if __name__ == "__main__":
    _, port, workers, interval, seconds = sys.argv
    asyncio.run(run(int(port), int(workers), float(interval), float(seconds)))
