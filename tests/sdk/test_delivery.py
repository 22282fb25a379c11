"""What the client promises about delivery, on a transport in memory that fails on demand."""

from __future__ import annotations

import logging
import sys
import threading
import time

import pytest

from noetl_metrics_sdk import (
    Counter,
    FlushResult,
    Gauge,
    MetricsClient,
    MetricType,
    PayloadTooLargeError,
    Registry,
    RejectedError,
    Series,
    UnauthorizedError,
)
from noetl_metrics_sdk.clock import SystemClock
from noetl_metrics_sdk.errors import UnknownRuntimeError
from noetl_metrics_sdk.queue.batch_names import NUMBERS_PER_BATCH
from noetl_metrics_sdk.testing import InMemoryTransport, server_away
from noetl_metrics_sdk.transport.protocol import Receipt
from tests.sdk.idle_delivery import wait_until_idle
from tests.sdk.stamped import stamped


@pytest.fixture
def registry():
    return Registry()


@pytest.fixture
def transport():
    return InMemoryTransport()


@pytest.fixture
def client(registry, transport):
    client = make_client(registry, transport)
    yield client
    client.shutdown(timeout=5)


def make_client(registry, transport, **settings):
    # With random() at 0, every wait between two attempts is 0, so no test waits for one. The
    # collector's first turn comes at once at start-up, and the next one after the test.
    settings = {
        "flush_interval": 3600.0, "system_metrics": (), "self_metrics": False, **settings,
    }  # fmt: skip
    return MetricsClient(
        component_name="pool",
        registry=registry,
        transport=transport,
        random=lambda: 0.0,
        **settings,
    )


def test_a_flush_delivers_what_was_counted(registry, transport, client):
    """A flush returns once the server has the samples, and says how many."""
    Counter("jobs", "Jobs", registry=registry).inc(3)
    client.start()
    result = client.flush()
    assert (0, 0, False) == (result.pending, result.dropped, result.timed_out)
    assert [0.0, 3.0] == [sample.value for sample in transport.received("jobs_total")]
    assert client.stats().samples.sent == len(transport.samples)


def test_every_sample_carries_the_identity_of_its_process(registry, transport):
    """Every sample has the runtime id, the worker id and the client's labels."""
    Counter("jobs", "Jobs done", ["kind"], unit="jobs", registry=registry).labels("sql").inc()
    client = MetricsClient(
        component_name="pool", labels={"site": "a"}, worker_id="w1", registry=registry,
        transport=transport, system_metrics=(),
        self_metrics=False,
    )  # fmt: skip
    with client:
        client.flush()
    samples = transport.received("jobs_total")
    assert [0.0, 1.0] == [sample.value for sample in samples]
    for sample in samples:
        assert sample.runtime_id == transport.runtime_ids["pool"]
        assert {"site": "a", "worker_id": "w1", "kind": "sql"} == sample.labels
        described = (sample.metric_type, sample.help_text, sample.unit)
        assert ("counter", "Jobs done", "jobs") == described


def test_a_series_label_wins_over_a_constant_label(registry, transport):
    """If the series and the client have a label of one name, the series' label stays."""
    Counter("jobs", "Jobs", ["site"], registry=registry).labels("own").inc()
    client = MetricsClient(
        component_name="pool", labels={"site": "constant"}, registry=registry,
        transport=transport, system_metrics=(),
        self_metrics=False,
    )  # fmt: skip
    with client:
        client.flush()
    assert "own" == transport.received("jobs_total")[0].labels["site"]


def test_an_unchanged_series_is_not_sent_again(registry, transport, client):
    """A second flush sends only what has changed since the first."""
    jobs = Counter("jobs", "Jobs", registry=registry)
    idle = Counter("idle", "Idle", registry=registry)
    jobs.inc()
    idle.inc()
    client.start()
    client.flush()
    jobs.inc()
    client.flush()
    assert [0.0, 1.0, 2.0] == [sample.value for sample in transport.received("jobs_total")]
    assert [0.0, 1.0] == [sample.value for sample in transport.received("idle_total")]


