"""Strangers, and clients with a token, who mean harm, for long, beside one who means none."""

from __future__ import annotations

import itertools
import json
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psutil
import pytest

from server_stub.auth.tokens import hash_token, make_token
from tests.outside.conftest import LONG
from tests.outside.test_soak import Traffic
from tests.server.strangers import BOMBS, ask, connected, packed_bomb, request
from tests.server_process import start_server

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

# Other programs send requests to the server, which is the same on every interpreter.
pytestmark = pytest.mark.once

SECONDS = 600 if LONG else 4
SETTLED_SECONDS = 60 if LONG else 1
SLOW_CLIENTS = 60
ROUNDS_BEFORE = 10 if LONG else 1
NEW_SERIES = 1_000 if LONG else 20
BATCHES_BEFORE = 250 if LONG else 1
"""In the long form as many as fill the table of known series, which has a bound in bytes."""

MEMORY_GROWTH_MAX = 1.2
"""How many times the memory of before the server may have afterwards. Before, each kind of request
came some times, so that what the server and its threads keep of them is there; in the long form its
tables are full, and have changed as they do later on: what they give up leaves gaps in the memory.
Both are measured when the server has settled."""
ALLOCATOR_BYTES = 0 if LONG else 64 * 1024 * 1024
"""After a few requests the allocator may not have kept yet what the largest one took and gave back;
so much one request may take. A bomb takes twenty times as much."""

TOKEN = "Authorization: Bearer writing"
WRITER = make_token("writer", ["write", "read"], hash_token("writing"))


def hostile_requests(runtime_id: str) -> list[bytes]:
    """Return a request of each kind."""
    bombs = [
        request("POST", "/api/metrics", packed_bomb(name, runtime_id), TOKEN,
                "Content-Encoding: gzip")
        for name in BOMBS
    ]  # fmt: skip
    huge = [
        {
            "metric_name": f"huge_{number % 7}_total", "metric_type": "counter", "metric_value": 1,
            "labels": {f"l{label}": f"{number}-{label}".ljust(length, "x") for label in range(64)},
        }
        for length in (4096, 4097)
        for number in range(12)
    ]  # fmt: skip
    stored = json.dumps({"runtime_id": runtime_id, "metrics": huge}).encode()
    both = b"Host: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    return [
        *bombs,
        request("POST", "/api/metrics", stored, TOKEN),
        request("POST", "/api/worker/pool/register", b"[" + b"[]," * 170_000 + b"1]", TOKEN),
        request("GET", "/metrics", b"", TOKEN),
        request("GET", "/api/runtime", b"", TOKEN),
        request("GET", "/api/metrics?limit=10000", b"", TOKEN),
        request("GET", "/api/metrics/series?metric_name=huge_1_total&group_by=l1", b"", TOKEN),
        request("GET", "/readyz"),
        request("HEAD", "/healthz"),
        request("GET", "/api/runtime", b"", "Authorization: Bearer wrong"),
        b"POST /api/metrics HTTP/1.1\r\n" + both,
        b"nonsense\r\n\r\n",
    ]


def invented_requests(runtime_id: str, number: int) -> list[bytes]:
    """Return requests with a method, a path, a component and series that there were not before."""
    series = [
        {
            "metric_name": "new_total", "metric_type": "counter", "metric_value": 1,
            "labels": {"new": f"{number}-{index}", "worker_id": f"w-{number % 5}"},
        }
        for index in range(NEW_SERIES)
    ]  # fmt: skip
    batch = json.dumps({"runtime_id": runtime_id, "metrics": series}).encode()
    component = json.dumps({"name": f"invented-{number}", "labels": {"text": "x" * 60_000}})
    return [
        request(f"INVENTED{number}", f"/invented/{number}"),
        request("POST", "/api/worker/pool/register", component.encode(), TOKEN),
        request("POST", "/api/metrics", batch, TOKEN),
    ]


def test_memory_and_others_outlast_strangers(database_url: str) -> None:
    """After hostile requests of every kind the server has hardly more memory than after the first
    ones, and meanwhile it has taken every batch of a good client."""
    with ExitStack() as stack:
        server = start_server(database_url, f"--tokens={WRITER.line()}", "--body-seconds-max=2")
        assert server.process.stdout is not None
        stack.enter_context(server.process.stdout)
        stack.callback(server.stop)
        registration = request("POST", "/api/worker/pool/register", b'{"name": "good"}', TOKEN)
        runtime_id = ask(server.url, registration).json()["runtime_id"]
        hostile = hostile_requests(runtime_id)
        numbers = itertools.count()
        for _ in range(BATCHES_BEFORE):
            for sent in invented_requests(runtime_id, next(numbers)):
                ask(server.url, sent)
        for sent in hostile * ROUNDS_BEFORE:
            for one in (sent, *invented_requests(runtime_id, next(numbers))):
                ask(server.url, one)
        process = psutil.Process(server.process.pid)
        time.sleep(SETTLED_SECONDS)
        before = process.memory_info().rss
        traffic = Traffic(server.url)
        stack.callback(traffic.stop)
        traffic.start("good", 0.05, good_batches(runtime_id))
        began = b"POST /api/metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
        ends_at = time.monotonic() + SECONDS
        for number, sent in enumerate(itertools.cycle(hostile)):
            if time.monotonic() >= ends_at:
                break
            for one in (sent, *invented_requests(runtime_id, next(numbers))):
                ask(server.url, one)
            if number % SLOW_CLIENTS == 0:
                slow = stack.enter_context(connected(server.url))
                slow.sendall(began + TOKEN.encode() + b"\r\n\r\n5\r\n[    \r\n")
        traffic.stop()
        time.sleep(SETTLED_SECONDS)
        after = process.memory_info().rss
        shown = f"{before >> 20} MiB before, {after >> 20} MiB after {number} hostile requests"
        sys.stderr.write(f"{traffic.answered}\n{shown}\n")
        assert {("good", 200)} == set(traffic.answered)
        assert after <= MEMORY_GROWTH_MAX * before + ALLOCATOR_BYTES
        assert 0 == server.stop()


def good_batches(runtime_id: str) -> Callable[[httpx.Client], httpx.Response]:
    metrics = [{"metric_name": "good_total", "metric_type": "counter", "metric_value": 1}]
    body = json.dumps({"runtime_id": runtime_id, "metrics": metrics})
    name, _, value = TOKEN.partition(": ")
    return lambda client: client.post("/api/metrics", content=body, headers={name: value})
