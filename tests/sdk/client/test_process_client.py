"""The client of a process that needs only one."""

from __future__ import annotations

import pytest

import noetl_metrics_sdk as metrics
from noetl_metrics_sdk import ConfigurationError, FlushResult, Registry
from noetl_metrics_sdk.testing import InMemoryTransport


def test_a_process_has_one_client_until_it_is_shut_down():
    """init() makes the client of the process once; after shutdown() it can make another one."""
    transport = InMemoryTransport()
    # Without system metrics: their thread may add samples during the flush.
    client = metrics.init(
        component_name="pool", transport=transport, registry=Registry(), system_metrics=()
    )
    with pytest.raises(ConfigurationError, match="init"):
        metrics.init(component_name="pool", transport=transport)
    client.record("value", 1)
    assert 0 == metrics.flush().pending
    metrics.shutdown()
    assert 1 == len(transport.received("value"))
    metrics.init(component_name="pool", transport=transport, registry=Registry())
    metrics.shutdown()


def test_flush_and_shutdown_without_a_client_do_nothing():
    """A program may call the process-wide functions before init()."""
    assert FlushResult(sent=0, pending=0, dropped=0, timed_out=False) == metrics.flush()
    assert FlushResult(sent=0, pending=0, dropped=0, timed_out=False) == metrics.shutdown()


def test_init_without_arguments_reads_the_environment(monkeypatch):
    """init() without arguments takes its settings from environment variables."""
    monkeypatch.setenv("NOETL_WORKER_POOL_NAME", "from-environment")
    monkeypatch.setenv("NOETL_METRICS_SYSTEM_METRICS", "none")
    client = metrics.init(transport=InMemoryTransport(), registry=Registry())
    assert "from-environment" == client.config.component_name
    metrics.shutdown()
