"""Describe this process to the server: its registration, its credentials, and its `worker_id`."""

from __future__ import annotations

import os
import platform
import socket
import sys
import uuid
import weakref
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from noetl_metrics_sdk.process.fork import reset_store_after_fork
from noetl_metrics_sdk.transport.connections import make_ssl_context
from noetl_metrics_sdk.transport.disabled import DisabledTransport
from noetl_metrics_sdk.transport.http import HttpTransport
from noetl_metrics_sdk.transport.protocol import Registration

if TYPE_CHECKING:
    from noetl_metrics_sdk.client.config import Config
    from noetl_metrics_sdk.transport.protocol import Transport


DISTRIBUTION = "noetl-metrics-sdk"

RANDOM_CHARACTERS = 8
"""How many hexadecimal digits the random part of a `worker_id` has. They have to tell apart only
processes with the same host name and the same process id: of a hundred such, two share a
`worker_id` once in a million times."""


def registration_of(config: Config, worker_id: str, started_at: float) -> Registration | None:
    """Return the component's registration, or None if the client does not register the component.

    Args:
        config: the settings.
        worker_id: the label that tells this process from the others of its component.
        started_at: when this client began, in seconds since the epoch.
    """
    if config.runtime_id is not None or config.disabled:
        return None
    assert config.component_name is not None
    hostname = socket.gethostname()
    uri = config.component_uri
    if uri is None and config.component_type != "worker_pool":
        uri = f"local://{hostname}"  # a NoETL server registers no such component without one
    return Registration(
        name=config.component_name,
        component_type=config.component_type,
        labels=config.labels,
        hostname=hostname,
        pid=os.getpid(),
        meta={"python": platform.python_version(), "platform": sys.platform},
        uri=uri,
        worker_id=worker_id,
        started_at=round(started_at, 3),  # every form of it is the same number
        heartbeat_interval=config.heartbeat_interval,
        sdk_version=_sdk_version(),
    )


@cache
def _sdk_version() -> str:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # imported from its sources, without an installation
        return ""


def transport_of(config: Config) -> Transport:
    """Return the transport to the server, with the credentials that the settings have."""
    if config.disabled:
        return DisabledTransport()
    assert config.server_url is not None
    headers = dict(config.headers)
    if config.token is not None:
        headers["Authorization"] = f"Bearer {config.token.get_secret_value()}"
    context = None
    if config.tls_ca is not None or config.tls_certificate is not None:
        context = make_ssl_context(config.tls_ca, config.tls_certificate, config.tls_key)
    return HttpTransport(config.server_url, headers, ssl_context=context)


class _RandomPart:
    """The random part of this process's `worker_id`; a forked child has one of its own.

    Containers with one host name, like those on the host's network, all have a process 1. Of two
    machines with one host name, each has a process of any id.
    """

    def __init__(self) -> None:
        self._draw()
        self._fork_handle = reset_store_after_fork(self._draw)

    def of_this_process(self) -> str:
        # All clients of a process share it: a later client goes on with the series of an earlier
        # one.
        return self._text

    def _draw(self) -> None:
        self._text = uuid.uuid4().hex[:RANDOM_CHARACTERS]


_random_part = _RandomPart()


def worker_id_of(configured: str | None, *, forked: bool) -> str:
    """Return the label that tells this process from the others of its component.

    Args:
        configured: the setting `worker_id`, or None if it is not given.
        forked: whether this is a forked child, which has inherited the setting.
    """
    if configured is None:
        return f"{socket.gethostname()}-{_random_part.of_this_process()}-{os.getpid()}"
    process = sys.modules.get("multiprocessing.process")
    is_child = process is not None and process.parent_process() is not None
    # Children inherit NOETL_WORKER_ID. Two processes with the same id would mix their totals, so a
    # child adds its process id.
    return f"{configured}-{os.getpid()}" if forked or is_child else configured


def identity_of_series(config: Config, transport: Transport, worker_id: str) -> object:
    """Return what all series of a client have in common, and those of other clients do not.

    A process may shut its client down and make another one, whose series are then the same ones.

    Args:
        config: the client's settings.
        transport: where the client sends its batches.
        worker_id: the label that tells this process from the others of its component.
    """
    component = config.runtime_id or (config.component_type, config.component_name)
    return _destination(transport), component, worker_id, frozenset(config.labels.items())


def _destination(transport: Transport) -> object:
    if isinstance(transport, HttpTransport):
        return transport.server_url
    try:
        # It equals no reference to another transport, even if that has the place in memory of one
        # that is gone.
        reference = weakref.ref(transport)
        hash(reference)  # kept by the reference, and asked for when the transport may be gone
    except TypeError:  # a class with slots and no place for references, or without a hash
        return id(transport)
    return reference
