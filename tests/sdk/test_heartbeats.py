"""Heartbeats are on time, whatever becomes of the batches."""

from __future__ import annotations

import threading
import time

import pytest

from noetl_metrics_sdk import MetricsClient, Registry
from tests.sdk.answering_server import AnsweringServer
from tests.sdk.idle_delivery import wait_until_idle

TAKEN = (200, {"status": "ok", "metrics_inserted": 1})
REGISTERED = (200, {"status": "ok", "runtime_id": "7"})


class Server:
    """Knows its components, and gives each batch one answer; it tells when it has heard enough.

    Args:
        answer_to_batches: the answer.
        heartbeats: how many heartbeats it waits for.
    """

    def __init__(self, answer_to_batches, heartbeats=3):
        self.answer_to_batches = answer_to_batches
        self.heartbeats = heartbeats
        self.is_known = False
        self.heard = threading.Event()
        self.registered = threading.Semaphore(0)

    def __call__(self, request):
        if "/api/metrics" in request.path:
            return self.answer_to_batches
        if request.path.endswith("/register"):
            self.is_known = True
            self.registered.release()
            return REGISTERED
        if not self.is_known:
            return 404, {"detail": "no component pool"}
        self.heartbeats -= 1
        if not self.heartbeats:
            self.heard.set()
        return REGISTERED


def make_client(server, **settings):
    # With random() at 0.4 the first pauses between two attempts are 0.2, 0.4 and 0.8 s.
    settings = {"heartbeat_interval": 0.02, "flush_interval": 3600.0, **settings}
    return MetricsClient(
        server.url, "pool", registry=Registry(), system_metrics=(), self_metrics=False,
        random=lambda: 0.4, **settings,
    )  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        (503, {"detail": "no room"}),
        (503, {"detail": "no room"}, {"Retry-After": "300"}),
        (401, {"detail": "no token"}),
        (200, b"no JSON"),
    ],
)
def test_heartbeats_go_on_while_batches_are_refused(answer):
    """A server that takes no batches hears all the same who is alive, in each pause."""
    with AnsweringServer(server := Server(answer)) as answering:
        client = make_client(answering)
        client.record("value", 1)
        with client:
            client.flush(0)
            assert server.heard.wait(10)
            server.answer_to_batches = TAKEN  # at the end
        assert 1 == client.stats().samples.sent


def test_a_component_that_was_deleted_is_registered_at_the_next_heartbeat():
    """It does not wait for a batch that goes through."""
    with AnsweringServer(server := Server((503, {"detail": "no room"}))) as answering:
        client = make_client(answering)
        client.record("value", 1)
        with client:
            client.flush(0)
            assert server.heard.wait(10)
            assert server.registered.acquire(timeout=10)
            server.is_known = False
            assert server.registered.acquire(timeout=10)
            server.answer_to_batches = TAKEN


def test_a_worker_that_records_all_the_time_sends_by_interval():
    """There is a request for each turn, and not one for each sample."""
    with AnsweringServer(Server(TAKEN)) as answering:
        with make_client(answering, flush_interval=0.2, heartbeat_interval=3600.0) as client:
            began_at = time.monotonic()
            for number in range(200):
                client.record("value", number)
                time.sleep(0.002)  # as fast as a job records, and no slower than a request
            seconds = time.monotonic() - began_at
        batches = [r for r in answering.requests if "/api/metrics" in r.path]
        assert 200 == sum(len(batch.values) for batch in batches)
        # A turn comes every 0.18 s at the earliest; two more are at the start and at the end.
        assert len(batches) <= seconds / 0.18 + 3


def test_a_full_batch_does_not_wait_for_the_interval():
    """Samples that fill a request are sent at once, and the others with the next turn."""
    delivered = threading.Event()

    class Taking(Server):
        def __call__(self, request):
            answer = super().__call__(request)
            if "/api/metrics" in request.path:
                delivered.set()
                return TAKEN
            return answer

    with AnsweringServer(Taking(None)) as answering:
        with make_client(answering, batch_samples_max=10, heartbeat_interval=3600.0) as client:
            wait_until_idle(client)
            for number in range(10):
                client.record("value", number)
            assert delivered.wait(10)
            client.record("value", 10)
        batches = [r for r in answering.requests if "/api/metrics" in r.path]
        assert [10, 1] == [len(batch.values) for batch in batches]