def test_a_server_that_is_away_costs_no_sample(registry, transport, client):
    """The client repeats failed attempts with the same key until the batch is delivered, once."""
    Counter("jobs", "Jobs", registry=registry).inc()
    transport.fail_next(*[server_away()] * 5)
    client.start()
    client.flush()
    samples = client.stats().samples
    assert (2, 0, {}) == (samples.sent, samples.pending, samples.dropped)
    assert [0.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]
    assert {"503": 5} == client.stats().batches_retried


def test_a_lost_answer_does_not_double_a_batch(registry, transport, client):
    """A batch that arrived although its answer was lost is sent again under the same key."""
    client.start()
    client.flush()
    Counter("jobs", "Jobs", registry=registry).inc()
    transport.fail_next(server_away(), after_delivery=True)
    result = client.flush()
    assert 2 == result.sent
    assert [0.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]
    assert transport.keys[-1] == transport.keys[-2]


def test_batches_are_numbered_in_the_order_of_sending(registry, transport, client):
    """A key is the boot id and a number; each batch has a higher number, also after a split."""
    for number in range(8):
        Counter(f"jobs_{number}", "Jobs", registry=registry).inc()
    client.start()
    client.flush()
    more = Counter("more", "More", ["n"], registry=registry)
    more.labels("a").inc()
    more.labels("b").inc()
    transport.fail_next(PayloadTooLargeError("too large", 413))
    client.flush()
    boot_ids = {key.split(":")[0] for key in transport.keys}
    numbers = [int(key.split(":")[1]) for key in transport.keys]
    assert 1 == len(boot_ids)
    # The refused whole, and its first half, which has the same name.
    assert [1, 2, 2, 2.5] == [number / NUMBERS_PER_BATCH for number in numbers]


def test_a_batch_that_arrived_and_is_refused_afterwards_is_sent(registry, transport, client):
    """413 to a repeat of a delivered batch: its first half is answered as the whole was."""
    counter = Counter("jobs", "Jobs", ["n"], registry=registry)
    client.start()
    client.flush()
    for number in range(5):
        counter.labels(number).inc()
    transport.fail_next(server_away(), after_delivery=True)
    transport.fail_next(PayloadTooLargeError("too large", 413))
    result = client.flush()
    assert FlushResult(sent=10, pending=0, dropped=0, timed_out=False) == result
    assert [(str(number), value) for number in range(5) for value in (0.0, 1.0)] == [
        (sample.labels["n"], sample.value) for sample in transport.received("jobs_total")
    ]


def test_a_batch_that_is_too_large_is_split(registry, transport, client):
    """At 413 the client halves the batch until it fits; all samples arrive, in order."""
    counter = Counter("jobs", "Jobs", ["n"], registry=registry)
    for number in range(9):
        counter.labels(number).inc()
    client.start()
    client.flush()
    for number in range(9):
        counter.labels(number).inc()
    error = PayloadTooLargeError("too large", 413)
    transport.fail_next(error, error)
    result = client.flush()
    assert FlushResult(sent=9, pending=0, dropped=0, timed_out=False) == result
    arrived = [s.labels["n"] for s in transport.received("jobs_total") if s.value == 2.0]
    assert arrived == [str(number) for number in range(9)]


def test_one_sample_that_is_too_large_is_dropped_alone(registry, transport, client, caplog):
    """At 413 for a single sample the client drops that sample, and counts it under its reason."""
    client.start()
    client.flush()
    Gauge("load", "Load", registry=registry).set(1)
    transport.fail_next(PayloadTooLargeError("too large", 413))
    assert FlushResult(sent=0, pending=0, dropped=1, timed_out=False) == client.flush()
    assert {"too_large": 1} == client.stats().samples.dropped
    assert "too large" in caplog.text


def test_a_poison_batch_is_put_aside_once_and_the_next_goes_on(registry, transport, client, caplog):
    """A 4xx drops only its batch; it is counted, and the log has the server's reason."""
    client.start()
    client.flush()
    jobs = Counter("jobs", "Jobs", registry=registry)
    jobs.inc()
    transport.fail_next(RejectedError("422: labels must be strings", 422))
    assert 2 == client.flush().dropped  # the sample of 0 that begins the series, and the value
    jobs.inc()
    assert 1 == client.flush().sent
    assert [2.0] == [sample.value for sample in transport.received("jobs_total")]
    assert {"batch_rejected": 2} == client.stats().samples.dropped
    assert "labels must be strings" in caplog.text


