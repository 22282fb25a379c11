"""A worker's own page, behind any WSGI or ASGI server, for a Prometheus that scrapes the worker.

The page needs neither a client nor a NoETL server. Each process has its own counts, and so a page
of its own. If several processes share a port, a scraper reaches only one of them at a time.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol

from noetl_metrics_sdk.exposition.negotiation import choose_format, encoded
from noetl_metrics_sdk.exposition.registry_page import RegistryPage
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

METHODS = "GET, HEAD"


class AsgiApplication(Protocol):
    """An application of ASGI 3.0, https://asgi.readthedocs.io/en/stable/specs/."""

    def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
        /,
    ) -> Awaitable[None]:
        """Serve one connection."""
        ...


def make_wsgi_app(registry: Registry = REGISTRY) -> WSGIApplication:
    """Return a WSGI application (PEP 3333) that serves a registry's page under every path.

    Args:
        registry: the registry whose metrics are on the page.
    """
    page = RegistryPage(registry)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        status, headers, body = answer_of(
            page,
            environ["REQUEST_METHOD"],
            environ.get("HTTP_ACCEPT"),
            environ.get("HTTP_ACCEPT_ENCODING"),
        )
        start_response(f"{status.value} {status.phrase}", list(headers.items()))
        return [body]

    return application


def make_asgi_app(registry: Registry = REGISTRY) -> AsgiApplication:
    """Return an ASGI application that serves a registry's page under every path.

    A thread makes the page, so the worker's event loop goes on meanwhile.

    Args:
        registry: the registry whose metrics are on the page.
    """
    page = RegistryPage(registry)

    async def application(
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"{scope['type']} is not served here: this is a page for HTTP")
        status, headers, body = await asyncio.to_thread(
            answer_of,
            page,
            scope["method"],
            _header(scope, b"accept"),
            _header(scope, b"accept-encoding"),
        )
        pairs = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
        await send({"type": "http.response.start", "status": int(status), "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    return application


def answer_of(
    page: RegistryPage, method: str, accept: str | None, accept_encoding: str | None
) -> tuple[HTTPStatus, Mapping[str, str], bytes]:
    """Return the status, the headers and the body of the answer to a request for a page.

    Args:
        page: makes the page.
        method: the request's method.
        accept: the request's `Accept`; several headers are joined by commas.
        accept_encoding: the request's `Accept-Encoding`, in the same way.
    """
    if method not in METHODS.split(", "):
        body = f"{method} is not taken here: this page takes {METHODS}\n".encode()
        headers = {"Allow": METHODS, "Content-Type": "text/plain; charset=utf-8"}
        headers["Content-Length"] = str(len(body))
        return HTTPStatus.METHOD_NOT_ALLOWED, headers, body
    page_format = choose_format(accept)
    body, headers = encoded(page.render(page_format), accept_encoding)
    headers["Content-Type"] = str(page_format)
    headers["Content-Length"] = str(len(body))
    return HTTPStatus.OK, headers, b"" if method == "HEAD" else body


def _header(scope: Mapping[str, Any], name: bytes) -> str | None:
    found = [text.decode("latin-1") for key, text in scope["headers"] if key.lower() == name]
    return ",".join(found) if found else None


async def _live(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Acknowledge the server's start and end; a page has nothing to do for them."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
