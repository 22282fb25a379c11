"""TLS inside TLS: to a server that speaks TLS, through a proxy that speaks TLS too.

An SSL socket cannot wrap another SSL socket. So this module implements TLS over any stream by hand
(https://docs.python.org/3/library/ssl.html#ssl.SSLContext.wrap_bio). httpcore has such a stream as
well, but its time-outs are for each single read of the socket, and a TLS record may take many
reads.
"""

from __future__ import annotations

import ssl
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import httpcore

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

TLS_RECORD_BYTES = 16 * 1024
"""How many bytes a record carries at most (RFC 8446, 5.1)."""


class NestedTlsStream(httpcore.NetworkStream):
    """TLS over another stream, which bounds the time of all reads and writes.

    Args:
        stream: the stream below. It raises httpcore's errors.
        ssl_context: checks the server.
        server_hostname: the name that the server's certificate must have.

    Raises:
        ssl.SSLError: the handshake failed.
    """

    def __init__(
        self,
        stream: httpcore.NetworkStream,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None,
    ) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = ssl_context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_hostname
        )
        self._exchange(self._tls.do_handshake, None)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the bytes that have arrived: at least one, or none at the connection's end."""
        try:
            return self._exchange(partial(self._tls.read, max_bytes), timeout)
        except ssl.SSLError as error:
            raise httpcore.ReadError(str(error)) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send everything."""
        unsent = memoryview(buffer)
        try:
            while unsent:
                part = unsent[:TLS_RECORD_BYTES]
                unsent = unsent[self._exchange(partial(self._tls.write, part), timeout) :]
        except ssl.SSLError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """Return information that httpcore asks of a stream, for example whether it is readable."""
        return self._tls if info == "ssl_object" else self._stream.get_extra_info(info)

    def _exchange(self, step: Callable[[], T], timeout: float | None) -> T:
        """Take a step of TLS, with as many reads and writes of the stream below as it needs."""
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._stream.write(self._outgoing.read(), timeout)
                received = self._stream.read(TLS_RECORD_BYTES, timeout)
                if received:
                    self._incoming.write(received)
                else:
                    self._incoming.write_eof()
            else:
                self._stream.write(self._outgoing.read(), timeout)
                return result
