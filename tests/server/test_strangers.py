"""A real server against requests that are meant to harm it: its memory, its series, its others."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from server_stub.auth.tokens import hash_token, make_token
from tests.server.application import sample
from tests.server.strangers import (
    BOMBS,
    Answer,
    PeakMemory,
    ask,
    connected,
    packed_bomb,
    parse_answer,
    read_to_end,
    request,
)
from tests.server_process import start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.postgresql import Cluster
    from tests.server_process import ServerProcess

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

GROWN_MEBIBYTES_MAX = 64
BATCHES = 3
WRITER = make_token("writer", ["write", "read"], hash_token("writing"))
TOKEN = "Authorization: Bearer writing"
PAUSE_SECONDS = 0.02
"""Clients that are refused come again, but not at once."""


@pytest.fixture(scope="module")
def server(postgresql: Cluster) -> Generator[ServerProcess]:
    """A server with tokens, whose owner is not the one who sends to it."""
    with ExitStack() as stack:
        url = stack.enter_context(postgresql.database())
        running = start_server(url, f"--tokens={WRITER.line()}", "--pool-size=2")
        assert running.process.stdout is not None
        stack.enter_context(running.process.stdout)
        stack.callback(running.process.wait)
        stack.callback(running.process.kill)
        yield running
        assert 0 == running.stop()


@pytest.fixture(scope="module")
def runtime_id(server: ServerProcess) -> str:
    sent = request("POST", "/api/worker/pool/register", b'{"name": "cpu-01"}', TOKEN)
    found: str = ask(server.url, sent).json()["runtime_id"]
    return found


def get(server: ServerProcess, path: str) -> Answer:
    return ask(server.url, request("GET", path, b"", TOKEN))


def insert(server: ServerProcess, body: Any, *headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(server.url, request("POST", "/api/metrics", content, TOKEN, *headers))


def writes_beside(
    server: ServerProcess, runtime_id: str, others: list[Callable[[], Any]], writes: int
) -> list[int]:
    """Return the statuses of writes that go on while others send again and again."""
    ended = threading.Event()

    def again_and_again(send: Callable[[], Any]) -> None:
        while not ended.is_set():
            send()
            ended.wait(PAUSE_SECONDS)

    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(again_and_again, send) for send in others]
        try:
            body = {"runtime_id": runtime_id, "metrics": [sample(metric_name="beside_total")]}
            return [insert(server, body).status for _ in range(writes)]
        finally:
            ended.set()
            for one in running:
                one.result()


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_body_takes_no_large_room(
    server: ServerProcess, runtime_id: str, name: str
) -> None:
    """Some kilobytes of gzip that become eight megabytes of values are refused or rejected, and
    nothing is made of all of them."""
    body = packed_bomb(name, runtime_id)
    memory = PeakMemory(server.process.pid)
    answer = insert(server, body, "Content-Encoding: gzip")
    assert answer.status in {200, 400, 413}, answer.body[:300]
    assert 0 == answer.json().get("metrics_inserted", 0)
    assert memory.grown_mebibytes() < GROWN_MEBIBYTES_MAX


@pytest.mark.parametrize(
    "body",
    [b'{"labels":[' + b"[]," * 170_000 + b"[]]}", b'"' + b"x" * 8_000_000 + b'"'],
    ids=["many lists", "a long text"],
)
def test_a_registration_takes_no_large_room(server: ServerProcess, body: bytes) -> None:
    """The body of a registration is smaller than that of a batch."""
    memory = PeakMemory(server.process.pid)
    for path in ("register", "heartbeat", "deregister"):
        sent = request(
            "POST", f"/api/worker/pool/{path}", gzip.compress(body), TOKEN, "Content-Encoding: gzip"
        )
        answer = ask(server.url, sent)
        assert answer.status in {413, 422}
        assert len(answer.body) < 1_000
    assert memory.grown_mebibytes() < GROWN_MEBIBYTES_MAX


def test_huge_labels_take_no_large_room(server: ServerProcess, runtime_id: str) -> None:
    """Neither do batches of labels that are as long as may be, stored or rejected, nor what the
    server keeps of them, nor the pages that read them."""

    def batch(number: int, length: int) -> dict[str, Any]:
        samples = [
            sample(
                metric_name="huge_total",
                labels={f"l{label}": f"{number}-{row}-{label}".ljust(length, "x")
                        for label in range(64)},
            )
            for row in range(28)
        ]  # fmt: skip
        return {"runtime_id": runtime_id, "metrics": samples}

    small = {"runtime_id": runtime_id, "metrics": [sample(metric_name="small_total")]}
    assert 200 == insert(server, small).status
    memory = PeakMemory(server.process.pid)
    for number in range(BATCHES):
        for length, inserted in ((4096, 28), (4097, 0)):
            answer = insert(server, batch(number, length))
            assert (200, inserted) == (answer.status, answer.json()["metrics_inserted"])
    assert memory.grown_mebibytes() < GROWN_MEBIBYTES_MAX
    page = get(server, "/metrics")
    assert 200 == page.status
    assert b"\nsmall_total{" in page.body
    assert page.body.count(b"\nhuge_total{") < 28 * BATCHES
    assert memory.grown_mebibytes() < GROWN_MEBIBYTES_MAX
    found = 0
    cursor: str | None = ""
    while cursor is not None:
        path = "/api/metrics?metric_name=huge_total&limit=10000"
        rows = get(server, f"{path}&cursor={cursor}" if cursor else path)
        assert 200 == rows.status, rows.body[:300]
        found += len(rows.json()["metrics"])
        cursor = rows.json()["next_cursor"]
    assert BATCHES * 28 == found
    assert memory.grown_mebibytes() < GROWN_MEBIBYTES_MAX


def test_invented_methods_and_paths_make_no_series(postgresql: Cluster) -> None:
    """Whatever a client without a token sends, the server's own metrics have the same series."""
    with postgresql.database() as database_url:
        server = start_server(database_url, f"--tokens={WRITER.line()}")
        for number in range(40):
            for method, path in (
                (f"M{number}", "/healthz"),
                ("GET", f"/invented/{number}"),
                (f"get{number}", "/api/metrics"),
                ("PUT", f"/readyz/{number}"),
            ):
                assert ask(server.url, request(method, path)).status in {401, 404, 405}
        assert 0 == server.stop()
        assert server.process.stdout is not None
        server.process.stdout.close()
        with psycopg.connect(database_url) as database:
            found = database.execute(
                "SELECT DISTINCT labels ->> 'method', labels ->> 'endpoint', labels ->> 'status'"
                " FROM noetl.metric WHERE metric_name = 'noetl_api_requests_total'"
            ).fetchall()
    assert {"GET", "other"} == {method for method, _, _ in found}
    assert {"unmatched", "/healthz"} == {endpoint for _, endpoint, _ in found}
    assert len(found) <= 6


