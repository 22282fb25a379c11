"""Ten years of partitions: each route answers many clients at once."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import httpx
import psycopg
import pytest

from tests.outside.conftest import LONG
from tests.server_process import start_server

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.server_process import ServerProcess

# The server treats its database alike under every interpreter.
pytestmark = pytest.mark.once

# With PostgreSQL's default settings there is no room for the locks of eight times 200 days.
DAYS = 3_650 if LONG else 200
DAYS_WITH_ROWS = 100 if LONG else 10
CLIENTS = 32 if LONG else 8
ANSWER_SECONDS_MAX = 600
DELETION_SECONDS_MAX = 300

MAKE_DAYS = """
DO $$
DECLARE
    day timestamptz;
BEGIN
    FOR n IN {first}..{last} LOOP
        day := date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' - n * interval '24 hours';
        EXECUTE format(
            'CREATE TABLE noetl.%I PARTITION OF noetl.metric FOR VALUES FROM (%L) TO (%L)',
            to_char(day AT TIME ZONE 'UTC', '"metric_"YYYY_MM_DD'), day, day + interval '24 hours'
        );
    END LOOP;
END
$$
"""  # noqa: E501 - a statement
FILL_DAYS = """
INSERT INTO noetl.metric (
    runtime_id, metric_name, metric_type, metric_value, labels, timestamp, created_at, expires_at
)
SELECT
    %(runtime_id)s, 'days_' || series % 5 || '_total', 'counter', number,
    jsonb_build_object('queue', 'q' || series), at, at, 'infinity'
FROM generate_series(0, %(days)s::integer - 1, %(step)s::integer) AS day
CROSS JOIN generate_series(1, 20) AS series
CROSS JOIN generate_series(1, 50) AS number
CROSS JOIN LATERAL (
    SELECT now() - day * interval '24 hours' - number * interval '1 second' AS at
) AS moment
"""


class Answers(NamedTuple):
    """The statuses of the answers to one kind of request, and what the slowest one took."""

    statuses: set[int]
    seconds: float


def ask_at_once(url: str, method: str, paths: list[str], body: object = None) -> Answers:
    """Send a request to each path, all at the same moment."""
    barrier = threading.Barrier(len(paths))
    statuses: set[int] = set()
    seconds: list[float] = []

    def ask(path: str) -> None:
        with httpx.Client(base_url=url, timeout=ANSWER_SECONDS_MAX) as client:
            barrier.wait()
            began_at = time.monotonic()
            statuses.add(client.request(method, path, json=body).status_code)
            seconds.append(time.monotonic() - began_at)

    threads = [threading.Thread(target=ask, args=[path]) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Answers(statuses, max(seconds))


def register(url: str, name: str) -> str:
    answer = httpx.post(f"{url}/api/worker/pool/register", json={"name": name}, timeout=60)
    runtime_id: str = answer.json()["runtime_id"]
    return runtime_id


@contextmanager
def server_of_days(database_url: str | None) -> Generator[ServerProcess]:
    """Run a server that keeps all days, with rows in some of them."""
    with ExitStack() as stack:
        server = start_server(database_url, "--retention-days=3650")
        assert server.process.stdout is not None
        stack.enter_context(server.process.stdout)
        stack.callback(server.stop)
        with psycopg.connect(server.database_url, autocommit=True) as connection:
            # The day before today is there.
            for first in range(2, DAYS, 50):
                last = min(first + 50, DAYS) - 1
                connection.execute(MAKE_DAYS.format(first=first, last=last).encode())
            days = {"days": DAYS, "step": DAYS // DAYS_WITH_ROWS}
            runtime_id = {"runtime_id": int(register(server.url, "days"))}
            connection.execute(FILL_DAYS.replace(" % 5", " %% 5").encode(), days | runtime_id)
        yield server
        # An embedded database of ten years has some 50,000 files, which the server deletes.
        assert 0 == server.stop(DELETION_SECONDS_MAX)


def test_every_route_answers_over_all_days(database_url: str) -> None:
    """With a partition for each day that the server can keep, on the PostgreSQL that it starts
    itself, each kind of request is answered 200, of many clients at once."""
    oldest = (datetime.now(UTC) - timedelta(days=DAYS - 1)).timestamp()
    yesterday = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    chart = "/api/metrics/series?metric_name=days_1_total&aggregation=increase"
    seen: dict[str, Answers] = {}
    with server_of_days(None if LONG else database_url) as server:

        def ask(name: str, method: str, path: str, body: object = None) -> None:
            seen[name] = ask_at_once(server.url, method, [path] * CLIENTS, body)

        sample = {"metric_name": "days_1_total", "metric_type": "counter", "metric_value": 1}
        batch = {"runtime_id": register(server.url, "days"), "metrics": [sample] * 100}
        ask("ready", "GET", "/readyz")
        ask("batch", "POST", "/api/metrics", batch)
        ask("newest page", "GET", "/api/metrics?limit=100")
        ask("page since yesterday", "GET", f"/api/metrics?start_time={yesterday}&limit=100")
        ask("oldest page", "GET", "/api/metrics?order=asc&limit=100")
        ask("page of a metric", "GET", "/api/metrics?metric_name=days_1_total&limit=1000")
        ask("chart of an hour", "GET", chart)
        ask("chart of all days", "GET", f"{chart}&start_time={oldest}&step=86400")
        ask("page for Prometheus", "GET", "/metrics")
        ask("components", "GET", "/api/runtime")
        ask("partitions", "POST", "/api/metrics/partitions/create?days_ahead=9")
        ask("cleanup", "POST", "/api/metrics/cleanup")
        # One of the components has rows.
        gone = ["days", *(f"gone-{number}" for number in range(1, CLIENTS))]
        paths = [f"/api/runtime/{register(server.url, name)}" for name in gone]
        seen["deletion"] = ask_at_once(server.url, "DELETE", paths)
        with psycopg.connect(server.database_url) as connection:
            left = connection.execute(
                "SELECT count(*) FROM noetl.metric WHERE metric_name LIKE 'days%'"
            ).fetchone()
    sys.stderr.write("".join(f"{name}: {found.seconds:.1f} s\n" for name, found in seen.items()))
    assert {name: {200} for name in seen} == {name: found.statuses for name, found in seen.items()}
    assert (0,) == left
