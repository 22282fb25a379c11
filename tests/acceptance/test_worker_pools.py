"""Real worker pools report to a real server; the table has each process's counts once.

Every program tells which process counted how much, without the SDK: a task or a request returns
the label `worker_id` of the process that did it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor
from urllib.request import urlopen

import psycopg
import pytest

WAIT_SECONDS = 100
WORKERS = 3

PREAMBLE = """
import json, multiprocessing, os, signal, sys, threading, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
import noetl_metrics_sdk as metrics

JOBS = metrics.Counter("pool_jobs", "Jobs")


def start():
    return metrics.init(component_name="worker-pool", flush_interval=3600, system_metrics=())


def tell(worker_ids):
    "Print how much each process has counted."
    tally = {worker_id: worker_ids.count(worker_id) for worker_id in set(worker_ids)}
    print(json.dumps(tally), flush=True)
"""


def environment(server):
    others = {name: text for name, text in os.environ.items() if not name.startswith("NOETL_")}
    return {**others, "NOETL_SERVER_URL": server.url, "SERVER_URL": server.url}


def in_table(server):
    """Return the last value of each process's counter, by its worker id; no value may go back."""
    with psycopg.connect(server.database_url) as connection:
        rows = connection.execute(
            "SELECT labels ->> 'worker_id', metric_value FROM noetl.metric "
            "WHERE metric_name = 'pool_jobs_total' ORDER BY timestamp, metric_id"
        ).fetchall()
    values: dict[str, float] = {}
    for worker_id, value in rows:
        assert value >= values.get(worker_id, 0.0)
        values[worker_id] = value
    return values


def write(folder, name, program):
    path = folder / name
    path.write_text(PREAMBLE.replace("init(", 'init(os.environ["SERVER_URL"], ') + program)
    return path


def run(server, folder, program):
    """Run a program to its end; return what it reported."""
    path = write(folder, "program.py", program)
    result = subprocess.run(
        [sys.executable, str(path)], env=environment(server), capture_output=True, text=True,
        timeout=WAIT_SECONDS, check=False,
    )  # fmt: skip
    assert (0, "") == (result.returncode, result.stderr)
    return json.loads(result.stdout)


POOL = """
def begin(barrier):
    global everybody
    everybody = barrier
    if METHOD != "fork":
        start()


def work(number):
    if number < 3:
        everybody.wait(60)  # no process gets two of these
    JOBS.inc()
    return metrics.client.process_client._process.client.worker_id


if __name__ == "__main__":
    client = start()
    JOBS.inc(7)
    context = multiprocessing.get_context(METHOD)
    with context.Pool(3, begin, [context.Barrier(3)]) as pool:
        worker_ids = pool.map(work, range(60), chunksize=1)
    tell(worker_ids + [client.worker_id] * 7)
"""

PROCESS = """
def work(number, queue):
    if METHOD != "fork":
        start()
    JOBS.inc(number)
    queue.put([metrics.client.process_client._process.client.worker_id] * number)


if __name__ == "__main__":
    client = start()
    JOBS.inc(7)
    context = multiprocessing.get_context(METHOD)
    queue = context.Queue()
    children = [context.Process(target=work, args=(number, queue)) for number in (1, 2, 3)]
    for child in children:
        child.start()
    worker_ids = sum((queue.get() for _ in children), [client.worker_id] * 7)
    for child in children:
        child.join()
        assert child.exitcode == 0
    tell(worker_ids)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("program", [POOL, PROCESS], ids=["pool in a with block", "processes"])
def test_multiprocessing(server, tmp_path, program, method):
    """Children of multiprocessing deliver, also if the end of a `with` block terminates them."""
    told = run(server, tmp_path, f'METHOD = "{method}"\n{program}')
    assert told == in_table(server)


def test_fork(server, tmp_path):
    """Forked children deliver at a normal exit and at SIGTERM; the parent keeps its own counts."""
    program = """