def test_probes_of_strangers_keep_no_write_out(server: ServerProcess, runtime_id: str) -> None:
    """While dozens of connections without a token ask whether the server is ready, all writes are
    taken."""

    probe = request("GET", "/readyz")
    others = [lambda: ask(server.url, probe)] * 60
    assert [200] * 6 == writes_beside(server, runtime_id, others, 6)


def test_slow_uploads_keep_no_write_out(server: ServerProcess, runtime_id: str) -> None:
    """Bodies whose sender says nothing of their size, or says a large one, and sends little of
    them, reserve no room that others need."""
    head = [
        b"POST /api/metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer writing\r\n"
        + framing + b"\r\n\r\n" + begun
        for framing, begun in (
            (b"Transfer-Encoding: chunked", b"5\r\n[    \r\n"),
            (b"Content-Length: 8388608", b"[    "),
            (b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip", b"2\r\n\x1f\x8b\r\n"),
        )
    ]  # fmt: skip
    body = {"runtime_id": runtime_id, "metrics": [sample(metric_name="beside_total")]}
    with ExitStack() as stack:
        for number in range(99):
            connection = stack.enter_context(connected(server.url))
            connection.sendall(head[number % 3])
        for _ in range(10):
            assert 200 == insert(server, body).status


def test_charts_keep_no_write_out(server: ServerProcess, runtime_id: str) -> None:
    """While more heavy charts, pages and scrapes run than there are connections, every write is
    taken; the queries that find no place are told to come again."""
    with psycopg.connect(server.database_url, autocommit=True) as database:
        database.execute(
            "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, labels)"
            " SELECT %s, 'heavy_total', 'counter', n, jsonb_build_object('a', (n %% 50)::text)"
            " FROM generate_series(1, 20000) AS n",
            (int(runtime_id),),
        )
    statuses: list[int] = []
    chart = "/api/metrics/series?metric_name=heavy_total&aggregation=increase&group_by=a"

    def asking(path: str) -> Callable[[], None]:
        return lambda: statuses.append(get(server, path).status)

    others = [asking(chart)] * 40 + [asking("/metrics"), asking("/api/metrics?limit=1000")]
    assert [200] * 5 == writes_beside(server, runtime_id, others, 5)
    assert {200, 503} >= set(statuses)
    assert 200 in statuses


def test_a_client_that_stops_writing_is_answered(server: ServerProcess) -> None:
    """A client may shut its writing side down after its request, also after two at once."""
    first = request("GET", "/healthz").replace(b"Connection: close\r\n", b"")
    for sent, count in ((first, 1), (first + first, 2), (request("GET", "/readyz"), 1)):
        with connected(server.url) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            assert count == read_to_end(connection).count(b"HTTP/1.1 200 ")


def test_a_batch_whose_client_stops_writing_is_answered(
    server: ServerProcess, runtime_id: str
) -> None:
    """What is stored is also answered."""
    body = {"runtime_id": runtime_id, "metrics": [sample(metric_name="half_closed_total")]}
    sent = request("POST", "/api/metrics", json.dumps(body).encode(), TOKEN)
    with connected(server.url) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = parse_answer(read_to_end(connection))
    assert (200, 1) == (answer.status, answer.json()["metrics_inserted"])


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n",
        request("POST", "/api/metrics", b"{ }", TOKEN)[:-2],
    ],
)
def test_half_a_request_of_a_client_that_stops_writing_is_ended(
    server: ServerProcess, sent: bytes
) -> None:
    """Nothing more can come, so the server does not wait for it."""
    began_at = time.monotonic()
    with connected(server.url) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert b"200" not in read_to_end(connection)
    assert time.monotonic() - began_at < 5.0


