"""What a reader waits for, beside what PostgreSQL itself takes for the same query.

Usage: ./scripts/bench query [--rows N] [--rounds N] [--json FILE]

Once with that many rows, and once with a tenth of those that no question is about. The same server
answers a constant in the same rounds, over the same connection.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple
from urllib.parse import urlencode

import psycopg
from rounds import medians
from started_server import server_command, started_server
from stored_day import LABELS, METRIC_NAME, RUNTIME_ID, SERIES, Stored, store_day
from tables import LIMIT, OURS, Report, arguments, introduce, publish

from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.postgresql.created import ANY_TIME
from server_stub.postgresql.schema import apply_schema
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.latest import latest_samples_query
from server_stub.query.recent_rows import (
    is_of_a_series,
    select_metrics_parameters,
    select_metrics_query,
)
from server_stub.query.series import SeriesReader, series_query
from server_stub.query.time_buckets import cover
from server_stub.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

CONSTANT = "GET /healthz"
"""A constant that the same server answers: what a request costs without a query."""

TENTH = "a tenth of the rest"
PAGE_LIMIT = 100
PAGES_IN_A_ROW = 20
"""One page takes too short to be measured by itself."""

A_DAY = timedelta(hours=24)


class Question(NamedTuple):
    """A question that is asked over HTTP, and of PostgreSQL."""

    path: str
    sql: str
    parameters: Mapping[str, Any]
    plan: LiteralString | None = None
    in_a_row: int = 1


def questions() -> dict[str, Question]:
    """Return the questions by their names; they are about the time up to now."""
    settings = Settings()
    bounds = {
        "retention": timedelta(days=settings.retention_days),
        "sample_ahead": timedelta(seconds=settings.sample_ahead_seconds),
        **ANY_TIME,
    }
    series: dict[str, Any] = {
        "runtime_id": RUNTIME_ID, "metric_name": METRIC_NAME, "labels": LABELS,
    }  # fmt: skip
    page = select_metrics_parameters(series | {"limit": PAGE_LIMIT + 1})
    lookback = {
        "lookback": timedelta(seconds=settings.exposition_lookback_seconds),
        **ANY_TIME,
    }
    return {
        f"GET /metrics, {SERIES:,} series": Question(
            "/metrics", latest_samples_query(()), lookback
        ),
        f"a page of {PAGE_LIMIT} of one series": Question(
            "/api/metrics?"
            + urlencode(series | {"labels": json.dumps(LABELS), "limit": PAGE_LIMIT}),
            select_metrics_query(series, "desc"),
            page | bounds,
            plan="query/plan_in_order.sql" if is_of_a_series(series) else None,
            in_a_row=PAGES_IN_A_ROW,
        ),
        "an hour's chart of a metric": _chart("worker_id"),
        "24 hours at a minute": _chart(None, A_DAY),
        "24 hours at a minute, 100 groups": _chart("worker_id", A_DAY),
    }


def _chart(group_by: str | None, ago: timedelta | None = None) -> Question:
    """Return the question for the metric's rate at a minute, of an hour or of more."""
    now = datetime.now(UTC)
    start_time = None if ago is None else now - ago
    asked = {"metric_name": METRIC_NAME, "aggregation": "rate", "step": "60"}
    if group_by is not None:
        asked["group_by"] = group_by
    if start_time is not None:
        asked["start_time"] = start_time.isoformat()
    # The benchmark asks the reader for parameters only, which needs no database.
    reader = SeriesReader(None, Settings(), None)  # type: ignore[arg-type]
    return Question(
        "/api/metrics/series?" + urlencode(asked),
        series_query("increase"),
        reader.parameters(
            METRIC_NAME,
            "increase",
            cover(start_time, None, 60.0, now),
            [] if group_by is None else [group_by],
            {},
        ),
        plan="query/plan_by_metric.sql",
    )


