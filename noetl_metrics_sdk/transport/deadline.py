"""One deadline for all the network operations of a request.

A socket's time-out is for a single operation: a server that sends a byte every few seconds, or
takes one, never meets it. So a network backend of httpcore's
(https://www.encode.io/httpcore/network-backends/) gives every connect, handshake, read and write
no more than what is left of the request.

A timer that shuts the socket down was turned down: it is a thread for every request, and one more
thing to restart in a forked child. Resolving a host name is the one wait that is not bounded here,
as the system's resolver takes no time-out; it has one of its own (resolv.conf(5)).
"""

from __future__ import annotations

import math
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import httpcore

from noetl_metrics_sdk.transport.nested_tls import NestedTlsStream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator, Iterable

PART_BYTES = 64 * 1024
"""How much is handed to a socket at once. An SSL socket takes all of it before it returns."""


class Deadline:
    """When the request that is under way has to have ended.

    One for all connections of a transport, which has one request under way at a time. Until the
    first has started nothing is left, so that no operation is ever without a bound.

    Args:
        monotonic: a monotonic clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._at = -math.inf
        self._seconds = 0.0

    def start(self, seconds: float) -> None:
        """Begin a request that may take some seconds."""
        self._seconds = seconds
        self._at = self._monotonic() + seconds

    def left(self, timeout: float | None = None) -> float:
        """Return how many seconds an operation may take, more than 0.

        Args:
            timeout: what the operation's own time-out is, in seconds, if it has one.

        Raises:
            TimeoutError: nothing is left.
        """
        left = self._at - self._monotonic()
        if left <= 0:
            raise TimeoutError(self._text)
        return left if timeout is None else min(left, timeout)

    @contextmanager
    def raising(
        self, late: type[httpcore.TimeoutException], broken: type[httpcore.NetworkError]
    ) -> Generator[None]:
        """Raise, for what an operation raises, the errors that httpcore expects of it.

        Args:
            late: for a time-out, whoever has noticed it.
            broken: for any other error of a socket.
        """
        try:
            yield
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise late(self._reason(error)) from error
        except OSError as error:
            raise broken(str(error)) from error

    def _reason(self, error: Exception) -> str:
        # TCP's own time-outs come with an errno. They are not ours, and may come sooner.
        cause = error.__cause__ or error
        return str(error) if isinstance(cause, OSError) and cause.errno else self._text

    @property
    def _text(self) -> str:
        return f"the request did not end in time: {self._seconds:g} s"


class DeadlineBackend(httpcore.NetworkBackend):
    """Opens connections whose operations all end by the deadline.

    Args:
        deadline: the deadline of the request that is under way.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers.

        `socket.create_connection` gives each address the whole time-out. Here each gets an equal
        share of what is left: one that never answers, an IPv6 address behind a broken tunnel for
        example, must not keep the next from being tried, in this attempt and in every later one.
        """
        options = list(socket_options or ())

        def connect(address: str, seconds: float) -> httpcore.NetworkStream:
            stream = self._sockets.connect_tcp(address, port, seconds, local_address, options)
            return DeadlineStream(stream, self._deadline)

        with self._deadline.raising(httpcore.ConnectTimeout, httpcore.ConnectError):
            addresses = _numeric_addresses(host, port)
            for place, address in enumerate(addresses[:-1]):
                share = self._deadline.left(timeout) / (len(addresses) - place)
                with suppress(httpcore.ConnectTimeout, httpcore.ConnectError):
                    return connect(address, share)
            return connect(addresses[-1], self._deadline.left(timeout))


class DeadlineStream(httpcore.NetworkStream):
    """A connection whose operations all end by the deadline.

    Args:
        stream: one of `httpcore.SyncBackend`.
        deadline: the deadline of the request that is under way.
    """

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what has arrived, at least a byte; nothing at the connection's end."""
        try:
            with self._deadline.raising(httpcore.ReadTimeout, httpcore.ReadError):
                return self._stream.read(max_bytes, self._deadline.left(timeout))
        except BaseException:
            # httpcore closes it too, but not while it makes itself known to a SOCKS proxy.
            self.close()
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send everything."""
        # The stream's own loop would give each part that the socket takes the whole time-out.
        to = cast("socket.socket", self._stream.get_extra_info("socket"))
        unsent = memoryview(buffer)
        with self._deadline.raising(httpcore.WriteTimeout, httpcore.WriteError):
            while unsent:
                to.settimeout(self._deadline.left(timeout))
                unsent = unsent[to.send(unsent[:PART_BYTES]) :]

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        """Return a stream that speaks TLS over this one; on a failure the connection is closed."""
        try:
            with self._deadline.raising(httpcore.ConnectTimeout, httpcore.ConnectError):
                if self.get_extra_info("ssl_object") is not None:
                    return NestedTlsStream(self, ssl_context, server_hostname)
                left = self._deadline.left(timeout)
                stream = self._stream.start_tls(ssl_context, server_hostname, left)
                return DeadlineStream(stream, self._deadline)
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks of a stream: its socket, for example."""
        return self._stream.get_extra_info(info)


def _numeric_addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    # Not the address of the answer itself: that one has lost an IPv6 address's scope.
    return [socket.getnameinfo(address, numeric)[0] for *_, address in found]
