"""A TCP proxy between workers and servers, which treats requests as bad networks do."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections import Counter as Tally
from contextlib import suppress
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tests.chaos.exchange import Exchange
from tests.chaos.faults import Fault, Sequence
from tests.chaos.waiting import wait_until

if TYPE_CHECKING:
    from types import TracebackType

    from tests.chaos.faults import Plan

REFUSAL_SECONDS = 0.1
REOPEN_SECONDS = 20.0
HANG_UP_SECONDS = 30.0


class Proxy:
    """Listens on a loopback port, and passes requests on to servers, or does not.

    Args:
        server_urls: the servers; each connection goes to one of them. A test may change them at
            any time; without a server the proxy resets connections.
        plan: decides the fate of each request.
        seed: the seed of the proxy's own choices, like where in a request it cuts a connection.
        body_bytes_max: it refuses a larger body with 413, as a load balancer does; 0 for none.
        takes_gzip: whether workers learn that the server takes compressed bodies.
    """

    def __init__(
        self,
        *server_urls: str,
        plan: Plan | None = None,
        seed: int = 0,
        body_bytes_max: int = 0,
        takes_gzip: bool = True,
    ) -> None:
        self.server_urls = list(server_urls)
        self.plan = plan or Sequence()
        self.chance = random.Random(seed)
        self.body_bytes_max = body_bytes_max
        self.takes_gzip = takes_gzip
        self.closing = threading.Event()
        # Guards the fields below, and tells waiting threads that the proxy has answered a request.
        self.changed = threading.Condition()
        self.counts: Tally[Fault] = Tally()
        self.answered = 0
        self._sockets: set[socket.socket] = set()
        self._exchanges: set[threading.Thread] = set()
        self._refuse_until = 0.0
        self._refusal_is_over = threading.Event()
        self._listener = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept_all, name="chaos-proxy")

    @property
    def url(self) -> str:
        """Return the URL to which workers deliver."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.closing.set()
        self.accept_again()
        with suppress(OSError):  # wakes the accepting thread
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        self._thread.join()
        self._listener.close()
        with self.changed:
            self.changed.notify_all()
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
        self.drain()

    def drain(self) -> None:
        """Wait until all requests under way have arrived; the workers must have ended."""
        while True:
            with self.changed:
                exchange = next(iter(self._exchanges), None)
            if exchange is None:
                return
            exchange.join(HANG_UP_SECONDS)
            assert not exchange.is_alive(), "a connection does not end"

    def refuse_for(self, seconds: float) -> None:
        """Have the operating system refuse connections for a while: no socket listens then."""
        self._refusal_is_over.clear()
        self._refuse_until = time.monotonic() + seconds
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()

    def accept_again(self) -> None:
        """Accept connections again, before the while is over."""
        self._refuse_until = 0.0
        self._refusal_is_over.set()

    def draw(self, path: str) -> Fault:
        """Return the fate of a request."""
        return self.plan.draw(path)

    def count(self, fault: Fault) -> None:
        """Count a fault that has happened."""
        with self.changed:
            self.counts[fault] += 1

    def note_answer(self) -> None:
        """Note that a server has answered."""
        with self.changed:
            self.answered += 1
            self.changed.notify_all()

    def connect(self) -> socket.socket:
        """Return a connection to one of the servers."""
        if not self.server_urls:
            raise ConnectionRefusedError("there is no server now")
        url = urlsplit(self.chance.choice(self.server_urls))
        assert url.hostname is not None
        connection = socket.create_connection((url.hostname, url.port or 80))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.keep(connection)

    def keep(self, connection: socket.socket) -> socket.socket:
        """Keep a connection, to end it with the proxy."""
        with self.changed:
            self._sockets.add(connection)
        return connection

    def reset(self, connection: socket.socket) -> None:
        """End a connection by an RST."""
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self.changed:
            self._sockets.discard(connection)
            connection.close()

    def _accept_all(self) -> None:
        while not self.closing.is_set():
            connection, _ = self._listener.accept()
            if self.closing.is_set():
                connection.close()
                return
            if time.monotonic() < self._refuse_until:
                self.reset(connection)
                self._stop_listening_for_a_while()
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._exchange, args=(self.keep(connection),))
            with self.changed:
                self._exchanges.add(thread)
            thread.start()

    def _exchange(self, connection: socket.socket) -> None:
        try:
            Exchange(self, connection).run()
        finally:
            with self.changed:
                self._exchanges.discard(threading.current_thread())

    def _stop_listening_for_a_while(self) -> None:
        self._listener.close()
        self._refusal_is_over.wait(max(0.0, self._refuse_until - time.monotonic()))

        def listen_again() -> bool:
            # An outgoing connection of another program may have taken the port meanwhile.
            with suppress(OSError):
                self._listener = _listen(self.port)
                return True
            return False

        wait_until(listen_again, REOPEN_SECONDS)


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=64, reuse_port=False)
