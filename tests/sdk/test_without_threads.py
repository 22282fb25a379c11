"""A process that can have no more threads: the client says so, and loses nothing."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

# The limit holds for no process of root, so the program becomes another user. By then it has
# imported everything: that user may not be allowed to read the files.
PROGRAM = """
import logging, os, resource, sys, threading, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
import noetl_metrics_sdk as metrics
from noetl_metrics_sdk.testing import InMemoryTransport
import noetl_metrics_sdk.client.process_client

logging.basicConfig(format="%(message)s", stream=sys.stdout)
JOBS = metrics.Counter("jobs", "Jobs")
_, HARD = resource.getrlimit(resource.RLIMIT_NPROC)


class Printing(InMemoryTransport):
    def close(self):
        values = [s.value for s in self.received("jobs_total")
            if s.labels["worker_id"].endswith(f"-{os.getpid()}")]
        print("delivered", values, flush=True)


def make_client():
    return metrics.MetricsClient(
        component_name="pool", transport=Printing(), system_metrics=["process"],
        self_metrics=False, flush_interval=3600,
    )


def allow_threads(allowed):
    resource.setrlimit(resource.RLIMIT_NPROC, (HARD if allowed else 0, HARD))
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        assert not allowed
    else:
        assert allowed


def refused(call):
    try:
        call()
    except metrics.StartError as error:
        print(str(error).partition(". ")[0], flush=True)
    else:
        raise AssertionError


AT_FORK = []  # called in a child before the client's own hook
os.register_at_fork(after_in_child=lambda: [call() for call in AT_FORK])
make_client()  # imports what a client needs
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
"""
REASON = "the client has no thread that could deliver: can't start new thread"


def run(program):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM + textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (0, "") == (result.returncode, result.stderr)
    return result.stdout.splitlines()


def test_a_start_without_threads_says_so_and_can_be_repeated():
    """Until then a flush says how much waits; afterwards all is delivered."""
    assert [REASON, REASON, "delivered [0.0, 5.0]"] == run(
        """
        client = make_client()
        allow_threads(False)
        refused(client.start)
        JOBS.inc(5)
        result = client.flush()
        assert result.pending and result.timed_out, result
        refused(client.start)
        allow_threads(True)
        client.start()
        assert not client.flush().timed_out
        client.shutdown()
        """
    )


def test_a_process_without_threads_delivers_when_it_ends():
    """The thread that shuts the client down does the work of the others."""
    assert [REASON, "delivered [0.0, 5.0]"] == run(
        """
        client = make_client()
        allow_threads(False)
        refused(client.start)
        JOBS.inc(5)
        """
    )


def test_init_without_threads_can_be_repeated():
    """The second client delivers what the instruments have counted meanwhile."""
    assert [REASON, "delivered [0.0, 5.0]"] == run(
        """
        def init():
            metrics.init(component_name="pool", transport=Printing(), system_metrics=(),
                self_metrics=False, flush_interval=3600)

        allow_threads(False)
        refused(init)
        JOBS.inc(5)
        allow_threads(True)
        init()
        """
    )


@pytest.mark.parametrize(
    "then", ["pass", "allow_threads(True); assert not client.flush().timed_out"]
)
def test_a_forked_child_without_threads_goes_on_and_says_so(then):
    """The child's log has it once, and the child delivers when it can, or when it ends."""
    assert [f"{REASON}. Its", "delivered [0.0, 2.0]", "delivered [0.0, 7.0]"] == [
        line.partition(" instruments")[0]
        for line in run(
            f"""
            client = make_client().start()
            JOBS.inc(7)
            AT_FORK.append(lambda: resource.setrlimit(resource.RLIMIT_NPROC, (0, HARD)))
            pid = os.fork()
            if pid == 0:
                JOBS.inc(2)
                assert client.flush().timed_out
                {then}
                sys.exit()
            assert os.waitpid(pid, 0)[1] == 0
            """
        )
    ]
