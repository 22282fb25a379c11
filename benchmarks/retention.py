"""Dropping or rebuilding a day of many rows beside inserts and queries: how long, and who waits.

Usage: ./scripts/bench retention [--rows N] [--seconds N] [--json FILE]
"""

from __future__ import annotations

import http.client
import json
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from started_server import server_command, started_server
from tables import LIMIT, OURS, Report, arguments, introduce, publish

from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.postgresql.schema import apply_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

BOUND_MS = 500.0
"""What docs/operations.md states: two locks, each waited for at most 250 ms."""

CLIENTS = 2
BATCH_SAMPLES = 1_000
EXPIRED_DAY = "2024-02-29"
KEPT_LONGER = {
    "1 %": "noetl_worker_metric_7_total=3650",
    "99 %": "noetl_worker_metric_*=3650,noetl_worker_metric_7_total=1",
}
"""How much of a day lives longer, by which rules; each of the hundred names has as many rows."""
FILL = """
INSERT INTO noetl.metric (
    runtime_id, metric_name, metric_type, metric_value, labels, help_text, unit, timestamp,
    created_at, expires_at
)
SELECT
    1, 'noetl_worker_metric_' || n %% 100 || '_total', 'counter', n,
    jsonb_build_object('job_type', 'type-' || n %% 10, 'queue', 'queue-' || n %% 7),
    'Jobs that were done', 'jobs',
    moment, moment, moment + interval '1 day'
FROM (
    SELECT n, %(day)s::timestamptz + n * interval '86399 seconds' / %(rows)s AS moment
    FROM generate_series(1, %(rows)s) AS n
) AS numbered
"""


class Traffic:
    """Clients that insert and one that queries, each in a thread with a connection of its own.

    Args:
        port: the port of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.insert_seconds: list[float] = []
        self.failed = 0
        self.requests_given_up = 0
        self.cleanup_seconds = 0.0
        self._ended = threading.Event()
        metrics = [
            {
                "metric_name": f"noetl_worker_metric_{series % 100}_total",
                "metric_type": "counter",
                "metric_value": series,
                "labels": {"worker_id": f"worker-{series}"},
            }
            for series in range(BATCH_SAMPLES)
        ]
        self._body = json.dumps({"runtime_id": "1", "metrics": metrics}).encode()

    @contextmanager
    def running(self) -> Generator[Traffic]:
        """Keep the clients busy while the block runs."""
        works: list[Callable[[], None]] = [self._insert] * CLIENTS + [self._query]
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()

    def _insert(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        while True:  # at least once, however short the time
            started_at = time.perf_counter()
            answer = ask(connection, "POST", "/api/metrics", self._body)
            self.insert_seconds.append(time.perf_counter() - started_at)
            self.failed += answer.get("metrics_inserted") != BATCH_SAMPLES
            if self._ended.is_set():
                break
        connection.close()

    def _query(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        while not self._ended.is_set():
            ask(connection, "GET", "/api/metrics?metric_name=noetl_worker_metric_7_total&limit=100")
        connection.close()


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> dict[str, Any]:
    """Return the server's answer."""
    connection.request(method, path, body, {"Content-Type": "application/json"})
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    return found


def prepare(url: str, database: psycopg.Connection[Any]) -> None:
    """Make the schema, and the component that reports."""
    apply_schema(url)
    database.execute(
        "INSERT INTO noetl.runtime (runtime_id, name, component_type, status) "
        "VALUES (1, 'pool', 'worker_pool', 'ready')"
    )


def fill_expired_day(database: psycopg.Connection[Any], rows: int) -> None:
    """Make a day that has expired, with its rows written to disk and no background work left."""
    database.execute("SELECT noetl.create_metric_partition(%s)", (EXPIRED_DAY,))
    # The foreign key is not a part of the measurement.
    database.execute("SET session_replication_role = replica")
    database.execute(FILL, {"day": f"{EXPIRED_DAY} 00:00Z", "rows": rows})
    database.execute("RESET session_replication_role")
    database.execute("CHECKPOINT")


