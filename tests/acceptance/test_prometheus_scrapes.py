"""The real Prometheus scrapes the server and a worker; PromQL answers with the recorded values."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.ports import free_port
from tests.prometheus import needs_prometheus, running_prometheus

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.prometheus import Prometheus
    from tests.server_process import ServerProcess

pytestmark = [pytest.mark.once, needs_prometheus]

DEADLINE_SECONDS = 60.0
# Pushes to a server, and serves a page of its own.
WORKER = """
import sys
from wsgiref.simple_server import make_server
from noetl_metrics_sdk import Counter, Gauge, Histogram, MetricsClient, Summary, make_wsgi_app

Counter("jobs", "Jobs done", ["queue"]).labels('a"\\\\\\n\\u00fc').inc(7)
Gauge("queue_bytes", "What waits", unit="bytes").set(-1.5)
seconds = Histogram("job_seconds", "How long", unit="seconds", buckets=[0.1, 1, 1e6])
wait = Summary("wait_seconds", "How long", unit="seconds")
for value in (0.05, 0.5, 0.5, 3.0):
    seconds.observe(value)
    wait.observe(value)
url, port = sys.argv[1:]
with MetricsClient(url, "cpu-01", worker_id="w1", system_metrics=()) as client:
    client.flush()
    with make_server("127.0.0.1", int(port), make_wsgi_app()) as server:
        server.serve_forever()
"""
RECORDED = {
    'jobs_total{queue="a\\"\\\\\\nü"}': 7.0,
    "queue_bytes": -1.5,
    'job_seconds_bucket{le=~"0.1"}': 1.0,
    'job_seconds_bucket{le=~"1|1.0"}': 3.0,
    'job_seconds_bucket{le="1e+06"}': 4.0,
    'job_seconds_bucket{le="+Inf"}': 4.0,
    "job_seconds_sum": 4.05,
    "job_seconds_count": 4.0,
    "wait_seconds_sum": 4.05,
    "wait_seconds_count": 4.0,
}
APPROXIMATE = {'wait_seconds{quantile="0.5"}': 0.5}


@contextmanager
def running_worker(server_url: str, folder: Path) -> Generator[int]:
    """Run a worker while the block runs; yield the port of its page."""
    (folder / "worker.py").write_text(WORKER)
    port = free_port()
    environment = {name: text for name, text in os.environ.items() if not name.startswith("NOETL_")}
    with (folder / "worker.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(folder / "worker.py"), server_url, str(port)],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/").raise_for_status()
                break
            except httpx.TransportError:
                log_text = (folder / "worker.log").read_text()
                assert process.poll() is None, log_text
                assert time.monotonic() < deadline, log_text
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def answered(prometheus: Prometheus, promql: str) -> list[dict[str, Any]]:
    """Return the result of a query as soon as it has one."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not (result := prometheus.query(promql)):
        targets = prometheus.get("/api/v1/targets").text
        assert time.monotonic() < deadline, (promql, targets)
        time.sleep(0.1)
    return result


def test_prometheus_scrapes_the_server_and_a_worker(server: ServerProcess, tmp_path: Path) -> None:
    """Counters, gauges, buckets and quantiles of both come back as recorded, with their types."""
    with running_worker(server.url, tmp_path) as port:
        jobs: list[dict[str, Any]] = [
            {"job_name": "server", "static_configs": [{"targets": [server.url[7:]]}],
             "params": {"component_name": ["cpu-01"]}},
            {"job_name": "worker", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]},
        ]  # fmt: skip
        with running_prometheus(tmp_path, scrape_configs=jobs) as prometheus:
            for job in ("server", "worker"):
                (up,) = answered(prometheus, f'up{{job="{job}"}} == 1')
                assert job == up["metric"]["job"]
                for selector, value in (RECORDED | APPROXIMATE).items():
                    name, brace, rest = selector.partition("{")
                    scoped = f'{name}{{job="{job}"{"," + rest if brace else "}"}'
                    (found,) = answered(prometheus, scoped)
                    tolerance = 0.03 if selector in APPROXIMATE else 1e-12
                    assert pytest.approx(value, rel=tolerance) == float(found["value"][1]), scoped
            median = 'histogram_quantile(0.5, job_seconds_bucket{job="worker"})'
            (quantile,) = answered(prometheus, median)
            assert pytest.approx(0.55) == float(quantile["value"][1])
            (pushed,) = answered(prometheus, 'queue_bytes{job="server"}')
            assert "cpu-01" == pushed["metric"]["component"]
            assert "w1" == pushed["metric"]["worker_id"]
            (scraped,) = answered(prometheus, 'queue_bytes{job="worker"}')
            assert {"__name__", "instance", "job"} == set(scraped["metric"])
            described = prometheus.get("/api/v1/targets/metadata").json()["data"]
            found_of = {(it["target"]["job"], it["metric"]): it for it in described}
            # The text format has no units, so Prometheus scraped OpenMetrics.
            for job in ("server", "worker"):
                it = found_of[job, "queue_bytes"]
                assert ("gauge", "bytes", "What waits") == (it["type"], it["unit"], it["help"])
                assert "histogram" == found_of[job, "job_seconds"]["type"]
                assert "summary" == found_of[job, "wait_seconds"]["type"]
