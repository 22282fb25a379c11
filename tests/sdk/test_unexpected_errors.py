"""No exception ends one of a client's threads; what happened is counted, and `stats()` has it."""

from __future__ import annotations

import logging
import threading

import pytest

from noetl_metrics_sdk import MetricFamily, MetricsClient, MetricType, Registry
from noetl_metrics_sdk.testing import InMemoryTransport, server_away
from tests.sdk.gated_transport import client_threads

LOGGER = logging.getLogger("noetl_metrics_sdk")


class Raising(logging.Handler):
    """A log handler that raises some times."""

    def __init__(self, error, times):
        super().__init__()
        self.error = error
        self.left = times

    def emit(self, record):
        if self.left:
            self.left -= 1
            raise self.error

    def filter(self, record):
        return True


@pytest.fixture
def raising():
    """Add a log handler that raises an error some times."""
    handlers = []

    def add(error, times=1):
        handlers.append(Raising(error, times))
        LOGGER.addHandler(handlers[-1])
        return handlers[-1]

    yield add
    for handler in handlers:
        LOGGER.removeHandler(handler)


def make_client(transport, registry=None):
    return MetricsClient(
        component_name="pool", registry=registry or Registry(), transport=transport,
        system_metrics=(), self_metrics=False, flush_interval=3600, backoff_max=0.01,
    )  # fmt: skip


def errors_of(client, place):
    """Return how many unexpected errors there were at a place."""
    return client.stats().unexpected_errors.get(place, 0)


def test_a_log_handler_that_raises_during_an_outage_costs_a_message_only(raising):
    """The delivery goes on when the server is back."""
    transport = InMemoryTransport()
    with make_client(transport) as client:
        before = errors_of(client, "logging")
        handler = raising(ValueError("the disk of the log is full"))
        transport.fail_next(server_away())
        client.record("value", 1)
        assert 0 == client.flush(30).pending
        assert (0, 1) == (handler.left, errors_of(client, "logging") - before)
    assert [1.0] == [sample.value for sample in transport.received("value")]


def test_a_log_handler_that_exits_does_not_end_the_delivery(raising):
    """Even `sys.exit()` in a handler ends no thread, and costs no sample."""
    transport = InMemoryTransport()
    with make_client(transport) as client:
        raising(SystemExit(3))
        transport.fail_next(server_away())
        client.record("value", 1)
        assert 0 == client.flush(30).pending
        assert 1 == errors_of(client, "delivery")
        assert "SystemExit: 3" == client.stats().last_error
    assert [1.0] == [sample.value for sample in transport.received("value")]


def test_a_transport_that_exits_does_not_end_the_delivery():
    """The thread sends the same batch again after a pause."""

    class Exiting(InMemoryTransport):
        exits = 1

        def send(self, batch, runtime_id, timeout):
            if self.exits:
                self.exits -= 1
                raise SystemExit
            return super().send(batch, runtime_id, timeout)

    transport = Exiting()
    with make_client(transport) as client:
        client.record("value", 1)
        assert 0 == client.flush(30).pending
        assert 1 == errors_of(client, "delivery")
    assert [1.0] == [sample.value for sample in transport.received("value")]


def test_a_transport_that_cannot_be_closed_fails_no_shutdown(caplog):
    """The samples are delivered by then; what the transport raised is in the log."""

    class Unclosable(InMemoryTransport):
        def close(self):
            raise OSError("the connection is gone")

    client = make_client(Unclosable()).start()
    client.record("value", 1)
    ended = client.shutdown(30)
    assert (1, 0, False) == (ended.sent, ended.pending, ended.timed_out)
    assert "the connection is gone" in caplog.text


def test_a_shutdown_is_not_held_up_by_errors_without_end():
    """The samples that could not be sent are pending, and every thread has ended."""

    class Exiting(InMemoryTransport):
        def send(self, batch, runtime_id, timeout):
            raise SystemExit

    client = make_client(Exiting()).start()
    client.record("value", 1)
    result = client.shutdown(30)
    assert (1, False) == (result.pending, result.timed_out)
    assert [] == client_threads()


def test_a_collector_that_exits_and_a_log_that_raises_cost_one_collection(raising):
    """The collecting thread collects again, though it could not even log why it had failed."""

    class Exiting:
        exits = 1

        def collect(self):
            if self.exits:
                self.exits -= 1
                raise SystemExit
            family = MetricFamily("own", "Own", MetricType.GAUGE, "")
            family.add("", {}, 7.0)
            return [family]

    registry, transport = Registry(), InMemoryTransport()
    registry.register(Exiting())
    with make_client(transport, registry) as client:
        raising(SystemExit(), times=2)
        client.flush(30)
        client.flush(30)
        assert (1, 1) == (client.stats().collect_errors, errors_of(client, "collection"))
    assert [7.0] == [sample.value for sample in transport.received("own")]


def test_a_log_handler_that_raises_never_raises_into_a_job(raising):
    """What the package logs in a job's own thread is lost at most."""
    handler = raising(ValueError("the disk of the log is full"), times=100)
    LOGGER.error("a message of a job's own thread")
    assert 99 == handler.left
    over = threading.Event()

    def job():
        LOGGER.warning("another message")
        over.set()

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert (98, True) == (handler.left, over.is_set())
