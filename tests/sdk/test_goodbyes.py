"""What a process tells of itself, and the goodbye of one that ends in order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from importlib.metadata import version

import pytest

from noetl_metrics_sdk import MetricsClient, Registry
from noetl_metrics_sdk.errors import RecoverableError
from noetl_metrics_sdk.testing import InMemoryTransport, ManualClock
from tests.sdk.forked_programs import run
from tests.sdk.idle_delivery import wait_until_idle
from tests.sdk.raw_server import RawServer, read_request

ACKNOWLEDGEMENT = b'{"status": "ok", "runtime_id": "7", "metrics_inserted": 1}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (
    len(ACKNOWLEDGEMENT),
    ACKNOWLEDGEMENT,
)


class Ordered(InMemoryTransport):
    """Notes the order of the calls."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def register(self, registration, timeout):
        self.calls.append("register")
        return super().register(registration, timeout)

    def send(self, batch, runtime_id, timeout):
        self.calls.append("send")
        return super().send(batch, runtime_id, timeout)

    def heartbeat(self, registration, timeout):
        self.calls.append("heartbeat")
        super().heartbeat(registration, timeout)

    def goodbye(self, registration, timeout):
        self.calls.append("goodbye")
        super().goodbye(registration, timeout)

    def close(self):
        self.calls.append("close")
        super().close()


def make_client(transport, **settings):
    settings = {
        "component_name": "pool", "system_metrics": (), "self_metrics": False,
        "flush_interval": 3600.0, "random": lambda: 1.0, **settings,
    }  # fmt: skip
    return MetricsClient(registry=Registry(), transport=transport, **settings)


def join_delivery_threads():
    for thread in threading.enumerate():
        if thread.name == "noetl-metrics-exporter":
            thread.join(30)
            assert not thread.is_alive()


def test_a_process_tells_what_it_is():
    """Its registration, its heartbeats and its goodbye name the process, and its interval."""
    clock = ManualClock(1_764_000_000.12345)
    beats = threading.Event()

    class Listening(InMemoryTransport):
        def heartbeat(self, registration, timeout):
            super().heartbeat(registration, timeout)
            beats.set()

    transport = Listening()
    client = make_client(transport, worker_id="w1", heartbeat_interval=0.001, clock=clock)
    with client:
        while not beats.is_set():
            clock.advance(1.0)
            client.record("value", 1)
            client.flush()
        client.record("value", 1)
    for said in (transport.registrations[0], transport.heartbeats[0], transport.goodbyes[0]):
        assert ("w1", 1_764_000_000.123, 0.001, os.getpid()) == (
            said.worker_id, said.started_at, said.heartbeat_interval, said.pid,
        )  # fmt: skip
        assert version("noetl-metrics-sdk") == said.sdk_version


def test_a_process_that_has_much_to_send_sends_heartbeats():
    """Between the batches of a backlog the server hears that the process is alive."""
    transport = Ordered()
    client = make_client(transport, heartbeat_interval=1e-6, batch_samples_max=1)
    for number in range(3):
        client.record("value", number)
    with client:
        client.flush(30)
        assert 3 == client.stats().samples.sent
    assert ["register", "send", "heartbeat", "send", "heartbeat", "send"] == transport.calls[:6]


def test_a_goodbye_follows_the_last_batch():
    """It is sent once, when the last batch is acknowledged, before the connections are closed."""
    transport = Ordered()
    client = make_client(transport).start()
    client.record("value", 1)
    client.flush()
    client.record("value", 2)
    result = client.shutdown()
    client.shutdown()
    assert (0, False) == (result.pending, result.timed_out)
    assert ["register", "send", "send", "goodbye", "close"] == transport.calls


def test_an_idle_process_says_goodbye_too():
    """A process that has nothing left to send, and has been heard, says goodbye."""
    transport = Ordered()
    client = make_client(transport).start()
    client.record("value", 1)
    client.flush()
    client.shutdown()
    assert ["register", "send", "goodbye", "close"] == transport.calls


@pytest.mark.parametrize("has_answered", [True, False])
def test_a_server_that_may_be_away_hears_no_goodbye(has_answered):
    """If the last request failed, a process that has time left does not try another one."""
    # The client gives up at once: the server wants to be left alone for longer than is left.
    away = RecoverableError("away", 503, retry_after=60.0)

    class Leaving(InMemoryTransport):
        is_away = not has_answered

        def register(self, registration, timeout):
            if self.is_away:
                raise away
            return super().register(registration, timeout)

        def send(self, batch, runtime_id, timeout):
            if self.is_away:
                raise away
            return super().send(batch, runtime_id, timeout)

    transport = Leaving()
    client = make_client(transport).start()
    client.record("value", 1)
    client.flush(timeout=30 if has_answered else 0.1)
    transport.is_away = True
    client.record("value", 2)
    client.shutdown(timeout=30)
    assert (has_answered, []) == (len(transport.samples), transport.goodbyes)


