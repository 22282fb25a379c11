"""A client that is disabled: instruments count, and nothing else happens."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

import noetl_metrics_sdk
from noetl_metrics_sdk import Counter, FlushResult, InvalidMetricError, MetricsClient, Registry
from noetl_metrics_sdk.model.metric import MetricFamily, MetricType
from tests.sdk.gated_transport import client_threads

NOTHING = FlushResult(sent=0, pending=0, dropped=0, timed_out=False)


def running():
    """Return the names of the threads of clients, without those that last as long as a call."""
    return [one.name for one in client_threads() if not one.name.endswith(("flush", "shutdown"))]


def test_nothing_is_sent_and_nothing_runs(tmp_path):
    """It starts no thread, opens no file, needs no server, and says that it is disabled."""
    registry = Registry()
    jobs = Counter("jobs", "Jobs", registry=registry)
    before = running()
    with MetricsClient(
        disabled=True, registry=registry, spool_directory=str(tmp_path / "spool"),
        tls_ca="/no/such/file",
    ) as client:  # fmt: skip
        jobs.inc(3)
        client.record("value", 1)
        assert client.offer([MetricFamily("rows", "Rows", MetricType.GAUGE, "")])
        assert before == running()
        assert NOTHING == client.flush()
        assert NOTHING == asyncio.run(client.aflush())
        stats = client.stats()
    assert NOTHING == client.shutdown()
    assert 3.0 == registry.get_sample_value("jobs_total")
    assert (True, (0, 0, 0, {})) == (stats.disabled, tuple(stats.samples))
    assert {"jobs": 1} == dict(stats.series)
    assert [] == list(tmp_path.iterdir())


def test_a_mistake_in_the_code_is_still_one():
    """What would be refused with metrics is refused without them."""
    with pytest.raises(InvalidMetricError):
        MetricsClient(disabled=True, registry=Registry()).record("no name", 1)


def test_the_process_client_can_be_disabled_by_the_environment(monkeypatch):
    """init() reads the variable like every other one, and the package's functions do nothing."""
    monkeypatch.setenv("NOETL_DISABLE_METRICS", "true")
    before = running()
    client = noetl_metrics_sdk.init(registry=Registry())
    assert client.stats().disabled
    assert before == running()
    assert (NOTHING, NOTHING) == (noetl_metrics_sdk.flush(), noetl_metrics_sdk.shutdown())


FORKING = """
import os, threading
import noetl_metrics_sdk as metrics
client = metrics.MetricsClient(disabled=True).start()
pid = os.fork()
found = (threading.active_count(), tuple(client.flush()), client.stats().disabled)
os.write(1, f"{found}\\n".encode())
if pid:
    os.waitpid(pid, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_of_a_disabled_client_runs_nothing():
    """The child is disabled too, and ends without a word."""
    program = [sys.executable, "-c", FORKING]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (ended.returncode, ended.stderr)
    assert ["(1, (0, 0, 0, False, 0), True)"] * 2 == ended.stdout.splitlines()
