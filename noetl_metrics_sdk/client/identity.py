"""Describe this process to the server: its registration, its credentials, and its `worker_id`."""

from __future__ import annotations

import os
import platform
import socket
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from noetl_metrics_sdk.transport.connections import make_ssl_context
from noetl_metrics_sdk.transport.http import HttpTransport
from noetl_metrics_sdk.transport.protocol import Registration

if TYPE_CHECKING:
    from noetl_metrics_sdk.client.config import Config


DISTRIBUTION = "noetl-metrics-sdk"


def registration_of(config: Config, worker_id: str, started_at: float) -> Registration | None:
    """Return the component's registration, or None if another program registers the component.

    Args:
        config: the settings.
        worker_id: the label that tells this process from the others of its component.
        started_at: when this client began, in seconds since the epoch.
    """
    if config.runtime_id is not None:
        return None
    assert config.component_name is not None
    return Registration(
        name=config.component_name,
        component_type=config.component_type,
        labels=config.labels,
        hostname=socket.gethostname(),
        pid=os.getpid(),
        meta={"python": platform.python_version(), "platform": sys.platform},
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


def http_transport_of(config: Config) -> HttpTransport:
    """Return the transport to the server, with the credentials that the settings have."""
    assert config.server_url is not None
    headers = dict(config.headers)
    if config.token is not None:
        headers["Authorization"] = f"Bearer {config.token.get_secret_value()}"
    context = make_ssl_context(config.tls_ca, config.tls_certificate, config.tls_key)
    return HttpTransport(config.server_url, headers, ssl_context=context)


def worker_id_of(configured: str | None, *, forked: bool) -> str:
    """Return the label that tells this process from the others of its component.

    Args:
        configured: the setting `worker_id`, or None if it is not given.
        forked: whether this is a forked child, which has inherited the setting.
    """
    if configured is None:
        return f"{socket.gethostname()}-{os.getpid()}"
    process = sys.modules.get("multiprocessing.process")
    is_child = process is not None and process.parent_process() is not None
    # Children inherit NOETL_WORKER_ID. Two processes with the same id would mix their totals, so a
    # child adds its process id.
    return f"{configured}-{os.getpid()}" if forked or is_child else configured
