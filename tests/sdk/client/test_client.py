"""A client from settings and start to shutdown, calls before and after, and wrong input."""

from __future__ import annotations

import math
import threading

import pytest

from noetl_metrics_sdk import (
    ConfigurationError,
    Counter,
    FlushResult,
    Gauge,
    InvalidMetricError,
    Registry,
    track_job,
)
from noetl_metrics_sdk.collection.beginning import STEP_SECONDS
from noetl_metrics_sdk.testing import InMemoryTransport, ManualClock
from tests.sdk.client.clients import make_client


def test_starting_twice_changes_nothing():
    """A second start() returns the same client with the same threads."""
    client = make_client().start()
    threads = set(threading.enumerate())
    assert client.start() is client
    assert set() == set(threading.enumerate()) - threads
    client.shutdown()


def test_a_client_that_was_shut_down_cannot_be_started():
    """start() after shutdown() says that the caller has to make a new client."""
    client = make_client().start()
    client.shutdown()
    with pytest.raises(ConfigurationError, match="make a new one"):
        client.start()


def test_flush_and_shutdown_are_safe_at_any_time():
    """Before the start, twice and after the end, both return at once and say what is pending."""
    client = make_client()
    client.record("value", 1)
    assert FlushResult(sent=0, pending=1, dropped=0, timed_out=False) == client.flush()
    client.start()
    first = client.shutdown()
    assert (0, 0, False) == (first.pending, first.dropped, first.timed_out)
    assert 1 == client.stats().samples.sent
    assert FlushResult(sent=0, pending=0, dropped=0, timed_out=False) == client.shutdown()
    assert FlushResult(sent=0, pending=0, dropped=0, timed_out=False) == client.flush()


def test_shutdown_ends_every_thread():
    """No thread of the client is left after a shutdown."""
    before = set(threading.enumerate())
    client = make_client(system_metrics=("process",)).start()
    names = {thread.name for thread in threading.enumerate()} - {t.name for t in before}
    assert {"noetl-metrics-exporter", "noetl-metrics-collector", "noetl-metrics-system"} == names
    client.shutdown()
    assert set() == set(threading.enumerate()) - before


def test_many_threads_may_flush_and_shut_down_at_once():
    """Every caller gets an answer, and the client sends the samples once."""
    transport = InMemoryTransport()
    client = make_client(transport=transport).start()
    client.record("value", 1)
    results = []
    threads = [
        threading.Thread(target=lambda act=act: results.append(act()))
        for act in [client.flush, client.shutdown] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert 8 == len(results)
    assert 1 == len(transport.received("value"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "a b", "value": 1}, InvalidMetricError, "metric name 'a b' is not valid"),
        ({"name": "a", "value": "1"}, TypeError, "value '1' is a str"),
        ({"name": "a", "value": None}, TypeError, "value None is a NoneType"),
        ({"name": "a", "value": 1, "metric_type": "meter"}, InvalidMetricError, "'meter'"),
        ({"name": "a", "value": 1, "metric_type": "counter"}, InvalidMetricError, "'a_total'"),
        ({"name": "a", "value": 1, "labels": {"1": "x"}}, InvalidMetricError, "label name '1'"),
        ({"name": "a", "value": 1, "labels": {"x": 1}}, InvalidMetricError, "label value 1"),
        ({"name": "a", "value": 1, "timestamp": "now"}, TypeError, "timestamp 'now'"),
        ({"name": "a", "value": 1, "timestamp": float("nan")}, InvalidMetricError, "timestamp nan"),
        ({"name": "a", "value": 1, "unit": "\x00"}, InvalidMetricError, "unit"),
    ],
)
def test_a_recorded_sample_that_is_not_valid_is_refused(arguments, error, message):
    """record() raises where the caller wrote it, and says what a valid sample looks like."""
    client = make_client()
    with pytest.raises(error) as refused:
        client.record(**arguments)
    assert message in str(refused.value)
    assert 0 == client.stats().samples.added


def test_a_sample_is_stamped_with_the_clock_it_is_given():
    """Collected samples have the wall clock's time, and so do recorded samples without a time."""
    clock = ManualClock(time=1_000.0)
    transport, registry = InMemoryTransport(), Registry()
    Counter("jobs", "Jobs", registry=registry).inc()
    client = make_client(transport=transport, registry=registry, clock=clock)
    client.record("value", 1)
    with client:
        client.flush()
    assert [
        ("value", 1.0, 1_000.0),
        ("jobs_total", 0.0, 1_000.0 - STEP_SECONDS),
        ("jobs_total", 1.0, 1_000.0),
    ] == [(sample.name, sample.value, sample.timestamp) for sample in transport.samples]


def test_an_idle_series_is_sent_again_after_the_refresh_interval():
    """The client repeats an unchanged series once per refresh interval, and no more."""
    clock = ManualClock()
    transport, registry = InMemoryTransport(), Registry()
    Counter("jobs", "Jobs", registry=registry).inc()
    client = make_client(
        transport=transport, registry=registry, clock=clock, refresh_interval=60.0,
        flush_interval=3600.0,
    )  # fmt: skip
    with client:
        client.flush()
        clock.advance(59.0)
        client.flush()
        assert [0.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]
        clock.advance(1.0)
        client.flush()
        assert [0.0, 1.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]


def test_stats_tell_what_overflowed():
    """stats() counts label sets beyond an instrument's bound, by instrument."""
    registry = Registry()
    counter = Counter("jobs", "Jobs", ["n"], registry=registry, max_series=2)
    for number in range(5):
        counter.labels(number).inc()
    assert {"jobs": 3} == make_client(registry=registry).stats().overflowed


def test_stats_tell_what_was_unfit():
    """stats() counts amounts that were left out and label values that were replaced."""
    registry = Registry()
    counter = Counter("jobs", "Jobs", ["path"], registry=registry)
    for path in ("a", "b\x00"):
        counter.labels(path).inc(math.nan)
    Gauge("queue", "Queue", registry=registry).set(math.nan)
    stats = make_client(registry=registry).stats()
    assert ({"jobs": 2}, {"jobs": 1}) == (stats.amounts_left_out, stats.label_values_replaced)


def test_stats_tell_of_all_jobs():
    """stats() counts jobs with other label names under the same instruments."""
    registry = Registry()
    with track_job("a", registry=registry), track_job("\x00", tenant="b", registry=registry):
        pass
    stats = make_client(registry=registry).stats()
    names = ("noetl_jobs_in_progress", "noetl_job_duration_seconds", "noetl_jobs_processed")
    assert dict.fromkeys(names, 2) == stats.series
    assert set(names) == set(stats.label_values_replaced)


def test_the_system_thread_reports_the_process():
    """With system metrics on, the process's own readings arrive beside the instruments."""
    arrived = threading.Event()

    class Listening(InMemoryTransport):
        def send(self, batch, runtime_id, timeout):
            receipt = super().send(batch, runtime_id, timeout)
            if self.received("process_resident_memory_bytes"):
                arrived.set()
            return receipt

    transport = Listening()
    with make_client(transport=transport, system_metrics=("process",), flush_interval=0.01):
        assert arrived.wait(10)
    assert transport.received("process_resident_memory_bytes")[0].value > 1_000_000


def test_a_secret_in_a_header_is_not_shown():
    """The error for a header names the header and hides its value."""
    with pytest.raises(ConfigurationError) as refused:
        make_client(headers={"Authorization": "Bearer hidden\n"})
    assert "hidden" not in str(refused.value)
