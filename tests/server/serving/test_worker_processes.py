"""Several worker processes: one socket, one ready line, and a new worker for each killed one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import psycopg
import pytest

from tests.server.application import sample
from tests.server_process import READY, start_server

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.server_process import ServerProcess

BATCHES_PER_CLIENT = 60
ROWS_PER_BATCH = 3
PROGRAM = """
import logging, multiprocessing, os, signal, sys, threading, time
from server_stub.errors import StartupError
from server_stub.serving.worker_processes import WorkerProcesses

def serve(number, on_ready):
    {serve}

said = []
logger = logging.getLogger("server_stub.serving.worker_processes")
logger.addFilter(lambda record: said.append(record.getMessage()) or True)
forgotten = []
jumped = []  # from the ready line on, the clock of the parent is a thousand seconds ahead
are_ready = multiprocessing.get_context("fork").Event()
clock = lambda: time.monotonic() + 1_000 * len(jumped)

def say_ready():
    print("ready", flush=True)
    are_ready.set()
    if {jumps}:
        jumped.append(time.monotonic())

workers = WorkerProcesses(2, serve, forgotten.append, clock, {silent_seconds_max})
try:
    workers.run(say_ready, lambda: {is_stopping})
except StartupError as error:
    print(error)
"""


@pytest.fixture
def server(database_url: str) -> Generator[ServerProcess]:
    """A server of three worker processes, which has to end with code 0."""
    running = start_server(database_url, "--workers=3")
    try:
        yield running
        assert 0 == running.stop()
    finally:
        running.process.kill()
        running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


def insert_until_taken(url: str, body: dict[str, Any], key: str) -> None:
    """Insert a batch as a client does: again under its key until the server answers."""
    while True:
        try:
            answer = httpx.post(
                f"{url}/api/metrics", json=body, headers={"Idempotency-Key": key}, timeout=30
            )
        except httpx.TransportError:
            continue
        if answer.status_code != 503:
            assert 200 == answer.status_code, answer.text
            return


def test_a_killed_worker_costs_no_batch(server: ServerProcess) -> None:
    """While one of three workers is killed, the others go on; the parent replaces it, and every
    batch of every client is in the table once."""
    registered = httpx.post(f"{server.url}/api/runtime/register", json={"name": "cpu-01"}).json()
    half_way = threading.Barrier(3)

    def insert_all(client: int) -> None:
        for number in range(1, BATCHES_PER_CLIENT + 1):
            name = f"batch_{client}_{number}"
            metrics = [sample(metric_name=name, metric_value=row) for row in range(ROWS_PER_BATCH)]
            body = {"runtime_id": registered["runtime_id"], "metrics": metrics}
            if number == BATCHES_PER_CLIENT // 2:
                half_way.wait()
            insert_until_taken(server.url, body, f"boot-{client}:{number}")

    clients = [threading.Thread(target=insert_all, args=(client,)) for client in range(2)]
    for client in clients:
        client.start()
    half_way.wait()
    before = workers_of(server.process)
    before[0].kill()
    for client in clients:
        client.join()
    with psycopg.connect(server.database_url) as connection:
        rows = connection.execute(
            "SELECT count(*), count(DISTINCT (metric_name, metric_value)) FROM noetl.metric"
            " WHERE metric_name LIKE 'batch%'"
        ).fetchone()
    assert (2 * BATCHES_PER_CLIENT * ROWS_PER_BATCH,) * 2 == rows
    psutil.wait_procs(before[:1])
    while len(after := workers_of(server.process)) < 3:
        assert server.process.poll() is None
    assert set(before[1:]) < set(after)


def test_workers_end_with_their_parent(database_url: str) -> None:
    """Workers whose parent was killed end by themselves, in order."""
    running = start_server(database_url, "--workers=2")
    workers = workers_of(running.process)
    assert 2 == len(workers)
    running.process.kill()
    running.process.wait()
    assert running.process.stdout is not None
    running.process.stdout.close()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert [] == alive


@pytest.mark.parametrize(("number", "embedded"), [(signal.SIGINT, True), (signal.SIGHUP, False)])
def test_workers_and_their_database_end_in_order(
    database_url: str, number: signal.Signals, embedded: bool
) -> None:
    """A signal to the whole group, as a terminal sends it, ends the parent with code 0, after its
    workers and an embedded PostgreSQL, and there was one ready line."""
    flags = [] if embedded else [f"--database-url={database_url}"]
    with subprocess.Popen(
        [sys.executable, "-m", "server_stub", "--port=0", "--workers=2", *flags],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline(), process.stdout.readline()]
            assert lines[1].startswith(READY)
            descendants = psutil.Process(process.pid).children(recursive=True)
            assert len(descendants) >= 2
            os.killpg(process.pid, number)
            assert 0 == process.wait(60)
            assert "" == process.stdout.read()
        finally:
            process.kill()
    assert [] == [each for each in descendants if each.is_running()]


def test_every_worker_reports_its_own_series(database_url: str) -> None:
    """The workers are one component, and each worker's counts are series of their own."""
    running = start_server(database_url, "--workers=2")
    pids = {str(worker.pid) for worker in workers_of(running.process)}
    assert 0 == running.stop()
    assert running.process.stdout is not None
    running.process.stdout.close()
    with psycopg.connect(database_url) as connection:
        reported = connection.execute(
            "SELECT DISTINCT runtime_id, labels ->> 'worker_id' FROM noetl.metric"
        ).fetchall()
    assert 1 == len({runtime_id for runtime_id, _ in reported})
    assert pids == {worker_id.rsplit("-", 1)[1] for _, worker_id in reported}


