"""Clients that deliver to memory."""

from __future__ import annotations

from noetl_metrics_sdk import MetricsClient, Registry
from noetl_metrics_sdk.testing import InMemoryTransport


def make_client(**settings):
    settings = {"registry": Registry(), "transport": InMemoryTransport(), **settings}
    settings.setdefault("system_metrics", ())
    settings.setdefault("self_metrics", False)
    if "runtime_id" not in settings:
        settings.setdefault("component_name", "pool")
    return MetricsClient(**settings)
