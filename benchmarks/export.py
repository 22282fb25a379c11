"""The export to a VictoriaMetrics beside its own line import, and what inserts notice of it.

Usage: ./scripts/bench export [--rows N] [--rounds N] [--json FILE]

Needs the program victoria-metrics.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import psycopg
from ingest import BATCH_SAMPLES, make_batch
from rounds import medians
from started_server import server_command, started_server
from stored_day import store_day
from tables import OURS, Report, arguments, introduce, publish

from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.export.exporter import Exporter
from server_stub.export.portion import ROWS_MAX
from server_stub.export.state import ExportReport
from server_stub.postgresql.database import Database
from server_stub.postgresql.schema import apply_schema
from server_stub.settings import Settings
from server_stub.statistics import Statistics
from server_stub.time_series_database.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Generator

LINE_IMPORT, WITHOUT_EXPORT = "line import", "without an export"
ROWS_A_BATCH = 15_000
"""So many rows are exported while one batch is inserted."""

START_SECONDS = 60.0


@contextmanager
def victoria_metrics() -> Generator[int]:
    """Run an empty VictoriaMetrics while the block runs; yield its port."""
    program = shutil.which("victoria-metrics")
    if program is None:
        raise SystemExit("victoria-metrics is not installed: Debian has a package of this name")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        command = [
            program, f"-storageDataPath={folder}", f"-httpListenAddr=127.0.0.1:{port}",
            "-retentionPeriod=10y", "-dedup.minScrapeInterval=1ms",
        ]  # fmt: skip
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                wait_for(port)
                yield port
            finally:
                process.terminate()


def wait_for(port: int) -> None:
    """Return once a server answers."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            ask(port, "GET", "/health")
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError("victoria-metrics does not start")


def ask(port: int, method: str, path: str, body: bytes | None = None) -> bytes:
    """Return the answer to one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request(method, path, body)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status >= http.client.BAD_REQUEST:
        raise RuntimeError(f"{path}: {answer.status} {content[:500]!r}")
    return content


def export_all(database_url: str, rows: int) -> float:
    """Export every row into an empty VictoriaMetrics; return the samples a second."""

    async def export(port: int) -> float:
        database = Database(database_url, 1)
        receiver = Receiver(f"http://127.0.0.1:{port}/api/v1/write", {})
        settings = Settings(export_settling_seconds=0.0)
        turns = Exporter(database, receiver, settings, Statistics(), ExportReport(), time.monotonic)
        await database.open()
        started_at = time.perf_counter()
        while await turns.take_turn():
            pass
        seconds = time.perf_counter() - started_at
        await receiver.close()
        await database.close()
        return rows / seconds

    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM noetl.metric_export")
    with victoria_metrics() as port:
        figure = asyncio.run(export(port))
        check(port, "promremotewrite", rows)
    return figure


def lines_of(database_url: str) -> list[bytes]:
    """Return the table as line-import bodies, with as many samples as an export's request each."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT m.metric_name, m.labels, m.runtime_id::text, r.name, r.component_type, "
            "(extract(epoch FROM timestamp) * 1000)::bigint, metric_value "
            "FROM noetl.metric AS m INNER JOIN noetl.runtime AS r USING (runtime_id) "
            "ORDER BY metric_id"
        ).fetchall()
    bodies = []
    for first in range(0, len(rows), ROWS_MAX):
        by_series: dict[str, tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))
        for name, labels, runtime_id, component, kind, at, value in rows[first : first + ROWS_MAX]:
            metric = {"__name__": name, **labels, "runtime_id": runtime_id,
                      "component": component, "component_type": kind}  # fmt: skip
            values, times = by_series[json.dumps(metric)]
            values.append(value)
            times.append(at)
        bodies.append("\n".join(
            f'{{"metric":{metric},"values":{json.dumps(values)},"timestamps":{json.dumps(times)}}}'
            for metric, (values, times) in by_series.items()
        ).encode())  # fmt: skip
    return bodies


def import_lines(bodies: list[bytes], rows: int) -> float:
    """Send lines to an empty VictoriaMetrics; return the samples a second."""
    with victoria_metrics() as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        started_at = time.perf_counter()
        for body in bodies:
            connection.request("POST", "/api/v1/import", body)
            answer = connection.getresponse()
            answer.read()
            if answer.status >= http.client.BAD_REQUEST:
                raise RuntimeError(f"the line import answers {answer.status}")
        seconds = time.perf_counter() - started_at
        connection.close()
        check(port, "vmimport", rows)
    return rows / seconds


def check(port: int, way: str, rows: int) -> None:
    """Raise if VictoriaMetrics does not report so many rows of a way to write."""
    page = ask(port, "GET", "/metrics").decode()
    (line,) = [
        it for it in page.splitlines() if it.startswith(f'vm_rows_inserted_total{{type="{way}"')
    ]
    if int(line.split()[-1]) < rows:
        raise RuntimeError(f"of {rows} rows VictoriaMetrics has {line}")


def insert_beside(database_url: str, rows: int, *flags: str) -> float:
    """Return how many rows a second one client inserts through a server with these flags."""
    count = max(1, rows // ROWS_A_BATCH)
    batches = [make_batch(number, time.time()) for number in range(count)]
    with started_server([*server_command(database_url), *flags]) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        started_at = time.perf_counter()
        for batch in batches:
            connection.request("POST", "/api/metrics", batch.body)
            answer = connection.getresponse()
            content = json.loads(answer.read())
            if content["metrics_inserted"] != BATCH_SAMPLES:
                raise RuntimeError(f"a batch is answered {content}")
        return count * BATCH_SAMPLES / (time.perf_counter() - started_at)


def insert_while_catching_up(database_url: str, rows: int) -> float:
    """Return the same for a server that exports its whole table meanwhile."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM noetl.metric_export")
        with victoria_metrics() as port:
            url = f"--remote-write-url=http://127.0.0.1:{port}/api/v1/write"
            figure = insert_beside(database_url, rows, url, "--export-interval-seconds=0.01")
            acknowledged = connection.execute(
                "SELECT acknowledged < (SELECT max(metric_id) FROM noetl.metric) "
                "FROM noetl.metric_export"
            ).fetchone()
    if acknowledged is None or not acknowledged[0]:
        print("the export was done before the inserts: give more --rows")
    return figure


def main() -> None:
    options = arguments(__doc__, rows=300_000, rounds=3)
    introduce()
    with ExitStack() as stack:
        url = stack.enter_context(embedded_database(None))
        apply_schema(url)
        with psycopg.connect(url, autocommit=True, prepare_threshold=None) as database:
            database.execute("SELECT noetl.initialize_metric_partitions()")
            rows = store_day(database, options.rows, 1).rows
        bodies = lines_of(url)
        written = Report(
            f"{rows:,} samples to VictoriaMetrics", "samples/s", smaller_is_better=False
        )
        written.add(
            f"requests of {ROWS_MAX:,} samples",
            medians(
                {
                    OURS: lambda: export_all(url, rows),
                    LINE_IMPORT: lambda: import_lines(bodies, rows),
                },
                options.rounds,
            ),
        )
        inserted = Report("Inserts of one client", "rows/s", smaller_is_better=False)
        inserted.add(
            "while the table is exported",
            medians(
                {OURS: lambda: insert_while_catching_up(url, rows),
                 WITHOUT_EXPORT: lambda: insert_beside(url, rows)},
                options.rounds,
            ),
        )  # fmt: skip
    publish([written, inserted], options.json)


if __name__ == "__main__":
    main()
