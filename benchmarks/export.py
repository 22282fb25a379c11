"""The export to a VictoriaMetrics beside its own line import, and what inserts notice of it.

Usage: ./scripts/bench export [--rows N] [--rounds N] [--json FILE]

Needs the program victoria-metrics.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import httpx
import psycopg
import uvloop
from ingest import BATCH_SAMPLES, make_batch
from rounds import medians
from started_server import server_command, started_server
from stored_day import store_day
from tables import OURS, Report, arguments, introduce, publish

from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.export.exporter import Exporter
from server_stub.export.pacing import Pacing
from server_stub.export.portion import ROWS_MAX
from server_stub.export.state import ExportReport
from server_stub.postgresql.database import Database
from server_stub.postgresql.schema import apply_schema
from server_stub.settings import Settings
from server_stub.statistics import Statistics
from server_stub.time_series_database.receiver import Receiver

if TYPE_CHECKING:
    from collections.abc import Generator

PREPARED, LINE_IMPORT = "the same requests, prepared", "line import"
WITHOUT_EXPORT = "without an export"
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
    with victoria_metrics() as port:
        receiver = Receiver(f"http://127.0.0.1:{port}/api/v1/write", {})
        seconds = uvloop.run(export_to(database_url, receiver))
        check(port, "promremotewrite", rows)
        compare(port, database_url)
    return rows / seconds


async def export_to(database_url: str, receiver: Receiver) -> float:
    """Export every row to a receiver; return how many seconds that took."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("DELETE FROM noetl.metric_export")
    database = Database(database_url, 1)
    settings = Settings(export_settling_seconds=0.0)
    pacing = Pacing(lambda: 0.0, time.monotonic)
    turns = Exporter(
        database, receiver, settings, Statistics(), ExportReport(), time.monotonic, pacing
    )
    await database.open()
    started_at = time.perf_counter()
    while await turns.take_turn():
        pass
    seconds = time.perf_counter() - started_at
    await receiver.close()
    await database.close()
    return seconds


def prepared_requests(database_url: str) -> list[bytes]:
    """Return the bodies of the requests that an export of the table sends."""
    bodies: list[bytes] = []

    def keep(request: httpx.Request) -> httpx.Response:
        bodies.append(request.content)
        return httpx.Response(204)

    receiver = Receiver("http://receiver", {}, "1.0", transport=httpx.MockTransport(keep))
    uvloop.run(export_to(database_url, receiver))
    return bodies


def send_prepared(bodies: list[bytes], rows: int) -> float:
    """Send prepared requests to an empty VictoriaMetrics; return the samples a second."""
    with victoria_metrics() as port:
        seconds = post_all(port, "/api/v1/write", bodies)
        check(port, "promremotewrite", rows)
    return rows / seconds


def post_all(port: int, path: str, bodies: list[bytes]) -> float:
    """Send requests one after the other; return how many seconds that took."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    started_at = time.perf_counter()
    for body in bodies:
        connection.request("POST", path, body)
        answer = connection.getresponse()
        answer.read()
        if answer.status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{path} answers {answer.status}")
    seconds = time.perf_counter() - started_at
    connection.close()
    return seconds


def compare(port: int, database_url: str) -> None:
    """Raise if VictoriaMetrics has not exactly the samples of the table."""
    ask(port, "GET", "/internal/force_flush")
    page = ask(port, "GET", "/api/v1/export?match[]=%7B__name__!=%22%22%7D&reduce_mem_usage=1")
    found: dict[str, set[tuple[int, float]]] = defaultdict(set)
    for line in page.splitlines():
        series = json.loads(line)
        samples = zip(series["timestamps"], series["values"], strict=True)
        found[json.dumps(series["metric"], sort_keys=True)].update(samples)
    expected: dict[str, set[tuple[int, float]]] = defaultdict(set)
    for metric, at, value in samples_of(database_url):
        expected[metric].add((at, value))
    if found != expected:
        missing = sum(len(samples - found[metric]) for metric, samples in expected.items())
        raise RuntimeError(f"of {sum(map(len, expected.values()))} samples {missing} are missing")


def samples_of(database_url: str) -> Generator[tuple[str, int, float]]:
    """Yield each row of the table: its series as JSON, its time in milliseconds, its value."""
    with psycopg.connect(database_url) as connection:
        for name, labels, runtime_id, component, kind, at, value in connection.execute(
            "SELECT m.metric_name, m.labels, m.runtime_id::text, r.name, r.component_type, "
            "(extract(epoch FROM timestamp) * 1000000)::bigint / 1000, metric_value "
            "FROM noetl.metric AS m INNER JOIN noetl.runtime AS r USING (runtime_id) "
            "ORDER BY metric_id"
        ):
            metric = {"__name__": name, **labels, "runtime_id": runtime_id,
                      "component": component, "component_type": kind}  # fmt: skip
            yield json.dumps(metric, sort_keys=True), at, value


def lines_of(database_url: str) -> list[bytes]:
    """Return the table as line-import bodies, with as many samples as an export's request each."""
    bodies = []
    samples = samples_of(database_url)
    while some := list(islice(samples, ROWS_MAX)):
        by_series: dict[str, tuple[list[float], list[int]]] = defaultdict(lambda: ([], []))
        for metric, at, value in some:
            values, times = by_series[metric]
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
        seconds = post_all(port, "/api/v1/import", bodies)
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
        lines = lines_of(url)
        requests = prepared_requests(url)
        written = Report(
            f"{rows:,} samples to VictoriaMetrics", "samples/s", smaller_is_better=False
        )
        written.add(
            f"requests of {ROWS_MAX:,} samples",
            medians(
                {
                    OURS: lambda: export_all(url, rows),
                    PREPARED: lambda: send_prepared(requests, rows),
                    LINE_IMPORT: lambda: import_lines(lines, rows),
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
