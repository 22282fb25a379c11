"""The main job as a whole: worker processes, the real server, a real PostgreSQL, every sample."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter as Tally
from pathlib import Path

import psycopg
import pytest

WORKER_PROGRAM = Path(__file__).parent / "worker_program.py"
WORKERS = 3


@pytest.fixture
def ledgers(server, tmp_path):
    """Run the workers; return the ledger of each."""
    files = [tmp_path / f"ledger-{seed}.json" for seed in range(WORKERS)]
    workers = [
        subprocess.Popen([sys.executable, str(WORKER_PROGRAM), server.url, str(file), str(seed)])
        for seed, file in enumerate(files)
    ]
    assert [0] * WORKERS == [worker.wait(timeout=90) for worker in workers]
    return [json.loads(file.read_text(encoding="utf-8")) for file in files]


def rows_of(server, condition):
    query = f"""
        SELECT m.labels, metric_name, metric_type, metric_value, help_text, unit,
            extract(epoch FROM timestamp)::float8, component_type, name
        FROM noetl.metric AS m JOIN noetl.runtime AS r USING (runtime_id)
        WHERE name = 'accepted-pool' AND {condition}
        ORDER BY timestamp, metric_id
    """
    with psycopg.connect(server.database_url) as connection:
        return connection.execute(query).fetchall()


def last_values(rows):
    """Return the last value of each series; a cumulative value must never have gone back."""
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for labels, name, metric_type, value, *_ in rows:
        key = (name, tuple(sorted(labels.items())))
        if metric_type == "counter":
            assert value >= values.get(key, 0.0)
        values[key] = value
    return values


def shown(labels):
    """Return labels in an order; an empty label is no label."""
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def test_every_sample_is_in_the_table_once_as_it_was_recorded(server, ledgers):
    """Each recorded sample is one row, with its name, type, value, labels, time, help and unit."""
    recorded = Tally(
        (
            shown({**s["labels"], "site": "test", "worker_id": le["worker_id"]}),
            s["name"], s["metric_type"], repr(s["value"]), s["help_text"], s["unit"],
            s["timestamp"], "worker_pool", "accepted-pool",
        )
        for le in ledgers
        for s in le["recorded"]
    )  # fmt: skip
    in_table = Tally(
        (shown(labels), name, metric_type, repr(value), *others)
        for labels, name, metric_type, value, *others in rows_of(
            server, "metric_name LIKE 'recorded%'"
        )
    )
    assert WORKERS * 3 * 400 == sum(recorded.values())
    assert Tally() == in_table - recorded
    assert Tally() == recorded - in_table


def test_the_sums_in_the_table_are_what_the_jobs_did(server, ledgers):
    """Counters, histograms, summaries and job metrics add up to the work that the jobs did."""
    values = last_values(rows_of(server, "metric_name NOT LIKE 'recorded%'"))

    def total(name, **labels):
        return sum(
            value
            for (series, own), value in values.items()
            if series == name and labels.items() <= dict(own).items()
        )

    rows = sum(ledger["tally"]["rows"] for ledger in ledgers)
    jobs = sum(ledger["tally"]["jobs"] for ledger in ledgers)
    seconds = sum(ledger["tally"]["seconds"] for ledger in ledgers)
    assert rows == total("accepted_rows_total")
    assert jobs == total("accepted_seconds_count")
    assert seconds == total("accepted_seconds_sum")
    assert jobs == total("accepted_seconds_bucket", le="+Inf")
    assert rows == total("accepted_size_sum")
    assert jobs == total("noetl_jobs_processed_total", status="completed")
    assert jobs == total("noetl_job_duration_seconds_count")
    assert 0 == total("noetl_jobs_in_progress")
    assert 0.5 + 1.5 + 2.5 == total("accepted_level")


def test_what_a_worker_counts_as_sent_is_what_the_table_has(server, ledgers):
    """The SDK's own ledger agrees with the table row for row, and no sample was dropped."""
    assert [({}, 0)] * WORKERS == [(ledger["dropped"], ledger["pending"]) for ledger in ledgers]
    assert len(rows_of(server, "true")) == sum(ledger["sent"] for ledger in ledgers)


def test_the_workers_of_a_pool_share_a_runtime_and_keep_their_series_apart(server, ledgers):
    """The pool has one runtime, and each process has its own worker_id."""
    with psycopg.connect(server.database_url) as connection:
        runtimes = connection.execute(
            "SELECT count(*) FROM noetl.runtime WHERE name = 'accepted-pool'"
        ).fetchone()
    worker_ids = {labels["worker_id"] for labels, *_ in rows_of(server, "true")}
    assert (1,) == runtimes
    assert worker_ids == {ledger["worker_id"] for ledger in ledgers}
