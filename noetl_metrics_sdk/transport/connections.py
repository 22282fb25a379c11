"""Make pooled connections to a server, through proxies.

httpx's own transport takes no network backend. And an httpx client that is given a transport reads
no proxies from the environment: `proxies.py` does. httpx itself decides which request goes through
which proxy, by mounts (https://www.python-httpx.org/advanced/transports/#mounting-transports).
"""

from __future__ import annotations

import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

import httpcore

from noetl_metrics_sdk.errors import ConfigurationError
from noetl_metrics_sdk.transport.lean_httpx import httpx
from noetl_metrics_sdk.transport.urls import is_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

CONNECTIONS_MAX = 2
KEEPALIVE_SECONDS = 60.0
"""After how many seconds without a request a connection is not used again: several batches go over
one, and the reference server keeps it for longer than that."""
CONNECTION_ERRORS: tuple[type[Exception], ...] = (
    TimeoutError,
    httpx.HTTPError,
    httpx.StreamError,
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)
"""The errors that a request raises if it gets no answer, or none that can be read."""


class PooledTransport(httpx.BaseTransport):
    """A transport for httpx over httpcore's pools; it raises httpcore's errors as they are.

    There is a pool for each scheme, made at the first request: most servers speak one of them only,
    and the certificates that TLS needs take almost a MiB.

    Args:
        backend: opens the connections.
        ssl_context: returns what checks TLS connections, to the server and to the proxy.
        proxy_url: the proxy's URL: `http`, `https`, `socks5` or `socks5h`; None connects directly.

    Raises:
        ConfigurationError: the proxy's URL is not valid, or needs a package that is not installed.
    """

    def __init__(
        self,
        backend: httpcore.NetworkBackend,
        ssl_context: Callable[[], ssl.SSLContext],
        proxy_url: str | None = None,
    ) -> None:
        self._backend = backend
        self._ssl_context = ssl_context
        self._proxy = None if proxy_url is None else _proxy(proxy_url, ssl_context)
        self._pools: dict[str, httpcore.ConnectionPool] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and return when the headers of the answer have arrived."""
        assert isinstance(request.stream, httpx.SyncByteStream)
        answer = self._pool_for(request.url.scheme).handle_request(
            httpcore.Request(
                method=request.method,
                url=_httpcore_url(request.url),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        # httpcore does not annotate the type of the values.
        extensions = cast("dict[str, Any]", answer.extensions)  # pyright: ignore[reportUnknownMemberType]
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Content(answer), extensions=extensions
        )

    def close(self) -> None:
        """Close the connections."""
        for pool in self._pools.values():
            pool.close()

    def _pool_for(self, scheme: str) -> httpcore.ConnectionPool:
        pool = self._pools.get(scheme)
        if pool is not None:
            return pool
        made = httpcore.ConnectionPool(
            ssl_context=None if scheme == "http" else self._late_ssl_context(),
            proxy=self._proxy,
            max_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=self._backend,
        )
        # Another thread may have made one meanwhile. Then this one is left, and never connected.
        return self._pools.setdefault(scheme, made)

    def _late_ssl_context(self) -> ssl.SSLContext:
        try:
            return self._ssl_context()
        except OSError as error:
            raise httpcore.ConnectError(f"there are no certificates: {error}") from error


class _Content(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


def http_client(
    server_url: str,
    headers: Mapping[str, str],
    backend: httpcore.NetworkBackend,
    ssl_context: Callable[[], ssl.SSLContext],
    proxies: Mapping[str, str],
) -> httpx.Client:
    """Return an httpx client for requests to a server.

    Args:
        server_url: the server's address, to which the paths of requests are appended.
        headers: headers that are sent with every request.
        backend: opens the connections.
        ssl_context: returns what checks TLS connections; called only if there is one.
        proxies: the proxy's URL by pattern of URLs.

    Raises:
        ConfigurationError: a proxy's URL is not valid, or needs a package that is not installed.
    """
    url = httpx.URL(server_url)
    return httpx.Client(
        # httpx logs the URL of each request as it is.
        base_url=url.copy_with(userinfo=b""),
        auth=(url.username, url.password) if url.userinfo else None,
        headers=headers,
        transport=PooledTransport(backend, ssl_context),
        mounts={
            pattern: PooledTransport(backend, ssl_context, url) for pattern, url in proxies.items()
        },
    )


def make_ssl_context(
    authorities: str | None, certificate: str | None, key: str | None
) -> ssl.SSLContext:
    """Return an SSL context that checks the server's certificate and shows this client's own.

    Args:
        authorities: the PEM file of the authorities that may have signed the server's certificate;
            None for those that httpx trusts.
        certificate: the PEM file of this client's certificate, or None.
        key: the PEM file of the certificate's key, or None if it is in the same file.

    Raises:
        ConfigurationError: a file cannot be read, or is not of this kind.
    """
    if authorities is None:
        context = httpx.create_ssl_context()
    else:
        try:
            context = ssl.create_default_context(cafile=authorities)
        except OSError as error:
            raise ConfigurationError(
                f"tls_ca {authorities!r} cannot be used ({error}): name a PEM file of certificates"
            ) from error
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, _refuse_to_ask)
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"tls_certificate {certificate!r} with tls_key {key!r} cannot be used ({error}): "
                "name PEM files of a certificate and of its key"
            ) from error
    return context


def _refuse_to_ask() -> str:
    raise ValueError("the key has a password; there is nobody to ask for it")


def _proxy(url: str, ssl_context: Callable[[], ssl.SSLContext]) -> httpcore.Proxy:
    try:
        proxy = httpx.Proxy(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(f"the environment names a proxy that is not valid: {error}") from (
            error
        )
    if not is_host(proxy.url.raw_host.decode("ascii")):
        raise ConfigurationError(
            f"the environment names a proxy that is not valid: {proxy.url.host!r} is no host name"
        )
    # httpcore would raise this only in the delivery thread, at the first request.
    if proxy.url.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigurationError(
            f"the environment names the proxy {proxy.url}, and SOCKS needs a package that is not "
            "installed: pip install 'httpx[socks]'"
        )
    return httpcore.Proxy(
        url=_httpcore_url(proxy.url),
        auth=proxy.raw_auth,
        headers=proxy.headers.raw,
        ssl_context=ssl_context() if proxy.url.scheme == "https" else None,
    )


def _httpcore_url(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(
        scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
    )
