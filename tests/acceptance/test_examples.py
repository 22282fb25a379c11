"""Every example runs, and the table has what it counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


def run_example(server, name, *arguments):
    ours = {name: value for name, value in os.environ.items() if not name.startswith("NOETL_")}
    environment = {**ours, "NOETL_SERVER_URL": server.url}
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
    """The table has the forty jobs of four threads, to the byte."""
    assert "40 jobs done" in run_example(server, "thread_pool.py")
    (series,) = last_values(server, "example_bytes_hashed_total").items()
    assert 40 * 1024 * 1024 == series[1]
    assert "lab" == dict(series[0])["site"]
    assert 40 == sum(last_values(server, "noetl_jobs_processed_total").values())


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
def test_the_process_pool(server, start_method):
    """Each child's counts arrive, under an id of its own."""
    assert "40 jobs done" in run_example(server, "process_pool.py", start_method)
    values = last_values(server, "example_bytes_compressed_total")
    assert 40 * 512 * 1024 == sum(values.values())
    jobs = last_values(server, "noetl_jobs_processed_total")
    assert 40 == sum(jobs.values())
    workers = {dict(labels)["worker_id"] for labels in jobs}
    assert len(workers) in {1, 2}  # one child may have taken all the jobs


def test_the_asyncio_worker(server):
    """The table tells completed, failed and cancelled jobs apart."""
    assert "outcomes: 18 ok" in run_example(server, "asyncio_worker.py")
    outcomes = {
        (dict(labels)["status"], dict(labels).get("exception", "")): value
        for labels, value in last_values(server, "noetl_jobs_processed_total").items()
    }
    assert {
        ("completed", ""): 18.0,
        ("failed", "ConnectionError"): 1.0,
        ("cancelled", ""): 1.0,
    } == outcomes
    in_progress = last_values(server, "noetl_jobs_in_progress")
    assert [0.0] == list(in_progress.values())


def test_the_noetl_worker(server):
    """The table has the commands by tool and outcome, of the pool that NoETL's defaults name."""
    assert "9 commands completed, 1 failed" in run_example(server, "noetl_worker.py")
    jobs = {
        (dict(labels)["job_type"], dict(labels)["status"], dict(labels).get("exception", "")): value
        for labels, value in last_values(server, "noetl_jobs_processed_total").items()
        if dict(labels)["job_type"] in {"postgres", "http"}
    }
    assert 6.0 == jobs["postgres", "completed", ""]
    assert 1.0 == jobs["http", "failed", "ToolError"]
    rows = last_values(server, "example_noetl_rows_total")
    assert {"postgres": 600.0, "http": 3.0} == {
        dict(labels)["tool"]: value for labels, value in rows.items()
    }
    with psycopg.connect(server.database_url) as connection:
        names = connection.execute(
            "SELECT DISTINCT r.name FROM noetl.metric JOIN noetl.runtime AS r USING (runtime_id) "
            "WHERE metric_name = 'example_noetl_rows_total'"
        ).fetchall()
    assert [("worker-cpu",)] == names


def test_the_opentelemetry_worker(server):
    """The table has what a program counts by OpenTelemetry, under the names of Prometheus."""
    assert "10 jobs done" in run_example(server, "opentelemetry_worker.py")
    (orders,) = last_values(server, "example_orders_imported_total").items()
    assert 100 == orders[1]
    assert {
        "otel_scope_name": "example.orders", "otel_scope_version": "1.0", "service_name": "shop",
        "http_method": "GET",
    }.items() <= dict(orders[0]).items()  # fmt: skip
    assert [0] == list(last_values(server, "example_orders_waiting").values())
    assert [10] == list(last_values(server, "example_import_duration_seconds_count").values())
    buckets = last_values(server, "example_import_duration_seconds_bucket")
    assert 10 == buckets[next(labels for labels in buckets if ("le", "+Inf") in labels)]


def test_the_prometheus_client_worker(server):
    """The table has every type of prometheus_client, and no time of creation."""
    assert "10 jobs done" in run_example(server, "prometheus_client_worker.py")

    def values(name, label=None):
        found = last_values(server, name).items()
        return {dict(labels).get(label, ""): value for labels, value in found}

    assert {"old": 50, "new": 50} == values("example_orders_total", "kind")
    assert {"": 0} == values("example_orders_waiting")
    assert {"": 10} == values("example_import_seconds_count")
    assert 10 == values("example_import_seconds_bucket", "le")["+Inf"]
    assert {"": 10_000} == values("example_order_bytes_sum")
    assert {"1.0": 1} == values("example_build_info", "version")
    assert {"starting": 0, "working": 1} == values("example_state", "example_state")
    with psycopg.connect(server.database_url) as connection:
        types = connection.execute(
            "SELECT DISTINCT metric_name, metric_type FROM noetl.metric "
            "WHERE metric_name LIKE 'example%' AND metric_name NOT LIKE '%bucket'"
        ).fetchall()
    assert {
        ("example_orders_total", "counter"), ("example_orders_waiting", "gauge"),
        ("example_import_seconds_count", "histogram"), ("example_import_seconds_sum", "histogram"),
        ("example_order_bytes_count", "summary"), ("example_order_bytes_sum", "summary"),
        ("example_build_info", "gauge"), ("example_state", "gauge"),
    } == set(types)  # fmt: skip
