"""A forked child becomes a worker when it is used, or after a moment, and not before."""

from __future__ import annotations

import pytest

from tests.sdk.forked_programs import run, totals

CHILDREN = {
    "runs a program after preparing it": "subprocess.run(['true'], preexec_fn=os.getpid)",
    "runs a program": "if os.fork() == 0: os.execvp('true', ['true'])\nos.wait()",
    "ends without a word": "if os.fork() == 0: os._exit(0)\nos.wait()",
    "ends in order": "if os.fork() == 0: sys.exit()\nos.wait()",
    "is terminated": "pid = os.fork()\nwhile pid == 0: signal.pause()\n"
    "os.kill(pid, signal.SIGTERM); os.wait()",
}  # fmt: skip


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_that_uses_nothing_never_becomes_a_worker(tmp_path, child):
    """Neither a request nor a folder of the spool is made for it."""
    processes = run(
        f"""
        import signal, subprocess
        import noetl_metrics_sdk.process.fork
        noetl_metrics_sdk.process.fork.START_AFTER_SECONDS = 60  # a child may take long to end
        warnings.filterwarnings("ignore", "preexec_fn", DeprecationWarning)

        class Telling(WritingTransport):
            def send(self, batch, runtime_id, timeout):
                told.append(os.getpid())
                return super().send(batch, runtime_id, timeout)

        told = []
        metrics.init(
            component_name="pool", transport=Telling(), system_metrics=(),
            spool_directory=os.path.join(FOLDER, "spool"),
        )
        count(1)
        metrics.flush()
        folders = os.listdir(os.path.join(FOLDER, "spool", "worker_pool-pool"))
        for _ in range(5):
{chr(10).join(" " * 12 + line for line in CHILDREN[child].splitlines())}
        assert folders == os.listdir(os.path.join(FOLDER, "spool", "worker_pool-pool"))
        """,
        tmp_path,
    )
    assert [1.0] == totals(processes)


def test_a_child_that_uses_nothing_becomes_a_worker_after_a_moment(tmp_path):
    """An idle child is alive, and reports so."""
    processes = run(
        """
        PARENT = os.getpid()
        receiver, sender = os.pipe()

        class Telling(WritingTransport):
            def send(self, batch, runtime_id, timeout):
                if os.getpid() != PARENT:
                    os.write(sender, b".")
                return super().send(batch, runtime_id, timeout)

        metrics.init(
            component_name="pool", transport=Telling(), system_metrics=(), flush_interval=0.05,
        )
        pid = os.fork()
        if pid == 0:
            assert os.read(receiver, 1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        count(1)
        """,
        tmp_path,
    )
    assert [1.0] == totals(processes)


@pytest.mark.parametrize(
    ("use", "expected"),
    [
        ("client.record('value', 1)", 0.0),
        ("count(2); assert client.flush().pending == 0", 2.0),
        ("count(2); assert client.shutdown().pending == 0", 2.0),
        ("count(2)", 2.0),
    ],
    ids=["record", "flush", "shutdown", "end"],
)
def test_a_child_that_is_used_is_a_worker_at_once(tmp_path, use, expected):
    """What it counts in its first moment is delivered."""
    processes = run(
        f"""
        client = metrics.init(
            component_name="pool", transport=WritingTransport(), system_metrics=(),
        )
        count(7)
        pid = os.fork()
        if pid == 0:
            {use}
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
    )
    assert sorted([expected, 7.0]) == totals(processes)
