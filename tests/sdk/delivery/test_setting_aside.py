"""A batch that a server fails at for ever, while it takes others."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from noetl_metrics_sdk import MetricsClient, Registry
from noetl_metrics_sdk.delivery.setting_aside import SET_ASIDE_MAX, SET_ASIDE_SECONDS, TRIES
from noetl_metrics_sdk.testing import ManualClock
from tests.sdk.answering_server import AnsweringServer, NoetlServer
from tests.sdk.idle_delivery import wait_until_idle

BAD = -1.0
OVERTAKEN = (
    "the server has failed for 60 s at a batch of 1 samples, and takes others; those overtake it"
)


def fails_at_the_bad(metric):
    return metric["metric_value"] != BAD


class KnowingServer(NoetlServer):
    """A server that knows batches by their names, as the reference server does."""

    def __init__(self, **settings):
        super().__init__("/api/metrics", **settings)
        self.last = {}

    def __call__(self, request):
        if request.path != self.metrics_path:
            return super().__call__(request)
        line, _, number = request.headers["Idempotency-Key"].rpartition(":")
        count = len(request.json["metrics"])
        if int(number) <= self.last.get(line, 0):
            return 200, {"status": "duplicate", "metrics_inserted": count}
        status, answer = super().__call__(request)
        if status == 200:
            self.last[line] = int(number)
        return status, answer


class Worker:
    """A client whose clock a test moves, and which never waits between attempts."""

    def __init__(self, server, **settings):
        self.server = server
        self.clock = ManualClock()
        self.client = MetricsClient(
            server.url, "pool", registry=Registry(), clock=self.clock, random=lambda: 0.0,
            system_metrics=(), self_metrics=False, flush_interval=86_400.0,
            heartbeat_interval=86_400.0, **settings,
        )  # fmt: skip

    def __enter__(self):
        self.client.start()
        wait_until_idle(self.client)
        return self

    def __exit__(self, *error):
        self.client.shutdown(timeout=5)

    @property
    def samples(self):
        return self.client.stats().samples

    @property
    def failures(self):
        return sum(self.client.stats().batches_retried.values())

    def record(self, *values):
        for value in values:
            self.client.record("value", value)

    def send(self, value):
        """Record a sample, and wait until the server has taken it."""
        sent = self.samples.sent
        self.record(value)
        self.client._engine.delivery_thread.wake()
        self.wait(lambda: self.samples.sent > sent)

    def attempt(self):
        """Wait for an attempt that fails, or until nothing is left to send."""
        before = self.failures
        self.client._engine.delivery_thread.wake()
        self.wait(lambda: not self.samples.pending or self.failures > before + 1)

    def wait(self, is_so):
        deadline = time.monotonic() + 30
        while not is_so():
            assert time.monotonic() < deadline, (self.client.stats(), self.server.requests[-3:])
            time.sleep(0.001)

    def is_aside(self):
        return self.client._engine.batches.set_aside_count == 1

    def let_the_batch_be_overtaken(self):
        self.attempt()
        self.clock.advance(SET_ASIDE_SECONDS + 1)
        self.wait(self.is_aside)

    def send_others_until_settled(self, count=200):
        """Record one sample after the other, until nothing is pending; return how many."""
        for number in range(1, count):
            self.send(1_000.0 + number)
            self.wait(lambda: not self.samples.pending or self.is_aside())
            if not self.samples.pending:
                return number
        raise AssertionError(self.client.stats())


@pytest.mark.parametrize("is_spooled", [False, True])
@pytest.mark.parametrize("server_type", [NoetlServer, KnowingServer])
def test_one_bad_sample_costs_no_other(tmp_path, server_type, is_spooled):
    """The batch with it is overtaken, tried again and halved, until only that sample is dropped."""
    noetl = server_type(has_partition=fails_at_the_bad)
    spool = {"spool_directory": str(tmp_path)} if is_spooled else {}
    with AnsweringServer(noetl) as server, Worker(server, **spool) as worker:
        worker.record(*map(float, range(3)), BAD, *map(float, range(4, 8)))
        worker.let_the_batch_be_overtaken()
        assert 8 == worker.samples.pending
        others = worker.send_others_until_settled()
        samples = worker.samples
        assert (7 + others, {"batch_failed": 1}) == (samples.sent, samples.dropped)
        if is_spooled:
            assert (0, 0, 0) == worker.client.stats().spool[:3]
    expected = [0, 1, 2, 4, 5, 6, 7, *(1_000 + number for number in range(1, others + 1))]
    assert expected == sorted(noetl.values())
    # Three attempts at the whole, the half, the quarter and the sample.
    assert 4 * TRIES <= others


@pytest.mark.parametrize("is_spooled", [False, True])
def test_a_batch_that_the_server_takes_after_all_arrives_once(tmp_path, is_spooled):
    """A batch that is aside keeps its name, so a lost answer to it does not double it."""
    noetl = KnowingServer()
    spool = {"spool_directory": str(tmp_path)} if is_spooled else {}

    def failing_after_the_commit(request):
        status, answer = noetl(request)
        is_bad = "/api/metrics" in request.path and BAD in request.values
        return (500, {"detail": "lost"}) if is_bad else (status, answer)

    with AnsweringServer(failing_after_the_commit) as server, Worker(server, **spool) as worker:
        worker.record(BAD, 2.0)
        worker.let_the_batch_be_overtaken()
        worker.send(3.0)
        server.answer = noetl
        worker.send(4.0)
        worker.wait(lambda: not worker.samples.pending)
        assert (4, {}) == (worker.samples.sent, worker.samples.dropped)
    assert {BAD: 1, 2.0: 1, 3.0: 1, 4.0: 1} == Counter(noetl.values())


def test_batches_that_are_on_disk_already_overtake_under_other_names(tmp_path):
    """A server that knows only the last name of a line takes both: those and the one aside."""
    noetl = KnowingServer(has_partition=fails_at_the_bad)
    spool = {"spool_directory": str(tmp_path), "batch_samples_max": 2}
    with AnsweringServer(noetl) as server, Worker(server, **spool) as worker:
        worker.record(BAD, 1.0)
        worker.attempt()
        worker.record(2.0, 3.0, 4.0, 5.0)
        worker.client._engine.batches.secure()
        worker.clock.advance(SET_ASIDE_SECONDS + 1)
        worker.wait(lambda: worker.samples.sent == 4)
        worker.record(6.0)
        noetl.has_partition = lambda metric: True
        worker.client._engine.delivery_thread.wake()
        worker.wait(lambda: not worker.samples.pending)
        assert (7, {}) == (worker.samples.sent, worker.samples.dropped)
    assert sorted([BAD, 1, 2, 3, 4, 5, 6]) == sorted(noetl.values())


def test_a_batch_that_is_aside_at_the_end_is_the_next_processs(tmp_path):
    """With a spool a shutdown leaves it on disk, and the next process sends it under its name."""
    noetl = KnowingServer(has_partition=fails_at_the_bad)
    with AnsweringServer(noetl) as server:
        with Worker(server, spool_directory=str(tmp_path)) as worker:
            worker.record(BAD, 1.0)
            worker.let_the_batch_be_overtaken()
            worker.send(2.0)
            result = worker.client.shutdown(timeout=5)
            assert (2, 2) == (result.pending, result.spooled)
        noetl.has_partition = lambda metric: True
        with Worker(server, spool_directory=str(tmp_path)) as worker:
            worker.send(3.0)
            worker.wait(lambda: not worker.samples.pending)
            assert 2 == worker.client.stats().spool.adopted
    assert sorted([BAD, 1.0, 2.0, 3.0]) == sorted(noetl.values())


def test_a_server_that_fails_at_everything_costs_no_batch_and_no_order():
    """Even an empty batch fails, so all samples wait in their order, however long it takes."""
    noetl = NoetlServer()

    def broken(request):
        return (500, {"detail": "down"}) if "/api/metrics" in request.path else noetl(request)

    with AnsweringServer(broken) as server, Worker(server, batch_samples_max=1) as worker:
        worker.record(*map(float, range(5)))
        for _ in range(5):
            worker.attempt()
            worker.clock.advance(SET_ASIDE_SECONDS + 1)
        worker.attempt()
        assert 0 == worker.client._engine.batches.set_aside_count
        server.answer = noetl
        worker.wait(lambda: not worker.samples.pending)
        assert {} == worker.samples.dropped
    assert list(map(float, range(5))) == noetl.values()


def test_a_server_that_takes_only_empty_batches_costs_no_sample():
    """At most so many batches are aside; the others wait until one goes through."""
    noetl = NoetlServer(has_partition=lambda metric: False)
    count = SET_ASIDE_MAX + 3
    with AnsweringServer(noetl) as server, Worker(server, batch_samples_max=1) as worker:
        worker.record(*map(float, range(count)))
        batches = worker.client._engine.batches
        for number in range(SET_ASIDE_MAX):
            worker.attempt()
            worker.clock.advance(SET_ASIDE_SECONDS + 1)
            worker.wait(lambda number=number: batches.set_aside_count > number)
        worker.attempt()
        worker.clock.advance(SET_ASIDE_SECONDS + 1)
        worker.attempt()
        assert SET_ASIDE_MAX == batches.set_aside_count
        noetl.has_partition = lambda metric: True
        worker.wait(lambda: not worker.samples.pending)
        assert (count, {}) == (worker.samples.sent, worker.samples.dropped)
    assert list(map(float, range(count))) == sorted(noetl.values())


def test_a_server_that_says_when_to_come_again_is_obeyed():
    """A `Retry-After` and a 429 say nothing about the batch, which keeps its place."""
    noetl = NoetlServer("/api/metrics")

    def busy(request):
        if "/api/metrics" in request.path and request.json["metrics"]:
            return 429, {"detail": "slower"}
        return noetl(request)

    with AnsweringServer(busy) as server, Worker(server) as worker:
        worker.record(1.0)
        worker.attempt()
        worker.clock.advance(SET_ASIDE_SECONDS + 1)
        worker.attempt()
        assert not worker.is_aside()
        server.answer = noetl
        worker.wait(lambda: not worker.samples.pending)
    assert [1.0] == noetl.values()


def test_the_log_says_once_that_a_batch_is_overtaken(caplog):
    """A warning when it begins, an error for what is dropped, and information at the end."""
    caplog.set_level("INFO", "noetl_metrics_sdk")
    noetl = NoetlServer(has_partition=fails_at_the_bad)
    with AnsweringServer(noetl) as server, Worker(server) as worker:
        worker.record(BAD)
        worker.let_the_batch_be_overtaken()
        worker.send_others_until_settled()
        worker.send(1.0)
    texts = [
        one.getMessage().partition(": ")[0]
        for one in caplog.records
        if one.name == "noetl_metrics_sdk" and "registered" not in one.getMessage()
    ]
    assert [
        "delivery failed; samples wait until it succeeds",
        OVERTAKEN,
        "1 samples are dropped (batch_failed)",
        "delivering again",
    ] == texts
