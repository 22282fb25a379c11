"""Whole HTTP/1.1 messages, read from a socket and left as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import socket

READ_BYTES = 65_536
END_OF_HEAD = b"\r\n\r\n"


class Message(NamedTuple):
    """A request or an answer: its head, up to and with the empty line, and its body."""

    head: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.head + self.body

    @property
    def path(self) -> str:
        return self.head.split(b" ", 2)[1].decode()

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])

    def without_header(self, name: bytes) -> Message:
        """Return the message without a header."""
        lines = self.head.split(b"\r\n")
        kept = [line for line in lines if not line.lower().startswith(name.lower() + b":")]
        return Message(b"\r\n".join(kept), self.body)


class MessageReader:
    """Reads message after message from a connection.

    Args:
        connection: the socket.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = b""

    def read(self) -> Message | None:
        """Return the next message; None if the other side closed before a message began.

        Raises:
            EOFError: the other side closed in the middle of a message.
            OSError: the connection is broken.
        """
        while END_OF_HEAD not in self._buffer:
            if not self._receive():
                if self._buffer:
                    raise EOFError("closed in the middle of a head")
                return None
        head, self._buffer = self._buffer.split(END_OF_HEAD, 1)
        head += END_OF_HEAD
        length = _content_length(head)
        parts = [self._buffer]
        missing = length - len(self._buffer)
        while missing > 0:
            part = self._connection.recv(READ_BYTES)
            if not part:
                raise EOFError("closed in the middle of a body")
            parts.append(part)
            missing -= len(part)
        read = b"".join(parts)
        self._buffer = read[length:]
        return Message(head, read[:length])

    def wait_for_first_byte(self) -> None:
        """Wait until a message has begun.

        Raises:
            EOFError: the other side closed instead.
        """
        if not self._buffer and not self._receive():
            raise EOFError("closed before an answer")

    def _receive(self) -> bool:
        received = self._connection.recv(READ_BYTES)
        self._buffer += received
        return bool(received)


def answer(status: int, body: bytes, **headers: str) -> Message:
    """Return an answer that the proxy itself gives."""
    lines = [f"HTTP/1.1 {status} Chaos", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Message("\r\n".join(lines).encode() + END_OF_HEAD, body)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.split(b":")[1])
        assert not line.startswith(b"transfer-encoding:"), "nobody here sends chunks"
    return 0
