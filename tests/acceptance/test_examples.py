"""Every example runs, and what it counts is in the table."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def run_example(server, name, *arguments):
    environment = {**os.environ, "NOETL_SERVER_URL": server.url}
    environment.pop("PYTHONWARNINGS", None)
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (0, "") == (result.returncode, result.stderr)
    return result.stdout


def last_values(server, metric_name):
    """Return the last value of each series of a metric, by its labels."""
    with psycopg.connect(server.database_url) as connection:
        rows = connection.execute(
            "SELECT labels, metric_value FROM noetl.metric WHERE metric_name = %s "
            "ORDER BY timestamp, metric_id",
            [metric_name],
        ).fetchall()
    return {tuple(sorted(labels.items())): value for labels, value in rows}


def test_the_thread_pool(server):
    """Forty jobs on four threads are counted, to the byte."""
    assert "40 jobs done" in run_example(server, "thread_pool.py")
    (series,) = last_values(server, "example_bytes_hashed_total").items()
    assert 40 * 1024 * 1024 == series[1]
    assert "lab" == dict(series[0])["site"]
    assert 40 == sum(last_values(server, "noetl_jobs_processed_total").values())


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_the_process_pool(server, start_method):
    """What the children have counted arrives, from each child under an id of its own."""
    assert "40 jobs done" in run_example(server, "process_pool.py", start_method)
    values = last_values(server, "example_bytes_compressed_total")
    assert 40 * 512 * 1024 == sum(values.values())
    jobs = last_values(server, "noetl_jobs_processed_total")
    assert 40 == sum(jobs.values())
    workers = {dict(labels)["worker_id"] for labels in jobs}
    assert len(workers) in {1, 2}  # one child may have taken all the jobs


def test_the_asyncio_worker(server):
    """Jobs that completed, failed and were cancelled are told apart."""
    assert "outcomes: 18 ok" in run_example(server, "asyncio_worker.py")
    outcomes = {
        (dict(labels)["status"], dict(labels)["exception"]): value
        for labels, value in last_values(server, "noetl_jobs_processed_total").items()
    }
    assert {
        ("completed", ""): 18.0,
        ("failed", "ConnectionError"): 1.0,
        ("cancelled", ""): 1.0,
    } == outcomes
    in_progress = last_values(server, "noetl_jobs_in_progress")
    assert [0.0] == list(in_progress.values())
