"""A TCP proxy between workers and servers that does to requests what networks do."""

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
        server_urls: the servers; each connection goes to one of them. May be changed meanwhile;
            with none, connections are reset.
        plan: what becomes of each request.
        seed: of the proxy's own choices, like where in a request a connection is cut.
        body_bytes_max: a larger body is refused with 413, as a load balancer does; 0 for none.
        takes_gzip: whether workers are told that the server takes compressed bodies.
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
        # Guards what follows, and tells whoever waits that a request has been answered.
        self.changed = threading.Condition()
        self.counts: Tally[Fault] = Tally()
        self.answered = 0
        self._sockets: set[socket.socket] = set()
        self._exchanges: set[threading.Thread] = set()
        self._refuse_until = 0.0
        self._listener = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept_all, name="chaos-proxy")

    @property
    def url(self) -> str:
        """Where workers deliver to."""
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
        """Wait until what is under way has arrived; the workers must have ended."""
        while True:
            with self.changed:
                exchange = next(iter(self._exchanges), None)
            if exchange is None:
                return
            exchange.join(HANG_UP_SECONDS)
            assert not exchange.is_alive(), "a connection does not end"

    def refuse_for(self, seconds: float) -> None:
        """Have connections refused for a while: nobody listens then."""
        self._refuse_until = time.monotonic() + seconds
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), 1).close()

    def draw(self) -> Fault:
        """Return what becomes of a request."""
        return self.plan.draw()

    def count(self, fault: Fault) -> None:
        """Note that a fault has happened."""
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
        """Have a connection ended with the proxy."""
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
        self.closing.wait(max(0.0, self._refuse_until - time.monotonic()))

        def listen_again() -> bool:
            # Somebody's outgoing connection may have got the port meanwhile.
            with suppress(OSError):
                self._listener = _listen(self.port)
                return True
            return False

        wait_until(listen_again, REOPEN_SECONDS)


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=64, reuse_port=False)
