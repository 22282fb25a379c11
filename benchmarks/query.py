"""What a reader waits for, beside what PostgreSQL itself takes for the same query.

Usage: ./scripts/bench query [--rows N] [--series N] [--rounds N] [--json FILE]

Once with that many rows, and once with a tenth of those that no question is about. The same server
answers a constant in the same rounds, over the same connection. At last the page for Prometheus
once more, of that many series: with the rows of the last minutes only, as the others cost nothing.
"""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import psycopg
from asked_server import PAGES_IN_A_ROW, Measurement, Question, ask
from started_server import server_command, started_server
from stored_day import (
    LABELS,
    METRIC_NAME,
    RUNTIME_ID,
    SERIES,
    SERIES_OF_A_RUNTIME,
    Stored,
    store_day,
)
from tables import OURS, Report, arguments, introduce, publish

from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.postgresql.created import ANY_TIME
from server_stub.postgresql.schema import apply_schema
from server_stub.query.latest import latest_samples_query
from server_stub.query.page_bytes import SERIES_ROW, bounded_latest_query
from server_stub.query.page_bytes import bounds as bounds_in_bytes
from server_stub.query.recent_rows import (
    is_of_a_series,
    select_metrics_parameters,
    select_metrics_query,
)
from server_stub.query.series import SeriesReader, series_query
from server_stub.query.time_buckets import cover
from server_stub.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Generator

TENTH = "a tenth of the rest"
PAGE_FOR_PROMETHEUS_BYTES_MAX = 2 * 1024**3
"""A page of 100,000 series is larger than the server's default allows."""

LAST_TURNS = 6
"""How many turns of many series are stored: those within the lookback, and a few more."""

PAGE_LIMIT = 100

A_DAY = timedelta(hours=24)


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
    return {
        f"GET /metrics, {SERIES:,} series": _page_for_prometheus(settings),
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


def _page_for_prometheus(settings: Settings) -> Question:
    query = latest_samples_query(())
    return Question(
        "/metrics",
        query,
        {
            "lookback": timedelta(seconds=settings.exposition_lookback_seconds),
            **ANY_TIME,
            **bounds_in_bytes(PAGE_FOR_PROMETHEUS_BYTES_MAX, SERIES_ROW),
        },
        statement=bounded_latest_query(query),
    )


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
        with _measurement(database_url, database) as measurement:
            asked = questions()
            sizes = {name: _size(measurement.answer(one.path)) for name, one in asked.items()}
            figures = {name: ask(measurement, one, rounds) for name, one in asked.items()}
    return stored, figures, sizes


def measure_many_series(
    database_url: str, rows: int, series: int, rounds: int
) -> dict[str, dict[str, float]]:
    """Return what the page for Prometheus takes with the usual number of series, and with many.

    Args:
        database_url: a database with the schema.
        rows: how many rows a full table of the usual number has; the pauses are its.
        series: how many series are many.
        rounds: how often everything is measured.
    """
    found: dict[str, dict[str, float]] = {}
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=None) as database:
        for number in (SERIES, series):
            runtimes = number // SERIES_OF_A_RUNTIME
            store_day(database, rows * number // SERIES, 1, runtimes, LAST_TURNS)
            with _measurement(database_url, database) as measurement:
                question = _page_for_prometheus(Settings())
                if _size(measurement.answer(question.path)) != number:
                    raise RuntimeError(f"the page does not have {number} series")
                found[f"{number:,} series"] = ask(measurement, question, rounds)
    return found


@contextmanager
def _measurement(database_url: str, database: psycopg.Connection[Any]) -> Generator[Measurement]:
    command = [
        *server_command(database_url),
        f"--exposition-bytes-max={PAGE_FOR_PROMETHEUS_BYTES_MAX}",
    ]
    with started_server(command) as port:
        yield Measurement(port, database)


def _size(answer: bytes) -> int:
    """Return how many series of the filled table, samples or points an answer has."""
    if answer.startswith(b"#"):
        return answer.count(b'component_type="worker_pool"')
    found = json.loads(answer)
    if "metrics" in found:
        return len(found["metrics"])
    return sum(len(series["points"]) > 0 for series in found["series"])


def main() -> None:
    options = arguments(__doc__, rows=10_000_000, series=10 * SERIES, rounds=7)
    introduce()
    measured = {}
    with ExitStack() as stack:
        url = stack.enter_context(embedded_database(None))
        apply_schema(url)
        with psycopg.connect(url, autocommit=True) as database:
            database.execute("SELECT noetl.initialize_metric_partitions()")
        for rest in (1, 10):
            measured[rest] = measure(url, options.rows, rest, options.rounds)
        pages = measure_many_series(url, options.rows, options.series, options.rounds)
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
    many = Report("GET /metrics, with the rows of the last minutes only", "ms")
    for name, row in pages.items():
        many.add(name, row)
    publish([*reports, growth, many], options.json)


if __name__ == "__main__":
    main()