@pytest.mark.parametrize("token", ["writing", "wrong"])
def test_two_lengths_of_a_body_end_the_connection(server: ServerProcess, token: str) -> None:
    """What follows a body whose end a proxy may see elsewhere is taken for no request of its own,
    with a good token and with a wrong one."""
    sent = (
        b"POST /api/metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" % token.encode()
    ) + request("GET", "/healthz")
    with connected(server.url) as connection:
        connection.sendall(sent)
        received = read_to_end(connection)
    answer = parse_answer(received)
    assert (400, 1) == (answer.status, received.count(b"HTTP/1.1 "))
    assert "send one of them" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/api/runtime", "/nowhere"])
def test_head_is_answered_as_get_is(server: ServerProcess, path: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    got = get(server, path)
    head = ask(server.url, request("HEAD", path, b"", TOKEN))
    assert (got.status, b"") == (head.status, head.body)
    assert headers_of(got) == headers_of(head._replace(body=got.body))


def headers_of(answer: Answer) -> set[str]:
    """Return the headers of an answer without those that differ from request to request.

    The length of a page that shows times or counts is one of these.
    """
    changing = ("date:", "x-request-id:") + (("content-length:",) if len(answer.body) > 300 else ())
    lines = {line.lower() for line in answer.head.splitlines()[1:]}
    return {line for line in lines if not line.startswith(changing)}
