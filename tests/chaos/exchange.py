"""One connection through the proxy, one request after the other."""

from __future__ import annotations

import time
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING

from tests.chaos.faults import Fault
from tests.chaos.http_messages import READ_BYTES, Message, MessageReader, answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tests.chaos.proxy import Proxy

DELAY_SECONDS = 0.3
DRIP_SECONDS = 0.002
OVERTAKEN_SECONDS = 2.0
"""How long a request is held back at most until the next one has overtaken it."""
TOO_LARGE_BYTES_MIN = 2_000


class Exchange:
    """A client's connection, and the connection to a server that it needs.

    Args:
        proxy: the proxy that has accepted the connection.
        client: the client's side.
    """

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server: socket.socket | None = None
        self._answers: MessageReader | None = None
        self._actions: dict[Fault, Callable[[Message], bool]] = {
            Fault.NONE: self._pass_on,
            Fault.REFUSED: self._refuse,
            Fault.RESET_IN_REQUEST: self._reset_in_request,
            Fault.RESET_BEFORE_ANSWER: self._reset_before_answer,
            Fault.RESET_IN_ANSWER: self._reset_in_answer,
            Fault.DELAYED: self._delay,
            Fault.DRIPPED: self._drip,
            Fault.SWALLOWED: self._swallow,
            Fault.ANSWER_SWALLOWED: self._swallow_answer,
            Fault.LATE: self._deliver_late,
            Fault.OVERTAKEN: self._deliver_overtaken,
            Fault.STATUS_500: lambda _: self._say(answer(500, b'{"detail": "chaos"}')),
            Fault.STATUS_503_SECONDS: lambda _: self._say(answer(503, b"", Retry_After="1")),
            Fault.STATUS_503_DATE: self._say_when,
            # As the server says it, which goes on to take compressed bodies.
            Fault.STATUS_400: lambda _: self._say(
                answer(400, b'{"detail": "chaos"}', Accept_Encoding="gzip")
            ),
            Fault.STATUS_429: lambda _: self._say(answer(429, b"", Retry_After="0")),
            Fault.STATUS_413: lambda _: self._say(answer(413, b'{"detail": "chaos"}')),
            Fault.STATUS_404: lambda _: self._say(answer(404, b'{"detail": "chaos"}')),
            Fault.NO_JSON: lambda _: self._say(answer(200, b"<html>")),
            Fault.STATUS_504_AFTER_COMMIT: lambda request: self._replace(request, 504),
            Fault.NO_JSON_AFTER_COMMIT: lambda request: self._replace(request, 200),
        }

    def run(self) -> None:
        """Serve the client until either side has gone."""
        requests = MessageReader(self._client)
        try:
            while (request := requests.read()) is not None:
                if not self._serve(request):
                    return
        except (OSError, EOFError):
            return  # a side has gone: that is what this suite does
        finally:
            for connection in (self._client, self._server):
                if connection is not None:
                    self._proxy.reset(connection)

    def _serve(self, request: Message) -> bool:
        fault = self._proxy.draw(request.path)
        limit = self._proxy.body_bytes_max
        if 0 < limit < len(request.body):
            fault = Fault.STATUS_413
        elif fault is Fault.STATUS_413 and len(request.body) < TOO_LARGE_BYTES_MIN:
            fault = Fault.NONE  # the SDK would drop one sample that is refused alone, and rightly
        self._proxy.count(fault)
        return self._actions[fault](request)

    def _connected(self) -> tuple[socket.socket, MessageReader]:
        if self._server is None or self._answers is None:
            self._server = self._proxy.connect()
            self._answers = MessageReader(self._server)
        return self._server, self._answers

    def _ask(self, request: Message) -> Message:
        server, answers = self._connected()
        server.sendall(request.raw)
        received = answers.read()
        if received is None:
            raise EOFError("the server has gone")
        self._proxy.note_answer()
        return received if self._proxy.takes_gzip else received.without_header(b"accept-encoding")

    def _say(self, message: Message) -> bool:
        self._client.sendall(message.raw)
        return True

    def _pass_on(self, request: Message) -> bool:
        return self._say(self._ask(request))

    def _refuse(self, request: Message) -> bool:
        del request
        self._proxy.refuse_for(self._proxy.chance.uniform(0.0, DELAY_SECONDS))
        return False

    def _reset_in_request(self, request: Message) -> bool:
        server, _ = self._connected()
        server.sendall(request.raw[: self._proxy.chance.randrange(1, len(request.raw))])
        return False

    def _reset_before_answer(self, request: Message) -> bool:
        server, answers = self._connected()
        server.sendall(request.raw)
        answers.wait_for_first_byte()
        return False

    def _reset_in_answer(self, request: Message) -> bool:
        received = self._ask(request).raw
        self._client.sendall(received[: self._proxy.chance.randrange(1, len(received))])
        return False

    def _delay(self, request: Message) -> bool:
        self._proxy.closing.wait(self._proxy.chance.uniform(0.0, DELAY_SECONDS))
        return self._pass_on(request)

    def _drip(self, request: Message) -> bool:
        pause = self._proxy.chance.uniform(0.0, DRIP_SECONDS)
        for byte in self._ask(request).raw:
            self._client.sendall(bytes([byte]))
            self._proxy.closing.wait(pause)
        return True

    def _swallow(self, request: Message) -> bool:
        del request
        with suppress(OSError):  # a client may give up in this way too
            while self._client.recv(READ_BYTES):
                pass
        return False

    def _swallow_answer(self, request: Message) -> bool:
        self._ask(request)
        return self._swallow(request)

    def _deliver_late(self, request: Message) -> bool:
        self._swallow(request)
        self._ask(request)
        return False

    def _deliver_overtaken(self, request: Message) -> bool:
        self._swallow(request)
        with self._proxy.changed:
            answered = self._proxy.answered
            self._proxy.changed.wait_for(
                lambda: self._proxy.answered > answered or self._proxy.closing.is_set(),
                OVERTAKEN_SECONDS,
            )
        self._ask(request)
        return False

    def _say_when(self, request: Message) -> bool:
        del request
        return self._say(answer(503, b"", Retry_After=formatdate(time.time() + 1, usegmt=True)))

    def _replace(self, request: Message, status: int) -> bool:
        self._ask(request)
        return self._say(answer(status, b"<html>"))
