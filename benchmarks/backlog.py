"""How fast a server exports a long backlog of many series, beside a short one of few.

Usage: ./scripts/bench backlog [--rows N] [--series N] [--rounds N] [--json FILE]

The receiver is one of this benchmark, as it takes both versions of remote write and costs the same
for both. It reads each request by protobuf and counts the samples.
"""

from __future__ import annotations

import http.client
import re
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
from started_server import server_command, started_server
from stored_day import SERIES_OF_A_RUNTIME, store_day
from tables import OURS, Report, arguments, introduce, publish

from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.postgresql.schema import apply_schema

RECEIVER = Path(__file__).with_name("remote_write_receiver.py")
VERSIONS = ("1.0", "2.0")
FEW_ROWS_SHARE, FEW_SERIES_SHARE = 33, 10
"""The short backlog has so many times fewer rows and series than the long one."""

LOOK_SECONDS = 0.01


class Exported(NamedTuple):
    """How fast a backlog went, and the most memory that the server had."""

    samples_per_second: float
    peak_mebibytes: float


def export(database_url: str, rows: int, version: str) -> Exported:
    """Have a new server export the table to a new receiver, which has to get every sample."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM noetl.metric_export")
        last = connection.execute("SELECT max(metric_id) FROM noetl.metric").fetchone()
        assert last is not None
        with started_server([sys.executable, str(RECEIVER)]) as receiver:
            flags = (
                f"--remote-write-url=http://127.0.0.1:{receiver}/",
                f"--remote-write-version={version}",
                "--export-interval-seconds=0.01",
            )
            with started_server([*server_command(database_url), *flags]):
                server = server_process()
                started_at = time.perf_counter()
                while acknowledged(connection) < last[0]:
                    time.sleep(LOOK_SECONDS)
                seconds = time.perf_counter() - started_at
                peak = peak_mebibytes(server)
            taken = samples_taken(receiver)
    if taken < rows:
        raise RuntimeError(f"of {rows} samples the receiver has {taken}")
    return Exported(rows / seconds, peak)


def server_process() -> psutil.Process:
    """Return the process of the server that was started last."""
    children = psutil.Process().children()
    return next(child for child in children if "server_stub" in child.cmdline())


def acknowledged(connection: psycopg.Connection[tuple[int, ...]]) -> int:
    """Return up to which id the receiver has every row."""
    row = connection.execute("SELECT acknowledged FROM noetl.metric_export").fetchone()
    return 0 if row is None else row[0]


def peak_mebibytes(process: psutil.Process) -> float:
    """Return the most resident memory that a process has had."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def samples_taken(port: int) -> int:
    """Return how many samples a receiver has taken."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    taken = int(connection.getresponse().read())
    connection.close()
    return taken


def measure(rows: int, series: int, rounds: int) -> dict[str, Exported]:
    """Return the medians for each version of remote write."""
    found: dict[str, list[Exported]] = {version: [] for version in VERSIONS}
    with embedded_database(None) as url:
        apply_schema(url)
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as database:
            database.execute("SELECT noetl.initialize_metric_partitions()")
            stored = store_day(database, rows, 1, max(1, series // SERIES_OF_A_RUNTIME)).rows
        for _ in range(rounds):
            for version in VERSIONS:
                found[version].append(export(url, stored, version))
    return {
        version: Exported(*map(statistics.median, zip(*exported, strict=True)))
        for version, exported in found.items()
    }


def main() -> None:
    options = arguments(__doc__, rows=10_000_000, series=100_000, rounds=1)
    introduce()
    few_rows = max(1, options.rows // FEW_ROWS_SHARE)
    few_series = max(SERIES_OF_A_RUNTIME, options.series // FEW_SERIES_SHARE)
    short = measure(few_rows, few_series, options.rounds)
    long = measure(options.rows, options.series, options.rounds)
    beside = f"{few_rows:,} of {few_series:,}"
    title = f"{options.rows:,} rows of {options.series:,} series"
    speed = Report(f"{title}, exported", "samples/s", smaller_is_better=False)
    memory = Report(f"{title}, the server's memory at most", "MiB")
    for version in VERSIONS:
        row = f"remote write {version}"
        speed.add(row, {OURS: long[version].samples_per_second,
                        beside: short[version].samples_per_second})  # fmt: skip
        memory.add(row, {OURS: long[version].peak_mebibytes,
                         beside: short[version].peak_mebibytes})  # fmt: skip
    publish([speed, memory], options.json)


if __name__ == "__main__":
    main()
