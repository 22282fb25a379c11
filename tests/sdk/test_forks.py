"""Processes that fork, spawn and exit: each reports its own counts only, and loses none."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.sdk.forked_programs import last_values, run, totals


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_starts_from_zero(tmp_path):
    """Parent and child each report what they counted themselves, and nothing of the other."""
    processes = run(
        """
        start()
        count(7)
        pid = os.fork()
        if pid == 0:
            count(2)
            sys.exit()
        os.waitpid(pid, 0)
        count(1)
        """,
        tmp_path,
    )
    assert [2.0, 8.0] == totals(processes)
    assert [1.0, 2.0] == totals(processes, "seconds_count")
    assert [2.0, 4.0] == totals(processes, "sizes_sum")
    assert [1.0, 2.0] == totals(processes, "running")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_fork_has_its_own_identity(tmp_path):
    """The child uses no batch key and no worker id of the parent."""
    processes = run(
        """
        start()
        count(1)
        metrics.flush()
        pid = os.fork()
        if pid == 0:
            count(1)
            sys.exit()
        os.waitpid(pid, 0)
        """,
        tmp_path,
    )
    assert 2 == len(processes)
    workers = [{s["labels"]["worker_id"] for s in p["samples"]} for p in processes.values()]
    assert [1, 1] == [len(worker_ids) for worker_ids in workers]
    assert workers[0] != workers[1]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_fork_under_load_neither_hangs_nor_mixes_counts(tmp_path):
    """With every lock in use at the moment of the fork, each child still counts its own."""
    processes = run(
        """
        start()
        stop = threading.Event()

        def load():
            while not stop.is_set():
                count(1)
                JOBS.labels(str(len(JOBS._children) % 50)).inc(0)

        sys.setswitchinterval(1e-5)
        threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(20):
            pid = os.fork()
            if pid == 0:
                count(number)
                sys.exit()
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        """,
        tmp_path,
    )
    children = sorted(totals(processes))[:20]
    assert 21 == len(processes)
    assert children == [float(number) for number in range(20)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_fork_while_the_parent_delivers_to_memory_delivers_too(tmp_path):
    """A child delivers, whatever the parent's thread was doing in the transport."""
    processes = run(
        """
        class Entered(WritingTransport):
            def _keep(self, batch, runtime_id):
                if os.getpid() == PARENT:
                    is_sending.set()
                    has_forked.wait()
                return super()._keep(batch, runtime_id)

        PARENT = os.getpid()
        is_sending, has_forked = threading.Event(), threading.Event()
        metrics.init(component_name="pool", transport=Entered(), system_metrics=())
        count(7)
        threading.Thread(target=metrics.flush, daemon=True).start()
        is_sending.wait()
        pid = os.fork()
        if pid == 0:
            count(2)
            sys.exit()
        has_forked.set()
        os.waitpid(pid, 0)
        """,
        tmp_path,
    )
    assert [2.0, 7.0] == totals(processes)


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
def test_children_of_multiprocessing_deliver_what_they_counted(tmp_path, start_method):
    """A child that ends by os._exit() still flushes, whichever way it was started."""
    processes = run(
        f"""
        def work(amount):
            if "{start_method}" != "fork":
                start()
            count(amount)

        if __name__ == "__main__":
            start()
            context = multiprocessing.get_context("{start_method}")
            children = [context.Process(target=work, args=(n,)) for n in (3, 4)]
            for child in children:
                child.start()
            for child in children:
                child.join()
                assert child.exitcode == 0
            count(1)
        """,
        tmp_path,
    )
    assert [1.0, 3.0, 4.0] == totals(processes)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_grandchild_counts_for_itself(tmp_path):
    """A grandchild of multiprocessing starts from zero too, and delivers."""
    processes = run(
        """
        def work(depth):
            count(depth)
            if depth < 3:
                child = multiprocessing.get_context("fork").Process(target=work, args=(depth + 1,))
                child.start()
                child.join()

        start()
        work(1)
        """,
        tmp_path,
    )
    assert [1.0, 2.0, 3.0] == totals(processes)


@pytest.mark.parametrize(
    "ending",
    [
        "pass",
        "sys.exit(0)",
        "metrics.shutdown()",
        "threading.Thread(target=count, args=(0,)).start()",
    ],
)
def test_what_is_buffered_goes_out_when_the_process_ends(tmp_path, ending):
    """A worker that simply ends loses nothing."""
    processes = run(f"start()\ncount(5)\n{ending}\n", tmp_path)
    assert [5.0] == totals(processes)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_pools_initializer_may_make_a_client_in_a_forked_child(tmp_path):
    """init() in a child replaces the inherited client; a second init() is refused."""
    processes = run(
        """
        start()
        count(1)
        pid = os.fork()
        if pid == 0:
            start()
            count(5)
            try:
                start()
            except metrics.ConfigurationError:
                count(2)
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
    )
    assert [1.0, 7.0] == totals(processes)


def test_a_client_that_nobody_holds_on_to_still_delivers(tmp_path):
    """A worker may start a client and drop it: its counts are delivered at the end."""
    processes = run(
        """
        import gc
        MetricsClient(
            component_name="pool", transport=WritingTransport(), system_metrics=(),
            flush_interval=3600,
        ).start()
        gc.collect()
        count(5)
        """,
        tmp_path,
    )
    assert [5.0] == totals(processes)


def test_an_unhandled_exception_loses_nothing(tmp_path):
    """A worker that dies of an exception still delivers what it has counted."""
    with pytest.raises(subprocess.CalledProcessError):
        run("start()\ncount(5)\nraise SystemError('the worker is broken')\n", tmp_path)
    (process,) = [json.loads(f.read_text()) for f in tmp_path.iterdir() if f.name.isdigit()]
    assert [5.0] == last_values(process, "jobs_total")


def test_a_configured_worker_id_stays_unique_among_children(tmp_path):
    """Children that inherit NOETL_WORKER_ID append their process id to it."""
    processes = run(
        """
        os.environ["NOETL_WORKER_ID"] = "w"
        os.environ["NOETL_WORKER_POOL_NAME"] = "pool"
        os.environ["NOETL_METRICS_SYSTEM_METRICS"] = "none"

        def work():
            metrics.init(transport=WritingTransport())
            count(1)

        if __name__ == "__main__":
            metrics.init(transport=WritingTransport())
            count(1)
            child = multiprocessing.get_context("spawn").Process(target=work)
            child.start()
            child.join()
        """,
        tmp_path,
        "all",
    )
    workers = {s["labels"]["worker_id"] for p in processes.values() for s in p["samples"]}
    (child_id,) = workers - {"w"}
    assert workers == {"w", child_id}
    assert child_id.removeprefix("w-").isdigit()
