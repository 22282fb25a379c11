"""A worker that measures the log, in which this package writes too."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager

import pytest

from noetl_metrics_sdk import Gauge, MetricsClient, Registry
from noetl_metrics_sdk.testing import InMemoryTransport
from tests.sdk.answering_server import AnsweringServer
from tests.sdk.gated_transport import GatedTransport

BLOCK_SECONDS = 0.5
REGISTERED = (200, {"status": "ok", "runtime_id": "7", "metrics_inserted": 1})


class Recording(logging.Handler):
    """Records each line of the log as a sample."""

    def __init__(self, client):
        super().__init__()
        self.client = client

    def emit(self, record):
        self.client.record("log_lines", 1, labels={"level": record.levelname})


@contextmanager
def recording(client):
    root = logging.getLogger()
    handler, level = Recording(client), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def make_client(url, **settings):
    settings = {"flush_interval": 3600.0, "registry": Registry(), **settings}
    return MetricsClient(
        url, "pool", system_metrics=(), self_metrics=False, random=lambda: 0.0, **settings
    )


@pytest.mark.parametrize("overflow", ["block", "drop_oldest", "drop_newest"])
def test_the_log_of_the_delivery_is_not_delivered(overflow):
    """A healthy server gets the samples of jobs, once, and the shutdown does not wait."""
    with AnsweringServer(lambda _: REGISTERED) as server:
        client = make_client(
            server.url, buffer_overflow=overflow, buffer_samples_max=1, buffer_block_timeout=60.0
        )
        client.record("value", 1)
        with recording(client), client:
            flushed = client.flush(10)
            client.record("value", 2)
            ended = client.shutdown(10)
        assert [1.0, 2.0] == [
            sample["metric_value"]
            for request in server.requests if "/api/metrics" in request.path
            for sample in request.json["metrics"] if sample["metric_name"] == "value"
        ]  # fmt: skip
    assert (0, False, 0, False) == (
        flushed.pending, flushed.timed_out, ended.pending, ended.timed_out,
    )  # fmt: skip
    dropped = client.stats().samples.dropped
    assert dropped["own_log"] > 0


class LoggingClose(InMemoryTransport):
    """Writes to the log when it is closed, as httpx does if the connection is still open."""

    def close(self):
        super().close()
        logging.getLogger("connection").debug("closed")


def test_the_log_of_closing_the_connections_is_not_delivered():
    """The shutdown leaves no sample behind which only its own end has caused."""
    client = make_client(None, transport=LoggingClose())
    with recording(client), client:
        client.record("value", 1)
        ended = client.shutdown(10)
    assert (0, False) == (ended.pending, ended.timed_out)
    ledger = client.stats().samples
    assert (1, 0) == (ledger.sent, ledger.pending)
    assert ledger.dropped["own_log"] > 0


def test_the_other_threads_do_not_wait_for_room():
    """What the collecting thread records enters the buffer if there is room, and waits for none."""
    registry, transport = Registry(), GatedTransport()
    client = make_client(
        None, transport=transport, registry=registry, buffer_overflow="block",
        buffer_samples_max=1, batch_samples_max=1, buffer_block_timeout=BLOCK_SECONDS,
    )  # fmt: skip
    took = []
    was_read_again = threading.Event()

    def read():
        began_at = time.monotonic()
        for _ in range(3):
            client.record("from_a_function", 1)
        took.append(time.monotonic() - began_at)
        if len(took) > 1:
            was_read_again.set()
        return float(len(took))

    Gauge("level", "Level", registry=registry).set_function(read)
    client.record("value", 1)
    with client:
        assert transport.gate.reached.wait(10)
        client.record("value", 2)  # there is no room now, and the delivery thread makes none
        client.flush(0)
        assert was_read_again.wait(10)
        transport.gate.opened.set()
    assert max(took) < 2.5 * BLOCK_SECONDS  # each of three would have waited


def test_a_job_that_logs_waits_for_room_as_it_is_set():
    """Only the package's own threads do not: a job's own sample waits, and is delivered."""
    transport = InMemoryTransport()
    client = make_client(
        None, transport=transport, buffer_overflow="block", buffer_samples_max=1,
        buffer_block_timeout=60.0,
    )  # fmt: skip
    with client:
        for number in range(5):
            client.record("value", number)
        assert 0 == client.flush().pending
    assert 5 == len(transport.received("value"))
    assert {} == client.stats().samples.dropped
