"""A worker process that does some jobs within 0.2 s, and then ends or waits to be killed.

Usage: python worker.py URL WORKER_ID JOBS end|wait SPOOL_DIRECTORY
"""

from __future__ import annotations

import sys
import threading

import noetl_metrics_sdk as metrics

COMPONENT_NAME = "short-lived"
LIFE_SECONDS = 0.2
FLUSH_SECONDS = 60.0


def main(url: str, worker_id: str, jobs: str, ending: str, spool: str) -> None:
    client = metrics.init(
        url, COMPONENT_NAME, worker_id=worker_id, flush_interval=3_600.0, request_timeout=1.0,
        spool_directory=spool, system_metrics=(), self_metrics=False,
    )  # fmt: skip
    pause = threading.Event()
    for _ in range(int(jobs)):
        with metrics.track_job("http"):
            pause.wait(LIFE_SECONDS / int(jobs))
    if ending == "wait":
        # The server is away: what was collected waits on the disk.
        result = client.flush(0.0)
        while result.spooled < result.pending or not result.pending:
            result = client.flush(LIFE_SECONDS)
        print("on disk", flush=True)  # noqa: T201 - the test reads it
        pause.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
