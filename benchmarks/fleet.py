"""A fleet of workers against one server and one PostgreSQL: what they wait for, and what they take.

Usage: ./scripts/bench fleet [--workers N] [--seconds N] [--interval N] [--json FILE]

A tenth of the workers are measured first, against a server and a database of their own. Each
worker keeps its connection, sends 100 changed samples every 15 seconds, and a tenth of them
restart meanwhile.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil
import psycopg
from started_server import server_command, started_server
from tables import OURS, Report, arguments, introduce, publish

from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.postgresql.schema import apply_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKERS = Path(__file__).with_name("simulated_workers.py")
TABLE_BYTES = """
SELECT sum(pg_total_relation_size(inhrelid)), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')
FROM pg_inherits WHERE inhparent = 'noetl.metric'::regclass
"""
ROWS = """
SELECT count(*) FROM noetl.metric WHERE metric_name LIKE 'noetl\\_fleet\\_%'
"""


class Taken(NamedTuple):
    """What the server and PostgreSQL have taken since they began."""

    clock_seconds: float
    server_cpu_seconds: float
    postgresql_cpu_seconds: float
    server_bytes: int
    postgresql_bytes: int
    disk_bytes: int
    log_bytes: int


class Measured(NamedTuple):
    """The figures of a fleet."""

    latencies: list[float]
    statuses_at_start: Mapping[str, int]
    statuses: Mapping[str, int]
    samples: int
    before: Taken
    after: Taken
    connection_bytes: float


def processes_of(root: psutil.Process) -> list[psutil.Process]:
    return [root, *root.children(recursive=True)]


def cpu_seconds(root: psutil.Process) -> float:
    """Return what a process, its children, and those that have ended, have taken."""
    total = 0.0
    for process in processes_of(root):
        # One of PostgreSQL's own may have ended since; then it counts with its parent.
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def private_bytes(root: psutil.Process) -> int:
    """Return the memory of a process and its children, with their shares of what they share."""
    total = 0
    for process in processes_of(root):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total


class Site:
    """A server and its database, in processes of their own.

    Args:
        url: the database's.
    """

    def __init__(self, url: str) -> None:
        self._database = psycopg.connect(url, autocommit=True)
        (row,) = self._database.execute("SELECT pg_backend_pid()").fetchall()
        postmaster = psutil.Process(row[0]).parent()
        assert postmaster is not None
        self._postmaster = postmaster
        (self._server,) = [
            child for child in psutil.Process().children() if "server_stub" in child.cmdline()
        ]

    def taken(self) -> Taken:
        """Return what both have taken."""
        (row,) = self._database.execute(TABLE_BYTES).fetchall()
        return Taken(
            time.perf_counter(), cpu_seconds(self._server), cpu_seconds(self._postmaster),
            private_bytes(self._server), private_bytes(self._postmaster), int(row[0]), int(row[1]),
        )  # fmt: skip

    def server_bytes(self) -> int:
        """Return the server's memory."""
        return private_bytes(self._server)

    def rows(self) -> int:
        """Return how many samples of the workers are stored."""
        (row,) = self._database.execute(ROWS).fetchall()
        return int(row[0])

    def close(self) -> None:
        """Close the connection to the database."""
        self._database.close()


def measure(workers: int, seconds: int, interval: int) -> Measured:
    """Have a fleet report to a server of its own; every acknowledged sample has to be stored."""
    with embedded_database(None) as url:
        apply_schema(url)
        with started_server(server_command(url)) as port:
            site = Site(url)
            command = [sys.executable, str(WORKERS), *map(str, (port, workers, interval, seconds))]
            with subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as simulated:
                without_connections = site.server_bytes()
                _step(simulated)
                connection_bytes = (site.server_bytes() - without_connections) / workers
                begun = _step(simulated)
                before = site.taken()
                found = _step(simulated)
                after = site.taken()
            samples = begun["samples"] + found["samples"]
            stored = site.rows()
            site.close()
    if stored != samples:
        raise RuntimeError(f"{samples} samples were acknowledged, and {stored} are stored")
    return Measured(
        found["latencies"],
        begun["statuses"],
        found["statuses"],
        found["samples"],
        before,
        after,
        connection_bytes,
    )


def _step(simulated: subprocess.Popen[str]) -> dict[str, Any]:
    assert simulated.stdin is not None
    assert simulated.stdout is not None
    print(file=simulated.stdin, flush=True)
    line = simulated.stdout.readline()
    if not line:
        raise RuntimeError("the simulated workers have ended")
    found: dict[str, Any] = json.loads(line)
    return found


def figures(measured: Measured) -> dict[tuple[str, str], dict[str, float]]:
    """Return the rows of each table, by its title and unit."""
    before, after = measured.before, measured.after
    seconds = after.clock_seconds - before.clock_seconds
    hundredths = statistics.quantiles(measured.latencies, n=100)
    return {
        ("From the moment a batch is due to its answer", "ms"): {
            "median": hundredths[49] * 1e3,
            "99 of 100": hundredths[98] * 1e3,
            "the longest": max(measured.latencies) * 1e3,
        },
        ("What is sent", "numbers"): {
            "samples a second": measured.samples / seconds,
            "batches": len(measured.latencies),
            "restarts": measured.statuses["restart 200"],
        },
        ("Processor", "% of one core"): {
            "server": 100 * (after.server_cpu_seconds - before.server_cpu_seconds) / seconds,
            "PostgreSQL": (
                100 * (after.postgresql_cpu_seconds - before.postgresql_cpu_seconds) / seconds
            ),
        },
        ("Memory", "MiB"): {
            "server": after.server_bytes / 2**20,
            "PostgreSQL": after.postgresql_bytes / 2**20,
        },
        ("What one more takes", "bytes"): {
            "of the server's memory, a connection": measured.connection_bytes,
            "on disk, a sample": (after.disk_bytes - before.disk_bytes) / measured.samples,
            "of write-ahead log, a sample": (after.log_bytes - before.log_bytes) / measured.samples,
        },
    }


def main() -> None:
    options = arguments(__doc__, workers=5000, seconds=60, interval=15)
    introduce()
    few = max(options.workers // 10, 2)
    measured = {}
    for workers in (few, options.workers):
        found = measure(workers, options.seconds, options.interval)
        print(f"{workers:,} workers, answers at the start: {found.statuses_at_start}")
        print(f"{workers:,} workers, answers: {found.statuses}")
        measured[workers] = figures(found)
    of_few, of_all = measured[few], measured[options.workers]
    reports = []
    for (title, unit), rows in of_all.items():
        report = Report(f"{options.workers:,} workers: {title}", unit)
        for row, figure in rows.items():
            report.add(row, {OURS: figure, f"{few:,} workers": of_few[title, unit][row]})
        reports.append(report)
    publish(reports, options.json)


if __name__ == "__main__":
    main()
