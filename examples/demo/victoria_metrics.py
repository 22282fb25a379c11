"""Run a VictoriaMetrics for the demo, and query it by PromQL."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import psycopg

START_SECONDS = 60.0
EXPORT_SECONDS = 60.0


@contextmanager
def running_victoria_metrics(data_directory: str) -> Generator[str]:
    """Run a VictoriaMetrics while the block runs, and give its address.

    Args:
        data_directory: the folder for its data and its log.
    """
    program = shutil.which("victoria-metrics")
    if program is None:
        raise SystemExit(
            "victoria-metrics is not installed: apt-get install victoria-metrics on Debian, or see "
            "https://docs.victoriametrics.com"
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(data_directory)
    command = [
        program,
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={folder / 'victoria-metrics'}",
        # After a kill the server may send samples again. Of samples with the same series and time
        # VictoriaMetrics then counts one.
        "-dedup.minScrapeInterval=1ms",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "victoria-metrics.log").open("a") as log:
        process = subprocess.Popen(  # noqa: S603 - found on the path by its name
            command, stdout=log, stderr=log, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Wait until VictoriaMetrics answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/health").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("victoria-metrics does not start: see victoria-metrics.log")


def wait_for_export(connection: psycopg.Connection, url: str) -> None:
    """Wait until every row that is in the table now is exported, and queries find it."""
    ((last,),) = connection.execute("SELECT max(metric_id) FROM noetl.metric").fetchall()
    deadline = time.monotonic() + EXPORT_SECONDS
    while time.monotonic() < deadline:
        found = connection.execute(
            "SELECT FROM noetl.metric_export WHERE acknowledged >= %s", (last,)
        ).fetchall()
        if found:
            show_what_was_written(url)
            return
        time.sleep(0.1)
    raise SystemExit("the export does not come to its end: see server.log")


def show_what_was_written(url: str) -> None:
    """Have queries find what VictoriaMetrics has taken but not yet made searchable."""
    httpx.get(f"{url}/internal/force_flush", timeout=30).raise_for_status()


def totals(
    url: str,
    component: str,
    metric_names: Sequence[str],
    worker_ids: Sequence[str],
    function: str,
) -> dict[str, float]:
    """Return the sum of a function of all series by job type and outcome, as PromQL has it.

    Args:
        url: the address of VictoriaMetrics.
        component: the worker pool's name.
        metric_names: the names of the metrics to add up.
        worker_ids: the `worker_id` of each process whose series are added up.
        function: `last_over_time` for the last values, `increase` for the growth of the last hour.
    """
    found: dict[str, float] = {}
    for metric_name in metric_names:
        selector = (
            f'{metric_name}{{component="{component}",worker_id=~"{"|".join(worker_ids)}"}}[1h]'
        )
        query = f"sum by (job_type, status, exception) ({function}({selector}))"
        answer = httpx.post(f"{url}/api/v1/query", data={"query": query, "nocache": "1"})
        for series in answer.raise_for_status().json()["data"]["result"]:
            labels = [
                series["metric"].get(name, "") for name in ("job_type", "status", "exception")
            ]
            found["/".join([metric_name, *labels])] = float(series["value"][1])
    return found
