"""A query locks the days that it reads, whatever others there are; a page reads few at once."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from server_stub.postgresql.created import DAYS_AT_ONCE, Created
from server_stub.query.page_bytes import PAGE_BYTES_MAX
from tests.server.application import running_api

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.postgresql import Cluster
    from tests.server.application import Api

pytestmark = pytest.mark.once

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
DAYS = 80


@pytest.fixture(scope="module")
def many_days(postgresql: Cluster) -> Generator[Api]:
    """A server that keeps ten years, with partitions of the last 80 days and a row in each."""
    with postgresql.database() as url, running_api(url, retention_days=3650) as api:
        runtime_id = api.register("pool-1")
        api.sql(
            "SELECT noetl.create_metric_partition(current_date - n) "
            f"FROM generate_series(1, {DAYS}) AS n"
        )
        # Every third row came three days late.
        api.sql(
            "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, "
            "timestamp, created_at, expires_at) SELECT %s, 'level', 'gauge', n, "
            "at - CASE WHEN n %% 3 = 1 THEN interval '3 days' ELSE interval '0' END, at, "
            "'infinity' FROM (SELECT n, now() - n * interval '1 day' AS at "
            f"FROM generate_series(0, {DAYS} - 1) AS n) AS days",
            int(runtime_id),
        )
        yield api


@pytest.fixture
def locked(many_days: Api, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many partitions each transaction of the server's had locked when it ended."""
    found: list[int] = []
    commit = psycopg.AsyncConnection.commit

    async def counting(connection: Any) -> None:
        cursor = await connection.execute(
            "SELECT count(DISTINCT relation) FROM pg_locks INNER JOIN pg_inherits "
            "ON relation = inhrelid WHERE pid = pg_backend_pid() "
            "AND inhparent = 'noetl.metric'::regclass"
        )
        found.append((await cursor.fetchone())[0])
        await commit(connection)

    monkeypatch.setattr(psycopg.AsyncConnection, "commit", counting)
    return found


def times(api: Api, **parameters: Any) -> list[str]:
    """Return the times of all pages of a query."""
    seen: list[str] = []
    while True:
        answer = api.get("/api/metrics", params={"metric_name": "level", **parameters}).json()
        seen += [row["timestamp"] for row in answer["metrics"]]
        if answer["next_cursor"] is None:
            return seen
        parameters["cursor"] = answer["next_cursor"]


@pytest.mark.parametrize(
    ("path", "partitions"),
    [
        # In the first minutes of a day, the last minutes are in the day before.
        ("/metrics", 3),
        # An empty chart is answered with what there is instead, which is looked for in many days.
        ("/api/metrics/series?metric_name=level", int(DAYS_AT_ONCE.days) + 2),
        ("/api/metrics?limit=1", int(DAYS_AT_ONCE.days) + 1),
        ("/api/metrics?limit=1&order=asc", int(DAYS_AT_ONCE.days) + 1),
        ("/api/metrics?start_time={yesterday}&limit=100", 4),
        ("/api/metrics/series?metric_name=level&start_time={yesterday}", 5),
        ("/api/metrics/names", int(DAYS_AT_ONCE.days) + 2),
        ("/api/metrics/labels?metric_name=level", int(DAYS_AT_ONCE.days) + 2),
        ("/api/metrics/labels/a/values?metric_name=level&start_time={yesterday}", 4),
    ],
)
def test_a_query_locks_the_days_that_it_reads(
    many_days: Api, locked: list[int], path: str, partitions: int
) -> None:
    """Days that a query excludes, and days of another portion, are not even locked."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).timestamp()
    answer = many_days.get(path.format(yesterday=yesterday))
    assert 200 == answer.status_code, answer.text
    assert 0 < max(locked) <= partitions


def test_the_list_of_partitions_locks_none(many_days: Api, locked: list[int]) -> None:
    """It has all of them, and keeps none locked until it ends."""
    listed = many_days.get("/api/metrics/partitions").json()["partitions"]
    assert (DAYS + 8, {0}) == (len(listed), set(locked))


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    ("limit", "bytes_max"), [(7, PAGE_BYTES_MAX), (1000, PAGE_BYTES_MAX), (1000, 1500)]
)
def test_pages_of_many_days_are_in_the_order_of_time(
    many_days: Api, monkeypatch: pytest.MonkeyPatch, order: str, limit: int, bytes_max: int
) -> None:
    """Each row is on exactly one page, in its place, though some came late, and though a page ends
    at its bytes."""
    monkeypatch.setattr("server_stub.postgresql.created.DAYS_AT_ONCE", timedelta(days=9))
    monkeypatch.setattr("server_stub.query.recent_rows.PAGE_BYTES_MAX", bytes_max)
    seen = times(many_days, order=order, limit=limit)
    assert DAYS == len(set(seen)) == len(seen)
    assert seen == sorted(seen, reverse=order == "desc")


def test_the_newest_page_ends_at_the_first_portion(many_days: Api, locked: list[int]) -> None:
    """Only the transaction that reads the newest days locks any."""
    many_days.get("/api/metrics?limit=3")
    assert 1 == len([count for count in locked if count])


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("days", [0, 1, 32, 33, 3650])
def test_portions_have_all_of_the_time_once(days: int, *, newest_first: bool) -> None:
    """They follow on each other without a gap, each of 32 days at most."""
    whole = Created(NOW - timedelta(days=days), NOW)
    portions = list(whole.portions(newest_first=newest_first))
    ordered = portions[::-1] if newest_first else portions
    assert -(-days // DAYS_AT_ONCE.days) == len(portions)
    assert all(one.until == other.after for one, other in itertools.pairwise(ordered))
    assert all(one.until - one.after <= DAYS_AT_ONCE for one in portions)
    if portions:
        assert whole == Created(ordered[0].after, ordered[-1].until)
