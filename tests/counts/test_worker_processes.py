"""What short-lived, restarted and killed worker processes have done is in the charts."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.counts.worker import COMPONENT_NAME, LIFE_SECONDS
from tests.peer_program import PLAIN_HTTP
from tests.ports import free_port
from tests.server_process import start_server

if TYPE_CHECKING:
    from tests.server_process import ServerProcess

PROGRAM = Path(__file__).parent / "worker.py"
WAIT_SECONDS = 60
JOBS = 45
PROCESSED = "noetl_jobs_processed_total"
DURATION = "noetl_job_duration_seconds"


def begin(url: str, worker_id: str, jobs: int, ending: str, spool: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROGRAM), url, worker_id, str(jobs), ending, str(spool)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=WAIT_SECONDS)
    return process.returncode


def chart(server: ServerProcess, name: str, aggregation: str, **asked: Any) -> dict[str, Any]:
    """Return the points of a metric by `worker_id`, around now."""
    parameters: dict[str, Any] = {
        "metric_name": name, "aggregation": aggregation, "component_name": COMPONENT_NAME,
        "group_by": "worker_id", "start_time": time.time() - 300, "end_time": time.time() + 60,
    } | asked  # fmt: skip
    answer = httpx.get(f"{server.url}/api/metrics/series", params=parameters, verify=PLAIN_HTTP)
    assert answer.is_success, answer.text
    return {
        curve["labels"].get("worker_id", ""): [value for _, value in curve["points"]]
        for curve in answer.json()["series"]
    }


def test_workers_that_live_for_a_moment_are_seen(server: ServerProcess, tmp_path: Path) -> None:
    """Three workers do 45 jobs each and end before any collection; every chart shows them."""
    workers = [begin(server.url, f"w-{number}", JOBS, "end", tmp_path) for number in range(3)]
    assert [0, 0, 0] == [end(worker) for worker in workers]
    names = [f"w-{number}" for number in range(3)]
    for step in (0.2, 7, 60, 3_600):
        increases = chart(server, PROCESSED, "increase", step=step)
        assert dict.fromkeys(names, JOBS) == {name: sum(increases[name]) for name in increases}
        rates = chart(server, PROCESSED, "rate", step=step)
        counted = {name: round(sum(rates[name]) * step, 6) for name in rates}
        assert dict.fromkeys(names, JOBS) == counted
    (medians,) = chart(server, DURATION, "quantile", quantile=0.5, step=3_600, group_by="").values()
    assert 0 < medians[-1] < 10 * LIFE_SECONDS


@pytest.mark.once
def test_killed_workers_with_a_spool_are_seen(database_url: str, tmp_path: Path) -> None:
    """A worker is killed and begins anew under its `worker_id` while there is no server; the last
    one delivers for all, and the chart shows every job that was on the disk."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    for jobs in (JOBS, 30, JOBS + 5):
        worker = begin(url, "w", jobs, "wait", tmp_path)
        assert worker.stdout is not None
        assert "on disk\n" == worker.stdout.readline()
        worker.kill()
        worker.communicate()
    server = start_server(database_url, f"--port={port}")
    try:
        assert 0 == end(begin(url, "w", 20, "end", tmp_path))
        for step in (0.2, 7, 60, 3_600):
            (found,) = chart(server, PROCESSED, "increase", step=step).values()
            assert JOBS + 30 + JOBS + 5 + 20 == sum(found)
    finally:
        server.stop()
        server.process.communicate()
