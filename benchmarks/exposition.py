"""What a page for Prometheus costs, beside prometheus_client's generate_latest().

Usage: ./scripts/bench exposition [--series N] [--rounds N] [--json FILE]

Both write the same series, of the same names, labels and values; what they write is compared.
"""

from __future__ import annotations

import http.client
import time
import zlib
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import prometheus_client
import psycopg
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from psycopg.types.json import Jsonb
from rounds import medians
from started_server import server_command, started_server
from tables import OURS, Report, arguments, introduce, publish

from noetl_metrics_sdk import Counter, Registry
from noetl_metrics_sdk.exposition.negotiation import GZIP_LEVEL
from noetl_metrics_sdk.exposition.registry_page import RegistryPage
from noetl_metrics_sdk.exposition.samples import PageFormat
from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.postgresql.created import ANY_TIME
from server_stub.postgresql.schema import apply_schema
from server_stub.query.exposition import LatestSample, render
from server_stub.query.latest import latest_samples_query
from server_stub.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PEER = "prometheus_client"
NAMES = 50
LABELS = ("runtime_id", "component", "component_type", "worker_id", "status")
GZIP_LEVELS = (1, 6, 9)


def label_values(number: int) -> tuple[str, str, str, str, str]:
    """Return the labels of each series of one name, as a page of the server has them."""
    component = number // 2
    return str(component), f"pool-{component}", "worker_pool", f"worker-{number % 2}", "completed"


def peer_registry(series: int) -> prometheus_client.CollectorRegistry:
    """Return prometheus_client's registry with the series, without their times of creation."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = prometheus_client.CollectorRegistry()
    for name in range(NAMES):
        counter = prometheus_client.Counter(f"metric_{name}", "Help", LABELS, registry=registry)
        for number in range(series // NAMES):
            counter.labels(*label_values(number)).inc(name * 1.5 + number)
    return registry


def our_registry(series: int) -> Registry:
    """Return this package's registry with the series."""
    registry = Registry()
    for name in range(NAMES):
        counter = Counter(
            f"metric_{name}", "Help", LABELS, registry=registry, max_series=max(series, 1)
        )
        for number in range(series // NAMES):
            counter.labels(*label_values(number)).inc(name * 1.5 + number)
    return registry


def fill(database: psycopg.Connection[Any], series: int) -> None:
    """Store one sample of each series in the table."""
    components = {label_values(number)[:2] for number in range(series // NAMES)}
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO noetl.runtime (runtime_id, name, component_type, status) "
            "VALUES (%s, %s, 'worker_pool', 'ready')",
            [(int(runtime_id), name) for runtime_id, name in components],
        )
        with cursor.copy(
            "COPY noetl.metric (metric_id, runtime_id, metric_name, metric_type, metric_value, "
            "labels, help_text, timestamp) FROM STDIN"
        ) as copy:
            for name in range(NAMES):
                for number in range(series // NAMES):
                    runtime_id, _, _, worker_id, status = label_values(number)
                    copy.write_row(
                        (
                            name * series + number + 1, int(runtime_id), f"metric_{name}_total",
                            "counter", name * 1.5 + number,
                            Jsonb({"worker_id": worker_id, "status": status}), "Help", "now",
                        )
                    )  # fmt: skip
    database.execute("ANALYZE noetl.metric")


def latest_rows(database: psycopg.Connection[Any]) -> list[LatestSample]:
    """Return the rows from which the server makes its page."""
    lookback = timedelta(seconds=Settings().exposition_lookback_seconds)
    rows = database.execute(latest_samples_query(()), {"lookback": lookback, **ANY_TIME}).fetchall()
    return [row for row in map(LatestSample._make, rows) if row.metric_name.startswith("metric_")]


def milliseconds(call: Callable[[], object]) -> float:
    """Return how long a call takes, in milliseconds."""
    started_at = time.perf_counter()
    call()
    return (time.perf_counter() - started_at) * 1e3


def get(port: int, headers: Mapping[str, str]) -> bytes:
    """Return the body of a page, as the server sends it."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/metrics", headers=dict(headers))
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.client.OK:
        raise RuntimeError(f"GET /metrics: {answer.status} {content[:500]!r}")
    connection.close()
    return content


def samples_of(page: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples of a page."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name.startswith("metric_")
    }


def measure(database: psycopg.Connection[Any], port: int, series: int, rounds: int) -> list[Report]:
    """Return the tables; every contender takes its turn in every round."""
    theirs, ours = peer_registry(series), our_registry(series)
    rows, page = latest_rows(database), RegistryPage(ours)
    expected = samples_of(prometheus_client.generate_latest(theirs).decode())
    for shown in (
        render(rows).text, page.render(PageFormat.TEXT), get(port, {}).decode(),
    ):  # fmt: skip
        if samples_of(shown) != expected:
            raise RuntimeError("the pages do not say the same")
    peer_text = partial(milliseconds, partial(prometheus_client.generate_latest, theirs))
    peer_openmetrics = partial(milliseconds, partial(generate_openmetrics, theirs))
    contenders = {
        ("server, rows to text", OURS): partial(milliseconds, partial(render, rows)),
        ("server, rows to text", PEER): peer_text,
        ("server, rows to OpenMetrics", OURS): partial(
            milliseconds, partial(render, rows, PageFormat.OPENMETRICS)
        ),
        ("server, rows to OpenMetrics", PEER): peer_openmetrics,
        ("worker's page, text", OURS): partial(milliseconds, partial(page.render, PageFormat.TEXT)),
        ("worker's page, text", PEER): peer_text,
        ("worker's page, OpenMetrics", OURS): partial(
            milliseconds, partial(page.render, PageFormat.OPENMETRICS)
        ),
        ("worker's page, OpenMetrics", PEER): peer_openmetrics,
        ("GET /metrics", OURS): partial(milliseconds, partial(get, port, {})),
        ("GET /metrics, gzip", OURS): partial(
            milliseconds, partial(get, port, {"Accept-Encoding": "gzip"})
        ),
    }
    text = render(rows).text.encode()
    for level in GZIP_LEVELS:
        contenders[f"gzip alone, level {level}", OURS] = partial(
            milliseconds, partial(zlib.compress, text, level, 16 + zlib.MAX_WBITS)
        )
    figures = medians(contenders, rounds)
    times = Report(f"A page of {len(rows):,} series", "ms")
    for row in dict.fromkeys(row for row, _ in contenders):
        times.add(row, {who: figures[name, who] for name, who in contenders if name == row})
    sizes = Report("How large it is", "bytes")
    sizes.add("plain", {OURS: len(text), PEER: len(prometheus_client.generate_latest(theirs))})
    for level in GZIP_LEVELS:
        note = ", the server's" if level == GZIP_LEVEL else ""
        sizes.add(f"gzip, level {level}{note}", {OURS: len(zlib.compress(text, level, 31))})
    return [times, sizes]


def main() -> None:
    options = arguments(__doc__, series=10_000, rounds=9)
    introduce()
    with ExitStack() as stack:
        url = stack.enter_context(embedded_database(None))
        apply_schema(url)
        database = stack.enter_context(psycopg.connect(url, autocommit=True))
        database.execute("SELECT noetl.initialize_metric_partitions()")
        fill(database, options.series)
        port = stack.enter_context(started_server(server_command(url)))
        reports = measure(database, port, options.series, options.rounds)
    publish(reports, options.json)


if __name__ == "__main__":
    main()
