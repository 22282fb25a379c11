"""What strangers send, byte by byte, and what the server's process takes of it."""

from __future__ import annotations

import gzip
import json
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

PATIENCE_SECONDS = 60.0


class Answer(NamedTuple):
    """A status, the head as text, and the body."""

    status: int
    head: str
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@contextmanager
def connected(url: str) -> Generator[socket.socket]:
    """Connect to a server."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), PATIENCE_SECONDS) as connection:
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the server closes; a reset is an end too."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def request(
    method: str, path: str, body: bytes = b"", *headers: str, host: str = "localhost"
) -> bytes:
    """Return the bytes of a request, after whose answer the server closes."""
    lines = [
        f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}",
        "Connection: close", *headers,
    ]  # fmt: skip
    return "\r\n".join([*lines, "", ""]).encode() + body


def ask(url: str, sent: bytes) -> Answer:
    """Send bytes on a connection of their own; return the first answer."""
    with connected(url) as connection:
        connection.sendall(sent)
        return parse_answer(read_to_end(connection))


def parse_answer(received: bytes) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    return Answer(int(head.split(b" ", 2)[1]), head.decode(), body)


class PeakMemory:
    """The most memory that a process has had, above what it had at the beginning.

    Args:
        pid: the process.
    """

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)
        (self._folder / "clear_refs").write_text("5")  # the peak is now what is there
        self._before = self._status("VmRSS")

    def grown_mebibytes(self) -> float:
        return (self._status("VmHWM") - self._before) / 1024

    def kept_mebibytes(self) -> float:
        return (self._status("VmRSS") - self._before) / 1024

    def _status(self, name: str) -> int:
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1])
        raise AssertionError(f"/proc has no {name}")


_SAMPLE = b'"metric_name":"a","metric_type":"gauge","metric_value":1'

# Each is a beginning, a part that comes again and again, how often it comes, and an end.
BOMBS: Mapping[str, tuple[bytes, bytes, int, bytes]] = {
    "ones": (b"[", b"1,", 4_000_000, b"1]"),
    "lists": (b"[", b"[],", 2_600_000, b"[]]"),
    "objects": (b'{"metrics":[', b"{},", 2_600_000, b"{}]}"),
    "a field of ones": (b'[{"metric_name":"a","x":[', b"1,", 4_000_000, b"1]}]"),
    "a wrong object": (b'{"a":[', b"[],", 2_600_000, b"[]]}"),
    "half a surrogate": (b'["\\ud800",', b"[],", 2_600_000, b"[]]"),
    "texts": (b"[", b'"a",', 2_000_000, b'"a"]'),
    "deep": (b"", b"[", 8_000_000, b""),
    "escaped names": (
        b'{"runtime_id":"RUNTIME","metrics":[',
        b'{"metric_nam\\u0065":"a","metric_type":"gauge","metric_value":1},',
        120_000,
        b"1]}",
    ),
    "labels": (
        b'{"runtime_id":"RUNTIME","metrics":[{%b,"labels":{' % _SAMPLE,
        b'"a":"b",',
        1_000_000,
        b'"c":"d"}}]}',
    ),
    "escapes": (b'["', rb"\"", 4_000_000, b'"]'),
    "one label": (
        b'{"runtime_id":"RUNTIME","metrics":[{%b,"labels":{"a":"' % _SAMPLE,
        b"x",
        8_000_000,
        b'"}}]}',
    ),
}
"""Bodies of eight megabytes, of which nothing can be stored."""


def packed_bomb(name: str, runtime_id: str) -> bytes:
    """Return one of the bodies as gzip.

    Args:
        name: which one.
        runtime_id: the component that it is for.
    """
    begin, part, count, end = BOMBS[name]
    return gzip.compress((begin + part * count + end).replace(b"RUNTIME", runtime_id.encode()))
