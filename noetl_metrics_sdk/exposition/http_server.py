"""A worker's own page without a web server of its own: as bytes, or served by a thread.

The functions have the names and arguments that prometheus_client has for them.
"""

from __future__ import annotations

import socket
import ssl
import threading
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

from noetl_metrics_sdk.errors import ConfigurationError
from noetl_metrics_sdk.exposition.apps import answer_of
from noetl_metrics_sdk.exposition.registry_page import RegistryPage
from noetl_metrics_sdk.exposition.samples import PageFormat
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    import os

CONTENT_TYPE_LATEST = str(PageFormat.TEXT)
"""The content type of the page that `generate_latest()` returns."""

CONNECTION_SECONDS_MAX = 30.0
"""How long a thread of the server waits for a scraper that says nothing."""

_PAGES_MAX = 8


def generate_latest(registry: Registry = REGISTRY) -> bytes:
    """Return a registry's page in Prometheus' text format, encoded.

    Args:
        registry: the registry whose metrics are on the page.
    """
    return _page_of(registry).render(PageFormat.TEXT).encode()


@lru_cache(maxsize=_PAGES_MAX)
def _page_of(registry: Registry) -> RegistryPage:
    # A page knows which collectors it has logged already.
    return RegistryPage(registry)


def start_http_server(
    port: int,
    addr: str = "0.0.0.0",  # noqa: S104 - as in prometheus_client, for a scraper on another host
    registry: Registry = REGISTRY,
    certfile: str | os.PathLike[str] | None = None,
    keyfile: str | os.PathLike[str] | None = None,
    client_cafile: str | os.PathLike[str] | None = None,
    client_capath: str | os.PathLike[str] | None = None,
    protocol: int = ssl.PROTOCOL_TLS_SERVER,
    client_auth_required: bool = False,
) -> tuple[ThreadingHTTPServer, threading.Thread]:
    """Serve a registry's page under every path, from a thread that does not keep the process alive.

    A forked child does not serve, as the thread is not in it.

    Args:
        port: the port to listen on; 0 takes any free one, which `server_port` of the server says.
        addr: the address to listen on.
        registry: the registry whose metrics are on the page.
        certfile: the PEM file of a certificate, with which the server speaks TLS.
        keyfile: the PEM file of its key.
        client_cafile: the PEM file of the authorities that may have signed a scraper's certificate.
        client_capath: a folder of such files.
        protocol: the version of TLS, as `ssl.SSLContext` takes it.
        client_auth_required: whether a scraper has to show a certificate.

    Returns:
        The server, whose `shutdown()` and `server_close()` end it, and its thread.

    Raises:
        ConfigurationError: a file cannot be used, or one of certificate and key is missing.
        OSError: the address cannot be listened on.
    """
    if (certfile is None) is not (keyfile is None) or (client_auth_required and certfile is None):
        raise ConfigurationError("certfile and keyfile: give both for TLS, or neither")
    family, _, _, _, address = socket.getaddrinfo(
        addr, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    handler = type("PageHandler", (_Handler,), {"page": RegistryPage(registry)})
    server_class = type("PageServer", (_Server,), {"address_family": family})
    server: _Server = server_class((str(address[0]), port), handler)
    if certfile is not None:
        try:
            context = ssl.SSLContext(protocol)
            context.load_cert_chain(certfile, keyfile)
            if client_cafile is not None or client_capath is not None:
                context.load_verify_locations(client_cafile, client_capath)
        except OSError as error:
            server.server_close()
            raise ConfigurationError(
                f"certfile {str(certfile)!r}, keyfile {str(keyfile)!r} or client_cafile "
                f"{client_cafile!r} cannot be used ({error}): name PEM files"
            ) from error
        if client_auth_required:
            context.verify_mode = ssl.CERT_REQUIRED
        # Each thread does its own handshake: one that hangs must not keep others out.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, name="noetl-metrics-page", daemon=True)
    thread.start()
    return server, thread


class _Server(ThreadingHTTPServer):
    def server_bind(self) -> None:
        # HTTPServer looks the host's full name up, which may take seconds. The page needs no name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a scraper that has gone, or that does not speak HTTP."""


class _Handler(BaseHTTPRequestHandler):
    page: ClassVar[RegistryPage]
    timeout = CONNECTION_SECONDS_MAX

    def _serve(self) -> None:
        status, headers, body = answer_of(
            self.page,
            self.command,
            self.headers.get("Accept"),
            self.headers.get("Accept-Encoding"),
        )
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    # The names by which the base finds what answers a method; the answer to others is 405.
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = _serve  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as it is inherited
        """Log nothing: a line for each scrape helps no one."""