def test_the_process_of_a_component_that_another_program_registers_says_nothing():
    """With a runtime_id, whether the component lives is the other program's to tell."""
    transport = Ordered()
    client = make_client(transport, component_name=None, runtime_id=7)
    with client:
        client.record("value", 1)
    assert ["send", "close"] == transport.calls


def test_without_time_there_is_no_goodbye():
    """A shutdown that may take no time says no goodbye."""
    transport = InMemoryTransport()
    client = make_client(transport).start()
    client.record("value", 1)
    client.flush()
    client.shutdown(timeout=0)
    join_delivery_threads()
    assert [] == transport.goodbyes


@pytest.mark.parametrize("error", [RecoverableError("away"), RuntimeError("a mistake")])
def test_a_goodbye_that_fails_is_of_no_consequence(error):
    """The shutdown has delivered everything, and raises nothing."""

    class Failing(InMemoryTransport):
        def goodbye(self, registration, timeout):
            raise error

    transport = Failing()
    client = make_client(transport).start()
    client.record("value", 1)
    result = client.shutdown()
    assert (0, False) == (result.pending, result.timed_out)
    assert transport.closed


def test_the_answer_to_a_goodbye_is_not_waited_for(monkeypatch):
    """A shutdown returns before the server has answered the goodbye, however much time it has."""
    monkeypatch.setattr("noetl_metrics_sdk.delivery.thread.GOODBYE_SECONDS_MAX", 60)
    heads = []
    has_returned = threading.Event()

    def handle(connection):
        while head := read_request(connection):
            heads.append(head)
            if b"/goodbye" in head:
                assert has_returned.wait(10)
            else:
                connection.sendall(ANSWER)

    with RawServer(handle) as server:
        client = make_client(None, server_url=server.url, shutdown_timeout=60, worker_id="w 1")
        client.start()
        wait_until_idle(client)
        client.record("value", 1)
        result = client.shutdown()
        has_returned.set()
    assert (1, 0, False) == (result.sent, result.pending, result.timed_out)
    (goodbye,) = [head for head in heads if b"/goodbye" in head]
    assert goodbye.startswith(b"POST /api/worker/pool/goodbye?name=pool&kind=worker_pool&")
    assert b"worker_id=w%201&" in goodbye or b"worker_id=w+1&" in goodbye
    assert b"\r\ncontent-length: 0" in goodbye.lower()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_is_a_process_of_its_own(tmp_path):
    """A child is heard of after its first batch, unregistered, and says a goodbye of its own."""
    run(
        """
        class Telling(WritingTransport):
            def close(self):
                said = {
                    name: [(r.pid, r.worker_id) for r in getattr(self, name)]
                    for name in ("registrations", "heartbeats", "goodbyes")
                }
                with open(os.path.join(FOLDER, f"said-{os.getpid()}"), "w") as file:
                    json.dump(said, file)
                super().close()

        beat = threading.Event()

        class Listening(Telling):
            def heartbeat(self, registration, timeout):
                super().heartbeat(registration, timeout)
                beat.set()

        client = metrics.init(component_name="pool", transport=Listening(), system_metrics=())
        count(1)
        metrics.flush()
        pid = os.fork()
        if pid == 0:
            count(1)
            metrics.flush()
            assert beat.wait(30)
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
    )
    said = {int(path.name[5:]): json.loads(path.read_text()) for path in tmp_path.glob("said-*")}
    assert 2 == len(said)
    for process_id, by_kind in said.items():
        assert [process_id] == [of for of, _ in by_kind["goodbyes"]]
        assert by_kind["goodbyes"][0][1].endswith(f"-{process_id}")
    (parent_id,) = {registered[0] for each in said.values() for registered in each["registrations"]}
    (child_id,) = said.keys() - {parent_id}
    assert [child_id] == [of for of, _ in said[child_id]["heartbeats"]]
    assert [] == said[parent_id]["heartbeats"]


def test_a_process_whose_sdk_is_not_installed_tells_no_version():
    """The SDK works from its sources too."""
    program = """
from importlib.metadata import PackageNotFoundError
import importlib.metadata
def missing(name):
    raise PackageNotFoundError(name)
importlib.metadata.version = missing
from noetl_metrics_sdk import MetricsClient, Registry
from noetl_metrics_sdk.testing import InMemoryTransport
transport = InMemoryTransport()
with MetricsClient(component_name="pool", transport=transport, registry=Registry()) as client:
    client.flush()
assert transport.registrations[0].sdk_version == ""
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