client = start()
JOBS.inc(7)
receiver, sender = os.pipe()
children = []
for number in range(1, 5):
    pid = os.fork()
    if pid == 0:
        JOBS.inc(number)
        os.write(sender, (client.worker_id + " ").encode() * number)
        if number % 2:
            sys.exit()
        # A delivery that takes more than a moment lets the main thread go on.
        while True: signal.pause()
    children.append(pid)
told = b""
while told.count(b" ") < 10:
    told += os.read(receiver, 1000)
for pid in children[1::2]:
    os.kill(pid, signal.SIGTERM)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
assert codes == [0, -signal.SIGTERM, 0, -signal.SIGTERM], codes
tell(told.decode().split() + [client.worker_id] * 7)
"""
    told = run(server, tmp_path, program)
    assert 5 == len(told)
    assert told == in_table(server)


GUNICORN = """
client = start()
JOBS.inc(7)  # the master's own
everybody = multiprocessing.get_context("fork").Barrier(3)


def application(environ, start_response):
    if environ["PATH_INFO"] == "/meet":
        everybody.wait(60)  # no worker gets two of these requests
    JOBS.inc()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [client.worker_id.encode()]
"""


def test_gunicorn(server, tmp_path):
    """Workers that gunicorn forks from a preloaded application deliver each request once."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    write(tmp_path, "pool_app.py", GUNICORN)
    command = [sys.executable, "-m", "gunicorn", "--preload", f"--workers={WORKERS}"]
    command += ["--bind=127.0.0.1:0", "--timeout=90", f"--chdir={tmp_path}"]
    master = subprocess.Popen(
        [*command, "pool_app:application"], env=environment(server), cwd=tmp_path,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with master, ThreadPoolExecutor(WORKERS) as clients:
        assert master.stderr is not None
        try:
            log = iter(master.stderr.readline, "")
            listening = next(filter(None, (re.search(r"http://[\d.:]+", line) for line in log)))
            paths = ["/meet"] * WORKERS + ["/"] * 60

            def request(path):
                with urlopen(listening[0] + path, timeout=90) as answer:
                    return answer.read().decode()

            told = Tally(clients.map(request, paths))
            master.send_signal(signal.SIGTERM)
            assert "" != master.stderr.read()
            assert 0 == master.wait(WAIT_SECONDS)
        finally:
            master.kill()
    assert WORKERS == len(told)
    (master_id,) = in_table(server).keys() - told.keys()
    assert master_id.endswith(f"-{master.pid}")
    assert {**told, master_id: 7} == in_table(server)


CELERY = """
from pathlib import Path
from celery import Celery

folder = Path(__file__).parent
app = Celery("pool_tasks", broker="filesystem://", backend=f"file://{folder}/results")
app.conf.broker_transport_options = {
    "data_folder_in": f"{folder}/broker", "data_folder_out": f"{folder}/broker",
    "control_folder": f"{folder}/control",
}
everybody = multiprocessing.get_context("fork").Barrier(3)


@app.task
def work(meet):
    if meet:
        everybody.wait(60)  # no process gets two of these tasks
    JOBS.inc()
    return client.worker_id


if "producer" in sys.argv:
    sent = [work.delay(number < 3) for number in range(30)]
    tell([task.get(timeout=90) for task in sent])
else:
    client = start()
    JOBS.inc(7)  # the main process's own
"""


@pytest.mark.parametrize("end", ["SIGTERM", "SIGQUIT"])
def test_celery(server, tmp_path, end):
    """Processes of a prefork pool deliver at a warm and at a cold shutdown."""
    pytest.importorskip("celery", reason="celery is not installed")
    path = write(tmp_path, "pool_tasks.py", CELERY)
    for name in ("broker", "control", "results"):
        (tmp_path / name).mkdir()
    command = [sys.executable, "-m", "celery", "-A", "pool_tasks", "worker", "--pool=prefork"]
    command += [f"--concurrency={WORKERS}", "--without-gossip", "--without-mingle"]
    log = tmp_path / "log"
    with log.open("w") as log_file:
        main = subprocess.Popen(
            command, env={**environment(server), "PYTHONPATH": search_path(tmp_path)},
            cwd=tmp_path, stdout=log_file, stderr=subprocess.STDOUT,
        )  # fmt: skip
    with main:
        try:
            producer = subprocess.run(
                [sys.executable, str(path), "producer"], env=environment(server),
                capture_output=True, text=True, timeout=WAIT_SECONDS, check=False,
            )  # fmt: skip
            assert 0 == producer.returncode, (producer.stderr, log.read_text())
            main.send_signal(signal.Signals[end])
            assert 0 == main.wait(WAIT_SECONDS), log.read_text()
        finally:
            main.kill()
    told = json.loads(producer.stdout)
    assert WORKERS == len(told)
    (main_id,) = in_table(server).keys() - told.keys()
    assert main_id.endswith(f"-{main.pid}")
    assert {**told, main_id: 7} == in_table(server)


def search_path(folder):
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


BILLIARD = """
from billiard import get_context


def work(number, queue):
    JOBS.inc(number)
    queue.put([client.worker_id] * number)


client = start()
JOBS.inc(7)
queue = multiprocessing.get_context("fork").SimpleQueue()
context = get_context("fork")
children = [context.Process(target=work, args=(number, queue)) for number in (1, 2, 3)]
for child in children:
    child.start()
worker_ids = sum((queue.get() for _ in children), [client.worker_id] * 7)
for child in children:
    child.join()
    assert child.exitcode == 0
tell(worker_ids)
"""


def test_billiard(server, tmp_path):
    """Processes of billiard, Celery's fork of multiprocessing, deliver without Celery."""
    pytest.importorskip("billiard", reason="billiard is not installed")
    told = run(server, tmp_path, BILLIARD)
    assert told == in_table(server)


GEVENT = (
    """
from gevent import monkey
monkey.patch_all()
"""
    + PREAMBLE.replace("init(", 'init(os.environ["SERVER_URL"], ')
    + """
import gevent

client = start()


def work():
    for _ in range(20):
        JOBS.inc()
        with metrics.track_job(job_type="greenlet"):
            gevent.sleep(0)


def work_in_greenlets():
    gevent.joinall([gevent.spawn(work) for _ in range(50)], raise_error=True)


work_in_greenlets()
result = metrics.flush()
assert (0, False) == (result.pending, result.timed_out), result
work_in_greenlets()
print(json.dumps(client.worker_id), flush=True)
"""
)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGTERM); gevent.sleep(600)", -signal.SIGTERM),
        ("gevent.spawn(os.kill, os.getpid(), signal.SIGTERM); gevent.wait()", -signal.SIGTERM),
        ("signal.raise_signal(signal.SIGTERM)", -signal.SIGTERM),
        ("if not gevent.os.fork(): work(); sys.exit()\nos.wait()", 0),
    ],
    ids=["end", "exit", "sleeping", "in the loop", "in a greenlet", "forked"],
)
def test_gevent(server, tmp_path, ending, code):
    """A monkey-patched program delivers from many greenlets, and at each kind of end."""
    pytest.importorskip("gevent", reason="gevent is not installed")
    path = tmp_path / "program.py"
    path.write_text(GEVENT + ending)
    result = subprocess.run(
        [sys.executable, str(path)], env=environment(server), capture_output=True, text=True,
        timeout=WAIT_SECONDS, check=False,
    )  # fmt: skip
    assert (code, "") == (result.returncode, result.stderr)
    values = in_table(server)
    assert 2 * 50 * 20 == values.pop(json.loads(result.stdout))
    assert ([20.0] if "fork" in ending else []) == list(values.values())
