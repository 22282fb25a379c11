"""A worker forks while its client is still starting."""

from __future__ import annotations

import subprocess
import sys

import psycopg

PROGRAM = """
import os, sys, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
import noetl_metrics_sdk as metrics

JOBS = metrics.Counter("early_jobs", "Jobs", ["n"])
metrics.init(sys.argv[1], "early-pool", system_metrics=())
children = []
for number in range(10):
    pid = os.fork()
    if pid == 0:
        JOBS.labels(number).inc()
        sys.exit()
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_children_forked_right_after_the_start_deliver(server):
    """Each child delivers, whatever the threads of its parent were doing at the fork."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, server.url],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (0, "") == (result.returncode, result.stderr)
    with psycopg.connect(server.database_url) as connection:
        rows = connection.execute(
            "SELECT labels ->> 'n', metric_value FROM noetl.metric "
            "WHERE metric_name = 'early_jobs_total' ORDER BY 1, timestamp, metric_id"
        ).fetchall()
    assert [(str(number), value) for number in range(10) for value in (0.0, 1.0)] == rows
