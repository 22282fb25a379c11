"""Where the server listens, whom it lets in there, and its certificates."""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Any

from server_stub.errors import StartupError

if TYPE_CHECKING:
    from server_stub.settings import Settings

_logger = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address, and takes no connections yet.

    Raises:
        StartupError: the server cannot bind to the address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise StartupError(
            f"cannot listen on {host}:{port}: {error}. Choose another --host or --port"
        ) from error
    listener.set_inheritable(False)
    return listener


def check_exposure(settings: Settings, listener: socket.socket) -> None:
    """Refuse to listen without tokens at an address that other machines reach.

    Raises:
        StartupError: they reach it, and the settings have no tokens and do not allow that.
    """
    if _has_tokens(settings) or settings.allow_anonymous or _address(listener).is_loopback:
        return
    raise StartupError(
        f"--host {settings.host} lets other machines in, and there are no tokens: make some by "
        "python -m server_stub.tokens new and name their file by --token-file; or, behind a "
        "proxy that authenticates, say --allow-anonymous=yes"
    )


def log_exposure(settings: Settings, listener: socket.socket) -> None:
    """Log who is let in, if that is more than an operator may expect."""
    address = _address(listener)
    if not _has_tokens(settings):
        if address.is_loopback:
            _logger.info("there are no tokens: everybody on this machine may read and write")
        else:
            _logger.warning(
                "there are no tokens: everybody who reaches %s may read and write", address
            )
    elif settings.tls_certificate is None and not address.is_loopback:
        _logger.warning(
            "tokens cross the network unencrypted: give --tls-certificate, unless what is in "
            "front of this server speaks TLS"
        )


def _has_tokens(settings: Settings) -> bool:
    return settings.token_file is not None or settings.tokens is not None


def _address(listener: socket.socket) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(listener.getsockname()[0])


def certificates(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options for TLS."""
    if settings.tls_certificate is None:
        return {}
    wants_client_certificate = settings.tls_client_ca is not None
    return {
        "ssl_certfile": settings.tls_certificate,
        "ssl_keyfile": settings.tls_key,
        "ssl_ca_certs": settings.tls_client_ca,
        "ssl_cert_reqs": ssl.CERT_REQUIRED if wants_client_certificate else ssl.CERT_NONE,
    }


def check_certificates(settings: Settings) -> None:
    """Read the certificates once.

    Raises:
        StartupError: a file cannot be used, or there are files for TLS but no certificate.
    """
    if settings.tls_certificate is None:
        if settings.tls_key is not None or settings.tls_client_ca is not None:
            raise StartupError(
                "--tls-key and --tls-client-ca are of use only with a certificate: "
                "give --tls-certificate too"
            )
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, _refuse_to_ask)
    except (OSError, ValueError) as error:
        raise StartupError(
            f"--tls-certificate {settings.tls_certificate} with --tls-key {settings.tls_key} "
            f"cannot be used ({error}): name PEM files of a certificate and of its key"
        ) from error
    if settings.tls_client_ca is not None:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except (OSError, ValueError) as error:
            raise StartupError(
                f"--tls-client-ca {settings.tls_client_ca} cannot be used ({error}): "
                "name a PEM file of certificates"
            ) from error


def _refuse_to_ask() -> str:
    raise ValueError("the key has a password; the server cannot ask for it")


def url_of(settings: Settings, listener: socket.socket) -> str:
    """Return the server's URL."""
    scheme = "http" if settings.tls_certificate is None else "https"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
