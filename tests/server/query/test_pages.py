"""The pages of a query: their order, their borders, and what PostgreSQL reads for them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from server_stub.postgresql.created import ANY_TIME
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.latest import latest_samples_query
from server_stub.query.recent_rows import (
    is_of_a_series,
    select_metrics_parameters,
    select_metrics_query,
)
from server_stub.timestamps import parse_timestamp
from tests.server.application import insert, sample, values

if TYPE_CHECKING:
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_pages_go_by_time(api: Api, order: str) -> None:
    """A late sample has its place by its time; samples of one time go by their ids."""
    runtime_id = api.register()
    insert(api, runtime_id, *[sample(metric_value=second, timestamp=second) for second in (5, 9)])
    insert(api, runtime_id, *[sample(metric_value=second, timestamp=second) for second in (3, 7)])
    insert(api, runtime_id, sample(metric_value=5.5, timestamp=5))
    rising = [3, 5, 5.5, 7, 9]
    expected = rising if order == "asc" else rising[::-1]
    assert expected == values(api, runtime_id=runtime_id, order=order)


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_pages_hold_every_row_once_while_rows_arrive(api: Api, order: str) -> None:
    """Rows that arrive between two pages neither repeat nor hide the earlier rows.

    Some of the earlier rows have one time across the border of a page, and some are in
    yesterday's partition.
    """
    runtime_id = api.register()
    seconds = [1, 1, 1, 2, 2, 2, 2, 2, 3, 4]
    there = [
        sample(metric_value=place, timestamp=second + place % 2 / 1_000_000)
        for place, second in enumerate(seconds)
    ]
    insert(api, runtime_id, *there)
    api.sql(
        "UPDATE noetl.metric SET created_at = date_trunc('day', now(), 'UTC') - interval '1 ms' "
        "WHERE runtime_id = %s AND metric_value::int %% 3 = 0",
        int(runtime_id),
    )
    assert [(2,)] == api.sql("SELECT count(DISTINCT tableoid) FROM noetl.metric")
    parameters = {"runtime_id": runtime_id, "limit": "3", "order": order}
    seen: list[tuple[str, int]] = []
    for _ in range(20):
        page = api.get("/api/metrics", params=parameters).json()
        seen += [(one["timestamp"], int(one["metric_id"])) for one in page["metrics"]]
        # Before, among and after the earlier rows.
        arriving = [sample(metric_value=-1, timestamp=second) for second in (0, 2, 2.000001, 5)]
        insert(api, runtime_id, *arriving)
        parameters["cursor"] = page["next_cursor"]
        if page["next_cursor"] is None or len(seen) >= 45:
            break
    assert seen == sorted(seen, reverse=order == "desc")
    ids_there = {
        metric_id
        for (metric_id,) in api.sql(
            "SELECT metric_id FROM noetl.metric WHERE metric_value >= 0 AND runtime_id = %s",
            int(runtime_id),
        )
    }
    assert sorted(ids_there) == sorted(row for _, row in seen if row in ids_there)
    assert len(set(seen)) == len(seen)


def test_a_cursor_belongs_to_its_query(embedded_api_shared: Api) -> None:
    """A cursor of another query is refused and does not skip rows."""
    api = embedded_api_shared
    runtime_id = api.register("cursors")
    insert(api, runtime_id, sample(), sample())
    parameters = {"runtime_id": runtime_id, "limit": "1"}
    cursor = api.get("/api/metrics", params=parameters).json()["next_cursor"]
    for other in ({"order": "asc"}, {"metric_name": "jobs_total"}):
        answer = api.get("/api/metrics", params={**parameters, **other, "cursor": cursor})
        assert 400 == answer.status_code
        assert "another query" in answer.json()["detail"]
    assert [1.0] == values(api, **parameters, cursor=cursor)


def plan_of(api: Api, filters: dict[str, Any], **parameters: str) -> str:
    """Return how PostgreSQL executes a page of a query, as JSON."""
    parameters = {"retention": "1 day", "sample_ahead": "1 day", **ANY_TIME} | parameters
    with psycopg.connect(api.database_url) as connection:
        if is_of_a_series(filters):
            connection.execute(read_sql("query/plan_in_order.sql"))
        plan = connection.execute(
            "EXPLAIN (FORMAT JSON) " + select_metrics_query(filters, "desc"),
            select_metrics_parameters(filters | {"limit": 10}) | parameters,
        ).fetchone()
    assert plan is not None
    return json.dumps(plan[0])


def test_queries_look_into_the_partitions_of_the_retention_only(api: Api) -> None:
    """Older and later partitions are pruned from the plan."""
    for day in ("2024-01-01", "2024-01-02"):
        api.sql("SELECT noetl.create_metric_partition(%s)", day)
    text = plan_of(api, {"runtime_id": 1})
    assert "metric_2024_01" not in text
    assert "Subplans Removed" in text


def test_a_start_time_prunes_the_partitions_before_it(api: Api) -> None:
    """No sample is more than a day ahead of its insertion, so older partitions cannot have it."""
    for day in ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"):
        api.sql("SELECT noetl.create_metric_partition(%s)", day)
    everything = plan_of(api, {}, retention="10 years")
    start_time = parse_timestamp("2024-01-03T12:00:00Z")
    found = plan_of(api, {"start_time": start_time}, retention="10 years")
    for text, partitions in ((everything, {1, 2, 3, 4}), (found, {2, 3, 4})):
        assert partitions == {day for day in (1, 2, 3, 4) if f'"metric_2024_01_0{day}"' in text}
    assert "Subplans Removed" in found


def test_a_page_of_a_series_is_read_in_its_order(api: Api) -> None:
    """A page costs its own rows, not the series' rows: nothing is sorted or read whole."""
    insert(api, api.register(), *[sample(labels={"a": str(i)}, timestamp=i) for i in range(500)])
    api.sql("ANALYZE noetl.metric")
    series = {"runtime_id": 1, "metric_name": "jobs_total", "labels": {"a": "1"}}
    text = plan_of(api, series)
    assert '"Incremental Sort"' in text
    assert "_runtime_id_metric_name_timestamp_idx" in text
    assert '"Scan Direction": "Backward"' in text
    assert '"Node Type": "Sort"' not in text
    assert "Bitmap" not in text