def test_a_rejected_sample_is_counted_and_its_batch_is_not_sent_again(
    registry, transport, client, caplog
):
    """At a partial success the client counts rejected samples, logs the reasons, and goes on."""
    transport.reject_samples("bad", "value out of range")
    client.start()
    wait_until_idle(client)
    client.record("bad", 1.0)
    client.record("good", 2.0)
    assert FlushResult(sent=1, pending=0, dropped=1, timed_out=False) == client.flush()
    assert 1 == len(transport.received("good"))
    assert {"rejected": 1} == client.stats().samples.dropped
    assert "value out of range" in caplog.text


def test_wrong_credentials_keep_the_samples_and_are_logged_once(
    registry, transport, client, caplog
):
    """A 401 is logged loudly, once, and loses nothing."""
    Counter("jobs", "Jobs", registry=registry).inc()
    transport.fail_next(*[UnauthorizedError("401: no token", 401)] * 3)
    client.start()
    assert 0 == client.flush().pending
    assert [0.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert 1 == len(errors)
    assert "credentials" in errors[0].getMessage()


def test_a_runtime_that_was_deleted_is_registered_again(registry, transport, client):
    """At 404 the client registers again and sends the same batch under the new id."""
    client.start()
    client.flush()
    transport.forget_runtimes()
    transport.runtime_ids["somebody else"] = "77"
    Counter("jobs", "Jobs", registry=registry).inc()
    client.flush()
    assert 2 == len(transport.registrations)
    runtime_id = transport.runtime_ids["pool"]
    assert [(runtime_id, 0.0), (runtime_id, 1.0)] == [
        (sample.runtime_id, sample.value) for sample in transport.received("jobs_total")
    ]


def test_a_given_runtime_id_leaves_registration_and_heartbeats_alone(registry, transport):
    """A client with a runtime_id neither registers nor sends heartbeats."""
    Counter("jobs", "Jobs", registry=registry).inc()
    client = MetricsClient(
        runtime_id=42, registry=registry, transport=transport, system_metrics=(),
        self_metrics=False,
        heartbeat_interval=0.000001,
    )  # fmt: skip
    with client:
        client.flush()
        client.flush()
    assert "42" == transport.received("jobs_total")[0].runtime_id
    assert ([], []) == (transport.registrations, transport.heartbeats)


def test_a_given_runtime_id_that_is_unknown_keeps_the_samples(registry, transport):
    """At 404 for an id that another program registers, the client waits for it to do so."""
    Counter("jobs", "Jobs", registry=registry).inc()
    transport.fail_next(*[UnknownRuntimeError("no runtime 42", 404)] * 3)
    client = MetricsClient(
        runtime_id=42, registry=registry, transport=transport, system_metrics=(),
        self_metrics=False,
        random=lambda: 0.0,
    )  # fmt: skip
    with client:
        assert 0 == client.flush().pending
    assert [0.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]


def test_heartbeats_are_sent_when_nothing_else_is(registry, transport):
    """A registered component without samples sends heartbeats, again and again."""
    beats = threading.Semaphore(0)

    class Listening(InMemoryTransport):
        def heartbeat(self, registration, timeout):
            super().heartbeat(registration, timeout)
            beats.release()

    listening = Listening()
    with make_client(registry, listening, heartbeat_interval=0.001):
        assert [True] * 3 == [beats.acquire(timeout=10) for _ in range(3)]
    assert "pool" == listening.heartbeats[0].name


def test_a_heartbeat_that_finds_no_component_registers_again(registry):
    """At 404 for a heartbeat the client registers the component again."""
    registered = threading.Semaphore(0)

    class Listening(InMemoryTransport):
        def register(self, registration, timeout):
            runtime_id = super().register(registration, timeout)
            registered.release()
            return runtime_id

    listening = Listening()
    with make_client(registry, listening, heartbeat_interval=0.001):
        assert registered.acquire(timeout=10)
        listening.forget_runtimes()
        assert registered.acquire(timeout=10)


def test_a_full_buffer_drops_the_oldest_and_counts_them(registry, transport):
    """Beyond its bound the buffer keeps the newest samples, and counts the dropped ones."""
    client = make_client(registry, transport, buffer_samples_max=3)
    for number in range(5):
        client.record("numbered", number)
    assert {"buffer_full": 2} == client.stats().samples.dropped
    with client:
        client.flush()
    assert [2.0, 3.0, 4.0] == [sample.value for sample in transport.received("numbered")]


def test_a_series_whose_sample_was_dropped_is_sent_at_the_next_turn(registry, transport):
    """A dropped sample does not count as sent: its series is reported again."""
    Counter("first", "First", registry=registry).inc()
    Counter("second", "Second", registry=registry).inc()
    # There is room for one series: its value, and the sample of 0 that begins it.
    client = make_client(registry, transport, buffer_samples_max=2)
    with client:
        client.flush()
        client.flush()
    names = {sample.name for sample in transport.samples}
    assert {"first_total", "second_total"} == names


def test_a_recorded_sample_keeps_the_time_it_was_given(registry, transport, client):
    """record() sends value, labels and time unchanged."""
    client.start()
    client.record(
        "rows_total", 5, metric_type="counter", labels={"table": "orders"}, timestamp=1234.5,
        help_text="Rows", unit="rows",
    )  # fmt: skip
    client.flush()
    (sample,) = transport.received("rows_total")
    assert (5.0, 1234.5) == (sample.value, sample.timestamp)
    assert sample.labels == {"table": "orders", "worker_id": client.worker_id}
    assert ("counter", "Rows", "rows") == (sample.metric_type, sample.help_text, sample.unit)


def test_many_recorded_samples_travel_in_bounded_batches(registry, transport):
    """No batch has more samples than allowed, and all samples arrive in order."""
    with make_client(registry, transport, batch_samples_max=10) as client:
        for number in range(105):
            client.record("numbered", number)
        client.flush()
    assert list(range(105)) == [sample.value for sample in transport.received("numbered")]
    assert client.stats().batches_sent >= 11


class BlockedTransport(InMemoryTransport):
    """A server that takes a request and does not answer before the test allows it."""

    def __init__(self):
        super().__init__()
        self.entered = threading.Event()
        self.answer = threading.Event()

    def send(self, batch, runtime_id, timeout):
        self.entered.set()
        self.answer.wait()
        return super().send(batch, runtime_id, timeout)


def test_a_flush_does_not_wait_longer_than_it_is_told(registry):
    """If a server does not answer, a flush says what is pending, and that time ran out."""
    transport = BlockedTransport()
    Counter("jobs", "Jobs", registry=registry).inc()
    client = make_client(registry, transport).start()
    assert transport.entered.wait(10)
    result = client.flush(timeout=0.05)
    assert FlushResult(sent=0, pending=2, dropped=0, timed_out=True) == result
    transport.answer.set()
    assert 0 == client.shutdown().pending


def test_a_shutdown_does_not_wait_longer_than_it_is_told(registry, caplog):
    """A shutdown during a hanging request ends in time and reports what is left."""
    transport = BlockedTransport()
    Counter("jobs", "Jobs", registry=registry).inc()
    client = make_client(registry, transport).start()
    assert transport.entered.wait(10)
    result = client.shutdown(timeout=0.05)
    assert FlushResult(sent=0, pending=2, dropped=0, timed_out=True) == result
    assert "2 samples that were not delivered" in caplog.text
    transport.answer.set()


def test_a_shutdown_cuts_a_wait_between_attempts_short(registry, transport):
    """A client that waits for half an hour before its next attempt still ends at once."""
    failed = threading.Event()

    class Failing(InMemoryTransport):
        def register(self, registration, timeout):
            failed.set()
            raise server_away(retry_after=1800)

    client = make_client(registry, Failing()).start()
    assert failed.wait(10)
    assert FlushResult(0, 0, 0, timed_out=False) == client.shutdown(timeout=5)


def test_a_shutdown_does_not_outwait_a_server_that_asks_for_more_time(registry):
    """A Retry-After beyond the deadline ends the shutdown at once; it reports what is left."""
    failed = threading.Event()

    class Busy(InMemoryTransport):
        def register(self, registration, timeout):
            failed.set()
            raise server_away(retry_after=1800)

    client = make_client(registry, Busy())
    client.record("value", 1)
    client.start()
    assert failed.wait(10)
    assert FlushResult(0, 1, 0, timed_out=False) == client.shutdown(timeout=60)


def test_a_shutdown_without_a_server_ends_in_time_and_reports_what_is_left(registry):
    """Without a server, a shutdown takes its time-out and no more."""

    class Away(InMemoryTransport):
        def register(self, registration, timeout):
            raise server_away()

    client = make_client(registry, Away())
    client.record("value", 1)
    result = client.start().shutdown(timeout=0.05)
    assert (0, 1, 0) == (result.sent, result.pending, result.dropped)


def test_a_shutdown_sends_what_was_counted_last(registry, transport, client):
    """A shutdown collects and delivers what was counted before it."""
    jobs = Counter("jobs", "Jobs", registry=registry)
    client.start()
    client.flush()
    jobs.inc(7)
    assert 1 == client.shutdown().sent
    assert 7.0 == transport.received("jobs_total")[-1].value
    assert transport.closed


def test_a_transport_that_breaks_does_not_end_the_thread(registry, caplog):
    """An exception that no transport should raise is logged, and delivery goes on."""

    class Broken(InMemoryTransport):
        calls = 0

        def send(self, batch, runtime_id, timeout):
            self.calls += 1
            if self.calls == 1:
                raise ZeroDivisionError("a bug")
            return super().send(batch, runtime_id, timeout)

    transport = Broken()
    Counter("jobs", "Jobs", registry=registry).inc()
    with make_client(registry, transport) as client:
        assert 0 == client.flush().pending
    assert [0.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]
    assert "ZeroDivisionError" in caplog.text


def test_a_server_that_counts_wrongly_does_not_spoil_the_ledger(registry):
    """If a server rejects more samples than it got, all of them count as rejected."""

    class Miscounting(InMemoryTransport):
        def send(self, batch, runtime_id, timeout):
            return Receipt(inserted=0, rejected=len(batch.items) + 5)

    with make_client(registry, Miscounting()) as client:
        client.record("value", 1)
        client.flush()
        samples = client.stats().samples
    assert (0, {"rejected": 1}, 0) == (samples.sent, samples.dropped, samples.pending)


def test_a_server_that_never_knows_the_runtime_is_not_asked_without_end(registry):
    """After each 404, the client waits longer before it registers again."""

    class Forgetful(InMemoryTransport):
        def send(self, batch, runtime_id, timeout):
            raise UnknownRuntimeError("no such runtime", 404)

    transport = Forgetful()
    client = MetricsClient(
        component_name="pool", registry=registry, transport=transport, system_metrics=(),
        self_metrics=False,
        flush_interval=3600.0, random=lambda: 1.0,
    )  # fmt: skip
    client.start()
    client.record("value", 1)
    assert client.flush(timeout=0.2).timed_out
    client.shutdown(timeout=0)
    # The flush cuts one wait short and the shutdown another; each of the others lasts.
    assert len(transport.registrations) <= 4


class CountingClock(SystemClock):
    """A clock that counts its readings."""

    asked = 0

    def monotonic(self):
        self.asked += 1
        return super().monotonic()


def test_an_idle_client_without_heartbeats_does_nothing(registry, transport):
    """With another program's runtime_id, the delivery thread sleeps until there is work."""
    clock = CountingClock()
    client = MetricsClient(
        runtime_id=42, registry=registry, transport=transport, system_metrics=(), clock=clock,
        heartbeat_interval=0.000001, flush_interval=3600.0, random=lambda: 1.0,
    )  # fmt: skip
    with client:
        client.flush()
        asked = clock.asked
        assert not threading.Event().wait(0.1)
        assert clock.asked - asked < 10


def test_a_sample_that_cannot_be_encoded_costs_no_other(registry, transport, client, caplog):
    """The sample is dropped alone, under a reason, and the samples taken with it arrive."""
    client.start()
    wait_until_idle(client)
    bad = stamped(Series("bad", MetricType.GAUGE, {"x": "\ud800"}), 1.0, 1.0)
    client._engine.collection.add([bad])
    client.record("good", 2.0)
    assert FlushResult(1, 0, 1, timed_out=False) == client.flush()
    assert {"not_encodable": 1} == client.stats().samples.dropped
    assert 1 == len(transport.received("good"))


def test_a_transport_that_answers_nothing_does_not_end_the_thread(registry, caplog):
    """An answer that is no receipt is a failure like any other; the batch is sent again."""

    class Silent(InMemoryTransport):
        calls = 0

        def send(self, batch, runtime_id, timeout):
            self.calls += 1
            receipt = super().send(batch, runtime_id, timeout)
            return None if self.calls == 1 else receipt

    transport = Silent()
    with make_client(registry, transport) as client:
        client.record("value", 1)
        assert 0 == client.flush().pending
    assert 1 == len(transport.received("value"))


def test_a_function_that_exits_does_not_end_the_collector(registry, transport, caplog):
    """SystemExit from a gauge's function is logged; later flushes still collect."""
    Gauge("leaving", "Leaving", registry=registry).set_function(lambda: sys.exit(3))
    jobs = Counter("jobs", "Jobs", registry=registry)
    with make_client(registry, transport) as client:
        client.flush()
        jobs.inc()
        client.flush()
    assert [0.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]


def test_a_collector_that_hangs_does_not_cost_what_is_buffered(registry, transport, monkeypatch):
    """Although a collector never returns, flush and shutdown deliver the buffered samples."""
    hanging = threading.Event()
    Gauge("hanging", "Hanging", registry=registry).set_function(lambda: float(hanging.wait()))
    client = make_client(registry, transport)
    halfway_to = client._halfway_to

    def soon(deadline):
        """Return a time that comes soon, and no later than the client's own."""
        assert halfway_to(deadline) < deadline
        return min(halfway_to(deadline), time.monotonic() + 0.1)

    monkeypatch.setattr(client, "_halfway_to", soon)
    client.record("first", 1)
    client.start()
    assert client.flush(timeout=30).timed_out
    assert 1 == len(transport.received("first"))
    wait_until_idle(client)
    client.record("second", 1)
    assert client.shutdown(timeout=30).timed_out
    assert 1 == len(transport.received("second"))
    hanging.set()


@pytest.mark.parametrize("timeout", [float("inf"), 1e300])
def test_a_timeout_without_end_is_taken(registry, transport, client, timeout):
    """A flush or a shutdown may wait without a limit."""
    client.start()
    client.record("value", 1)
    assert 0 == client.flush(timeout=timeout).pending
    assert 0 == client.shutdown(timeout=timeout).pending


def test_a_second_shutdown_waits_for_the_first(registry):
    """If two threads shut a client down, both calls return once everything is delivered."""
    transport = BlockedTransport()
    client = make_client(registry, transport).start()
    client.record("value", 1)
    results = []
    shutdowns = [
        threading.Thread(target=lambda: results.append(client.shutdown(timeout=30)))
        for _ in range(2)
    ]
    for thread in shutdowns:
        thread.start()
    assert transport.entered.wait(10)
    assert [] == results
    transport.answer.set()
    for thread in shutdowns:
        thread.join(timeout=20)
    assert [0, 0] == [result.pending for result in results]


def test_nothing_is_sent_after_a_shutdown_has_given_up(registry):
    """What a shutdown reports as pending stays pending: the thread ends with its request."""
    transport = BlockedTransport()
    client = make_client(registry, transport, batch_samples_max=1).start()
    for number in range(5):
        client.record("numbered", number)
    assert transport.entered.wait(10)
    assert 5 == client.shutdown(timeout=0.05).pending
    transport.answer.set()
    client._engine.delivery_thread._thread.join(timeout=10)
    assert 4 == client.stats().samples.pending
    assert 1 == len(transport.received("numbered"))


def test_equal_series_that_are_described_differently_keep_their_descriptions(transport, client):
    """Series of one name and labels, but another type and unit, keep their type and unit."""
    client.start()
    client.record("value", 1, unit="bytes")
    client.record("value", 2, metric_type="summary", unit="seconds")
    client.flush()
    sent = [(sample.metric_type, sample.unit) for sample in transport.received("value")]
    assert [("gauge", "bytes"), ("summary", "seconds")] == sent
