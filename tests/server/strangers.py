"""What strangers send, byte by byte, and what the server's process takes of it."""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Generator

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
