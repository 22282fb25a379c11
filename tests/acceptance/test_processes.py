"""Real workers that end in order, are killed and start again, as a real server tells of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import httpx
import psycopg
import pytest

from tests.peer_program import PLAIN_HTTP
from tests.server_process import start_server

WAIT_SECONDS = 60
# After three intervals of silence a process is lost: one that waits for that has the short one.
INTERVAL_SECONDS = 30.0
SHORT_INTERVAL_SECONDS = 1.5

WORKER = """
import os, sys
import noetl_metrics_sdk as metrics

COUNT = metrics.Counter("watched_jobs", "Jobs")
client = metrics.init(
    sys.argv[1], "watched", worker_id=sys.argv[2], heartbeat_interval=float(sys.argv[3]),
    flush_interval=0.2, system_metrics=(),
)
COUNT.inc()
assert metrics.flush(30).pending == 0
is_child = len(sys.argv) > 4 and os.fork() == 0
os.write(1, b"%d\\n" % os.getpid())  # at once: a parent and its child write here
sys.stdin.readline()
if len(sys.argv) > 4 and not is_child:
    os.wait()
"""


class Worker:
    """A worker process that runs until it is told to end."""

    def __init__(self, server, worker_id, stack, *arguments, interval=INTERVAL_SECONDS):
        self.process = subprocess.Popen(
            [
                sys.executable, "-W", "ignore", "-c", WORKER, server.url, worker_id, str(interval),
                *arguments,
            ],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={name: text for name, text in os.environ.items() if not name.startswith("NOETL_")},
        )  # fmt: skip
        stack.callback(self.process.wait, WAIT_SECONDS)
        stack.callback(self.process.kill)
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            stack.enter_context(stream)
        self.pid = self.read_pid()

    def read_pid(self):
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def end(self):
        assert self.process.stdin is not None
        self.process.stdin.close()  # a forked child waits for its end too
        assert 0 == self.process.wait(WAIT_SECONDS)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        assert -signal.SIGKILL == self.process.wait(WAIT_SECONDS)


@contextmanager
def watched_server(database_url):
    server = start_server(database_url, "--component-offline-after-seconds=1")
    with server.process:
        try:
            yield server
        finally:
            assert 0 == server.stop()


@pytest.fixture
def server(database_url):
    with watched_server(database_url) as running:
        yield running


def component(server, name="watched"):
    listed = httpx.get(f"{server.url}/api/runtime", verify=PLAIN_HTTP).json()["components"]
    return next((entry for entry in listed if entry["name"] == name), None)


def becomes(read, expected):
    """Wait until something is as it should be; it then stands in the assertion of the caller."""
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := read()) != expected and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def states(server):
    return {entry["worker_id"]: entry["state"] for entry in component(server)["processes"]}


def test_a_worker_is_running_or_has_ended_or_is_lost(server):
    """One that ends in order has ended, one that is killed is lost, one that starts again runs."""
    with ExitStack() as stack:
        killed = Worker(server, "killed", stack, interval=SHORT_INTERVAL_SECONDS)
        ended = Worker(server, "ended", stack)
        assert {"killed": "running", "ended": "running"} == states(server)
        listed = component(server)
        assert (True, "ready") == (listed["alive"], listed["status"])
        assert {killed.pid, ended.pid} == {entry["pid"] for entry in listed["processes"]}
        ended.end()
        expected = {"killed": "running", "ended": "ended"}
        assert expected == becomes(lambda: states(server), expected)
        killed.kill()
        expected = {"killed": "lost", "ended": "ended"}
        assert expected == becomes(lambda: states(server), expected)
        assert not component(server)["alive"]
        assert "offline" == becomes(lambda: component(server)["status"], "offline")
        again = Worker(server, "killed", stack)
        expected = {"killed": "running", "ended": "ended"}
        assert expected == states(server)
        listed = component(server)
        assert (True, "ready", again.pid) == (
            listed["alive"], listed["status"], listed["processes"][0]["pid"],
        )  # fmt: skip
        again.end()
        expected = {"killed": "ended", "ended": "ended"}
        assert expected == becomes(lambda: states(server), expected)
        # The server counts the processes when it looks for silent components, and not before.
        assert "offline" == becomes(lambda: component(server)["status"], "offline")
    assert 0 == server.stop()
    with psycopg.connect(server.database_url) as connection:
        counted = connection.execute(
            "SELECT DISTINCT ON (metric_name, labels ->> 'state') metric_name, "
            "m.labels ->> 'state', metric_value FROM noetl.metric AS m WHERE metric_name IN "
            "('noetl_api_processes', 'noetl_api_processes_lost_total') "
            "ORDER BY metric_name, labels ->> 'state', timestamp DESC"
        ).fetchall()
    assert [
        ("noetl_api_processes", "ended", 2.0),
        ("noetl_api_processes", "lost", 0.0),
        ("noetl_api_processes", "running", 1.0),  # the server itself
        ("noetl_api_processes_lost_total", None, 1.0),
    ] == counted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_worker_is_a_process_of_its_own(server):
    """Parent and child are two processes, and each of them ends by itself."""
    with ExitStack() as stack:
        worker = Worker(server, "forking", stack, "fork")
        ids = {worker.pid, worker.read_pid()}
        (child,) = ids - {worker.process.pid}
        both = {"forking": "running", f"forking-{child}": "running"}
        assert both == becomes(lambda: states(server), both)
        worker.end()
        ended = dict.fromkeys(both, "ended")
        assert ended == becomes(lambda: states(server), ended)


@pytest.mark.once
def test_a_component_that_is_deleted_while_it_reports_registers_anew(server):
    """The worker goes on under another id, and nothing of the old one is left."""
    with ExitStack() as stack:
        worker = Worker(server, "w", stack)
        old = component(server)["runtime_id"]
        answer = httpx.delete(f"{server.url}/api/runtime/{old}").json()
        assert ("watched", True) == (answer["name"], answer["metrics_deleted"] > 0)
        assert becomes(lambda: component(server) is not None, expected=True)
        assert old != component(server)["runtime_id"]
        worker.end()
    with psycopg.connect(server.database_url) as connection:
        owners = connection.execute(
            "SELECT DISTINCT runtime_id::text FROM noetl.metric "
            "WHERE metric_name = 'watched_jobs_total'"
        ).fetchall()
    assert (old,) not in owners
