"""Servers on real sockets that do what no web framework does."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import ExitStack, suppress

import pytest

ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{"runtime_id":"7"}'
RECEIVE_BUFFER_BYTES = 64 * 1024
JOIN_SECONDS = 30


class RawServer:
    """Calls a function for each connection, in a new thread, and then closes the connection.

    Args:
        handle: the function. An exception that it raises fails the test, unless it is an
            OSError: then the other side has gone.
        tls: the server's context, if it speaks TLS.
        address: the address on which it listens; with a free port, unless one is given.
    """

    def __init__(self, handle, tls=None, address=("127.0.0.1", 0)) -> None:
        self.ended = threading.Event()
        self.connections = 0
        self._handle = handle
        self._tls = tls
        self._errors: list[BaseException] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(address)
        # A connection inherits it; without it the system buffers megabytes that the server does not
        # read.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.port: int = self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://127.0.0.1:{self.port}"

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        self.ended.set()
        for each in [self._listener, *self._open]:
            with suppress(OSError):  # not connected (any more)
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(JOIN_SECONDS)
            assert not thread.is_alive()
        self._listener.close()
        assert [] == self._errors

    def _start(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            if self.ended.is_set():
                connection.close()
                return
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with ExitStack() as stack:
            stack.enter_context(connection)
            try:
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                    self._open.append(connection)
                    stack.enter_context(connection)
                self._handle(connection)
            except OSError:
                pass
            except BaseException as error:  # noqa: BLE001 - raised where the server ends
                self._errors.append(error)


def read_request(connection) -> bytes:
    """Read a whole request; return its head, or nothing if the client sends no more."""
    received = b""
    while b"\r\n\r\n" not in received:
        part = connection.recv(65_536)
        if not part:
            return b""
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    missing = int(length[1]) - len(body) if length else 0
    while missing > 0:
        missing -= len(connection.recv(missing)) or missing
    return head


def answer_each(connection) -> None:
    """Answer every request of a connection."""
    while read_request(connection):
        connection.sendall(ANSWER)


def dripping(clock, head, part=b"x"):
    """Return a handler that sends a head and then parts without end, a second apart."""

    def handle(connection) -> None:
        read_request(connection)
        connection.sendall(head)
        while True:
            connection.sendall(part)
            clock.advance(1)

    return handle


def tunnelling(heads):
    """Return a proxy that makes tunnels, and appends each request's head to a list."""

    def handle(connection) -> None:
        head = read_request(connection)
        heads.append(head)
        host, _, port = head.split()[1].partition(b":")
        with socket.create_connection((host.decode(), int(port))) as target:
            connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            join(connection, target)

    return handle


def join(one, other) -> None:
    """Carry bytes between two connections in both directions until one of them ends."""
    back = threading.Thread(target=_carry, args=(other, one), daemon=True)
    back.start()
    _carry(one, other)
    back.join(JOIN_SECONDS)
    assert not back.is_alive()


def _carry(source, target) -> None:
    with suppress(OSError):
        while part := source.recv(65_536):
            target.sendall(part)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


class Certificate:
    """A certificate for 127.0.0.1, and both sides' contexts with it."""

    def __init__(self, folder) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("no openssl to make a certificate with")
        key, certificate = str(folder / "key.pem"), str(folder / "certificate.pem")
        self.file, self.key_file = certificate, key
        subprocess.run(
            [
                "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                "-keyout", key, "-out", certificate,
            ],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(certificate, key)
        self.client = ssl.create_default_context(cafile=certificate)
