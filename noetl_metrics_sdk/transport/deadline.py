"""Give all network operations of a request one deadline.

A socket's time-out is for a single operation. If a server sends or takes a byte every few seconds,
no operation ever reaches it. So this module has a network backend for httpcore
(https://www.encode.io/httpcore/network-backends/). It gives every connect, handshake, read and
write no more time than is left for the request.

A timer that shuts the socket down was turned down: it needs a thread for every request, and a
forked child would have to restart it. Resolving a host name is the only wait without a bound here.
The system's resolver takes no time-out, but has one of its own (resolv.conf(5)).
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
"""How many bytes are given to a socket at once. An SSL socket takes all of them before it
returns."""


class Deadline:
    """The time at which the request under way has to have ended.

    All connections of a transport share one deadline, as a transport has only one request under way
    at a time. Before the first request starts, no time is left. So no operation is ever without a
    bound.

    Args:
        monotonic: a monotonic clock, in seconds.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._at = -math.inf
        self._seconds = 0.0

    def start(self, seconds: float) -> None:
        """Set the deadline for a request that begins now and may take some seconds."""
        self._seconds = seconds
        self._at = self._monotonic() + seconds

    def left(self, timeout: float | None = None) -> float:
        """Return how many seconds an operation may take, more than 0.

        Args:
            timeout: the operation's own time-out, in seconds, or None if it has none.

        Raises:
            TimeoutError: no time is left.
        """
        left = self._at - self._monotonic()
        if left <= 0:
            raise TimeoutError(self._text)
        return left if timeout is None else min(left, timeout)

    @contextmanager
    def raising(
        self, late: type[httpcore.TimeoutException], broken: type[httpcore.NetworkError]
    ) -> Generator[None]:
        """Replace the errors that an operation raises by those that httpcore expects.

        Args:
            late: raised for a time-out, of this deadline, of httpcore or of the socket.
            broken: raised for any other error of a socket, and for a host name that cannot be one.
        """
        try:
            yield
        except (TimeoutError, httpcore.TimeoutException) as error:
            raise late(self._reason(error)) from error
        except (OSError, UnicodeError) as error:
            raise broken(str(error)) from error

    def _reason(self, error: Exception) -> str:
        # TCP's own time-outs come with an errno. They are not this deadline, and may come sooner.
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
        self.connections_made = 0

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers.

        `socket.create_connection` gives each address the whole time-out. Here each address gets an
        equal share of the time that is left. An address may never answer, for example an IPv6
        address behind a broken tunnel. It must not keep the next address from being tried, neither
        in this attempt nor in every later one.
        """
        options = list(socket_options or ())

        def connect(address: str, seconds: float) -> httpcore.NetworkStream:
            stream = self._sockets.connect_tcp(address, port, seconds, local_address, options)
            self.connections_made += 1
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
        stream: a stream of `httpcore.SyncBackend`.
        deadline: the deadline of the request that is under way.
    """

    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the bytes that have arrived: at least one, or none at the connection's end."""
        try:
            with self._deadline.raising(httpcore.ReadTimeout, httpcore.ReadError):
                return self._stream.read(max_bytes, self._deadline.left(timeout))
        except BaseException:
            # httpcore closes the stream too, but not during its handshake with a SOCKS proxy.
            self.close()
            raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send everything."""
        # This does not use the stream's own loop, which would give the whole time-out to each part
        # that the socket takes.
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
        """Return a stream that speaks TLS over this one, and close the connection on a failure."""
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
        """Return information that httpcore asks of a stream, for example its socket."""
        return self._stream.get_extra_info(info)


def _numeric_addresses(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    # The address in the answer itself is not used, as it has lost the scope of an IPv6 address.
    return [socket.getnameinfo(address, numeric)[0] for *_, address in found]