def test_labels_are_found_by_their_index(api: Api) -> None:
    """The index finds a label that few samples have, without reading all the others."""
    samples = [sample(labels={"a": str(i)}, timestamp=i) for i in range(10_000)]
    insert(api, api.register(), *samples)
    # New rows wait in a list of the index until a vacuum comes, or an insert that fills the list.
    api.sql("VACUUM ANALYZE noetl.metric")
    assert "_labels_idx" in plan_of(api, {"labels": {"a": "17"}})


def test_a_page_for_prometheus_of_one_component_reads_its_rows_only(api: Api) -> None:
    """A filtered page reads its component's rows, however much others have reported."""
    mine, other = api.register("cpu-01"), api.register("cpu-02")
    for runtime_id, count in ((mine, 10), (other, 5_000)):
        insert(api, runtime_id, *[sample(labels={"a": str(n)}) for n in range(count)])
    api.sql("ANALYZE noetl.metric")
    with psycopg.connect(api.database_url) as connection:
        plan = connection.execute(
            "EXPLAIN (ANALYZE, FORMAT JSON) " + latest_samples_query({"runtime_id"}),
            {"lookback": "5 minutes", "runtime_id": int(mine), **ANY_TIME},
        ).fetchone()
    assert plan is not None
    assert 10 == plan[0][0]["Plan"]["Actual Rows"]
    read_in_vain = re.findall(r'"Rows Removed by Filter": (\d+)', json.dumps(plan[0]))
    assert sum(map(int, read_in_vain)) < 100
