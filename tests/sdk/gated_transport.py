"""A client whose transport lets a batch pass when the test allows it."""

from __future__ import annotations

import threading

from noetl_metrics_sdk import FlushResult, MetricFamily, MetricsClient, MetricType, Registry
from noetl_metrics_sdk.testing import InMemoryTransport
from tests.sdk.idle_delivery import wait_until_idle

NOTHING = FlushResult(sent=0, pending=0, dropped=0, timed_out=False)


class Gate:
    """A gate: a thread waits at it until the test opens it; the test waits for the thread."""

    def __init__(self):
        self.reached = threading.Event()
        self.opened = threading.Event()

    def collect(self):
        self.pass_through()
        return [MetricFamily("gate", "Gate", MetricType.GAUGE, "")]

    def pass_through(self):
        self.reached.set()
        assert self.opened.wait(30)


class GatedTransport(InMemoryTransport):
    def __init__(self):
        super().__init__()
        self.gate = Gate()

    def send(self, batch, runtime_id, timeout):
        self.gate.pass_through()
        return super().send(batch, runtime_id, timeout)


def make_client(**settings):
    settings = {"registry": Registry(), "transport": InMemoryTransport(), **settings}
    return MetricsClient(
        component_name="pool", system_metrics=(), self_metrics=False, flush_interval=3600,
        **settings,
    )  # fmt: skip


def started_client(**settings):
    """Start a client; what is recorded then waits for a flush or a shutdown."""
    client = make_client(**settings).start()
    wait_until_idle(client)
    return client


def client_threads():
    return [t for t in threading.enumerate() if t.name.startswith("noetl-metrics")]