def run_program(
    serve: str, is_stopping: str = "False", silent_seconds_max: float = 20.0, *, jumps: bool = False
) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(
        serve=serve, is_stopping=is_stopping, silent_seconds_max=silent_seconds_max, jumps=jumps
    )
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


def test_a_worker_that_cannot_start_ends_the_server() -> None:
    """If a worker ends before all have served, the parent ends too, and says the code."""
    ended = run_program("sys.exit(3)")
    assert "ended with code 3 before it took requests" in ended.stdout
    assert "ready" not in ended.stdout


def test_a_worker_that_keeps_ending_is_replaced_ever_later() -> None:
    """The pause before a replacement doubles each time."""
    ended = run_program(
        "on_ready(); are_ready.wait(); sys.exit(4)",
        'any("in 0.4 s" in message for message in said)',
    )
    assert 0 == ended.returncode, ended.stderr
    assert ended.stdout == "ready\n"
    pauses = [line.rsplit(" in ", 1)[1] for line in ended.stderr.splitlines() if "code 4" in line]
    assert ["0.1 s", "0.2 s", "0.4 s"] == sorted(set(pauses))


# A worker that says so twenty times a second; the first of number 1 does something else.
BEATING = """
    while True:
        on_ready()
        time.sleep(0.05)
        if number == 1 and are_ready.is_set() and not forgotten:
            {instead}
"""


REPLACED = (
    "forgotten and all(worker.is_ready and not worker.replaced_at for worker in workers._workers)"
)


@pytest.mark.parametrize(
    "instead",
    [
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "time.sleep(1_000)",  # it hangs, and could still be interrupted
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); threading.Event().wait()",
    ],
)
def test_a_worker_that_is_silent_is_replaced(instead: str) -> None:
    """A worker that is stopped or hangs is killed and replaced; the other one goes on."""
    serve = "pass" + BEATING.format(instead=instead)
    ended = run_program(serve, REPLACED, 2.0)
    assert 0 == ended.returncode, ended.stderr
    assert 1 == ended.stderr.count("was silent for")
    assert "worker process 1 " in ended.stderr
    assert "ended with code -9 and is replaced" in ended.stderr
    assert "worker process 0 " not in ended.stderr


def test_a_parent_that_has_slept_kills_no_worker() -> None:
    """If the parent was stopped as well, or the machine slept, the parent has heard nothing of its
    workers meanwhile, which says nothing of them."""
    # The parent is woken by the other worker's sign.
    serve = "pass" + BEATING.format(instead="time.sleep(1)")
    is_stopping = "jumped and time.monotonic() - jumped[0] > 1.0"
    ended = run_program(serve, is_stopping, silent_seconds_max=4.0, jumps=True)
    assert (0, "") == (ended.returncode, ended.stderr)