class Measurement:
    """Asks a server, and the database behind it.

    Args:
        port: the port of the server.
        database: a connection in autocommit.
    """

    def __init__(self, port: int, database: psycopg.Connection[Any]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._database = database

    def over_http(self, path: str, in_a_row: int) -> float:
        """Return how many milliseconds pass until an answer's last byte, of so many in a row."""
        # The server may have closed the connection while PostgreSQL was asked for long.
        self._connection.close()
        self.answer("/healthz")
        started_at = time.perf_counter()
        for _ in range(in_a_row):
            self.answer(path)
        return (time.perf_counter() - started_at) * 1e3 / in_a_row

    def answer(self, path: str) -> bytes:
        """Return the answer to a GET."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path}: {answer.status} {content[:500]!r}")
        return content

    def in_postgresql(self, question: Question) -> float:
        """Return how many milliseconds the query's execution takes, by EXPLAIN ANALYZE."""
        return statistics.fmean(self._execution(question) for _ in range(question.in_a_row))

    def _execution(self, question: Question) -> float:
        with self._database.transaction():
            if question.plan is not None:
                self._database.execute(read_sql(question.plan))
            row = self._database.execute(
                b"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + question.sql.encode(),
                question.parameters,
            ).fetchone()
        assert row is not None
        return float(row[0][0]["Execution Time"])


def measure(
    database_url: str, rows: int, rest: int, rounds: int
) -> tuple[Stored, dict[str, dict[str, float]], dict[str, int]]:
    """Fill the table, and measure.

    Args:
        database_url: a database with the schema.
        rows: how many rows a full table has.
        rest: one of so many turns has the rows that no question is about.
        rounds: how often everything is measured.

    Returns:
        The stored rows; the figures by question, in milliseconds; and the size of each answer, in
        the unit that it counts.
    """
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=None) as database:
        stored = store_day(database, rows, rest)
        with started_server(server_command(database_url)) as port:
            measurement = Measurement(port, database)
            asked = questions()
            sizes = {name: _size(measurement.answer(one.path)) for name, one in asked.items()}
            figures = {
                name: medians(
                    {
                        OURS: partial(measurement.over_http, one.path, one.in_a_row),
                        CONSTANT: partial(measurement.over_http, "/healthz", PAGES_IN_A_ROW),
                        LIMIT: partial(measurement.in_postgresql, one),
                    },
                    rounds,
                )
                for name, one in asked.items()
            }
    return stored, figures, sizes


def _size(answer: bytes) -> int:
    """Return how many series of the filled table, samples or points an answer has."""
    if answer.startswith(b"#"):
        return answer.count(b'component_type="worker_pool"')
    found = json.loads(answer)
    if "metrics" in found:
        return len(found["metrics"])
    return sum(len(series["points"]) > 0 for series in found["series"])


def main() -> None:
    options = arguments(__doc__, rows=10_000_000, rounds=7)
    introduce()
    measured = {}
    with ExitStack() as stack:
        url = stack.enter_context(embedded_database(None))
        apply_schema(url)
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("SELECT noetl.initialize_metric_partitions()")
        for rest in (1, 10):
            measured[rest] = measure(url, options.rows, rest, options.rounds)
    reports = []
    for stored, figures, _ in measured.values():
        report = Report(
            f"Of {stored.rows:,} rows: {stored.within_lookback:,} within the lookback, "
            f"{stored.of_the_series:,} of the series, {stored.of_the_hour:,} of the hour's chart, "
            f"{stored.of_the_day:,} of a day's",
            "ms",
        )
        for name, row in figures.items():
            report.add(name, row)
        reports.append(report)
    (_, all_rows, sizes), (_, fewer_rows, sizes_of_fewer) = measured.values()
    if sizes != sizes_of_fewer:
        raise RuntimeError(f"the answers are not the same: {sizes}, {sizes_of_fewer}")
    growth = Report("With all rows, and with a tenth of those that are left out", "ms")
    for name, row in all_rows.items():
        growth.add(name, {OURS: row[OURS], TENTH: fewer_rows[name][OURS]})
    publish([*reports, growth], options.json)


if __name__ == "__main__":
    main()