def drop_expired_day(port: int) -> tuple[float, int]:
    """Drop the day as an operator does; return the seconds it took, and the number of requests."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    started_at = time.perf_counter()
    requests = 1
    # After waiting for a reader five times, the server gives up until the next request.
    while ask(connection, "POST", "/api/metrics/cleanup")["dropped_count"] == 0:
        requests += 1
    seconds = time.perf_counter() - started_at
    connection.close()
    return seconds, requests


def rebuild_expired_day(
    url: str, database: psycopg.Connection[Any], rows: int, rules: str
) -> Traffic:
    """Fill the day and remove expired rows beside traffic; return the traffic with its figures."""
    command = [*server_command(url), f"--metric-retention-days={rules}"]
    with ExitStack() as stack:
        port = stack.enter_context(started_server(command))
        # Not before the server starts, as it cleans up then.
        fill_expired_day(database, rows)
        traffic = stack.enter_context(Traffic(port).running())
        connection = http.client.HTTPConnection("127.0.0.1", port)
        started_at = time.perf_counter()
        # After readers have held it back five times, the server gives up until the next request.
        while (
            "removed what has expired from 1"
            not in (ask(connection, "POST", "/api/metrics/cleanup")["message"])
        ):
            traffic.requests_given_up += 1
        traffic.cleanup_seconds = time.perf_counter() - started_at
        connection.close()
    database.execute(f"DROP TABLE noetl.metric_{EXPIRED_DAY.replace('-', '_')}".encode())
    return traffic


def hold_back_the_drop(url: str, port: int) -> None:
    """Ask for the drop while a query reads the table: it waits, gives way, and tries again."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    with psycopg.connect(url) as reader:
        reader.execute("SELECT metric_id FROM noetl.metric LIMIT 1")
        dropped = ask(connection, "POST", "/api/metrics/cleanup")["dropped_count"]
    connection.close()
    if dropped != 0:
        raise RuntimeError("the day was dropped under a query that was reading it")


def measure_rebuilds(rows_dropped: int, waits: Report, counts: Report) -> Report:
    """Rebuild days of a tenth of the rows; return the time it took, and add the waits."""
    rebuilds = Report("Rebuilding an expired day of which rows live longer", "ms")
    with ExitStack() as stack:
        url = stack.enter_context(embedded_database(None))
        database = stack.enter_context(psycopg.connect(url, autocommit=True))
        prepare(url, database)
        rows = max(100, rows_dropped // 10)
        for share, rules in KEPT_LONGER.items():
            title = f"{rows:,} rows of which {share} are kept"
            traffic = rebuild_expired_day(url, database, rows, rules)
            rebuilds.add(title, {OURS: traffic.cleanup_seconds * 1000})
            longest_ms = max(traffic.insert_seconds) * 1000
            waits.add(title, {OURS: longest_ms, LIMIT: BOUND_MS})
            counts.add(title, {OURS: len(traffic.insert_seconds)})
            counts.add(f"{title}, failed", {OURS: traffic.failed})
            print(f"{title}: rebuilt by request {traffic.requests_given_up + 1}")
    return rebuilds


def main() -> None:
    options = arguments(__doc__, rows=10_000_000, seconds=10)
    introduce()
    drops = Report("Dropping an expired day beside inserts and queries", "ms")
    waits = Report(f"The longest of the inserts of {BATCH_SAMPLES:,} rows", "ms")
    counts = Report("Inserts by HTTP", "inserts")
    with ExitStack() as stack:
        url = stack.enter_context(embedded_database(None))
        database = stack.enter_context(psycopg.connect(url, autocommit=True))
        prepare(url, database)
        port = stack.enter_context(started_server(server_command(url)))
        for rows in (max(1, options.rows // 10), options.rows):
            fill_expired_day(database, rows)
            with Traffic(port).running() as before:
                time.sleep(options.seconds)
            with Traffic(port).running() as held_back:
                if rows == options.rows:
                    hold_back_the_drop(url, port)
            with Traffic(port).running() as during:
                time.sleep(options.seconds / 2)
                seconds, requests = drop_expired_day(port)
                time.sleep(options.seconds / 2)
            title = f"{rows:,} rows"
            moments = {"before the drop": before, "during the drop": during}
            if rows == options.rows:
                moments["drop held back"] = held_back
            drops.add(title, {OURS: seconds * 1000})
            for moment, traffic in moments.items():
                longest_ms = max(traffic.insert_seconds) * 1000
                waits.add(f"{title}, {moment}", {OURS: longest_ms, LIMIT: BOUND_MS})
                counts.add(f"{title}, {moment}", {OURS: len(traffic.insert_seconds)})
                counts.add(f"{title}, {moment}, failed", {OURS: traffic.failed})
            print(f"{title}: dropped by request {requests}")
    rebuilds = measure_rebuilds(options.rows, waits, counts)
    publish([drops, rebuilds, waits, counts], options.json)


if __name__ == "__main__":
    main()
