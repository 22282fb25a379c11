"""`GET /api/metrics` and its kin: filters, pages, retention, bad parameters."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from server_stub import exposition
from server_stub.sql_files import read_sql
from server_stub.store import (
    is_of_a_series,
    select_metrics_parameters,
    select_metrics_query,
)
from server_stub.timestamps import parse_timestamp
from tests.server.conftest import sample

if TYPE_CHECKING:
    from tests.server.conftest import Api


def values(api: Api, path: str = "/api/metrics", **parameters: Any) -> list[float]:
    answer = api.get(path, params=parameters)
    assert 200 == answer.status_code, answer.text
    return [metric["metric_value"] for metric in answer.json()["metrics"]]


def insert(api: Api, runtime_id: str, *samples: dict[str, Any]) -> None:
    answer = api.insert({"runtime_id": runtime_id, "metrics": list(samples)}).json()
    assert answer["metrics_inserted"] == len(samples)


def test_a_metric_comes_back_as_it_was_sent(api: Api) -> None:
    """Ids are strings, times are UTC, and every field is there."""
    runtime_id = api.register("cpu-01")
    full = sample(
        labels={"a": "b"}, help_text="Jobs", unit="jobs", timestamp="2026-01-31T13:00:00+01:00"
    )
    insert(api, runtime_id, full)
    page = api.get("/api/metrics", params={"runtime_id": runtime_id}).json()
    (metric,) = page["metrics"]
    assert page["next_cursor"] is None
    assert metric.pop("created_at").endswith("Z")
    assert metric.pop("metric_id").isdecimal()
    assert metric == {
        **full,
        "runtime_id": runtime_id,
        "component_name": "cpu-01",
        "component_type": "worker_pool",
        "timestamp": "2026-01-31T12:00:00.000000Z",
    }


def test_every_filter_selects(api: Api) -> None:
    """Each filter answers what matches, newest first."""
    first, second = api.register("cpu-01"), api.register("cpu-02")
    insert(
        api,
        first,
        sample(metric_value=1, timestamp=1000, labels={"status": "ok", "queue": "a"}),
        sample(metric_value=2, timestamp=2000, labels={"status": "failed"}),
        sample(metric_value=3, timestamp=3000, metric_name="load", metric_type="gauge"),
    )
    insert(api, second, sample(metric_value=4, timestamp=4000, labels={"status": "ok"}))
    expected: list[tuple[dict[str, Any], list[float]]] = [
        ({"runtime_id": first}, [3, 2, 1]),
        ({"component_name": "cpu-02"}, [4]),
        ({"metric_name": "load"}, [3]),
        ({"component_name": "cpu-01", "metric_type": "gauge"}, [3]),
        ({"component_name": "cpu-01", "start_time": "2000"}, [3, 2]),
        ({"component_name": "cpu-01", "end_time": "1970-01-01T00:33:20+00:00"}, [1]),
        ({"labels": '{"status": "ok"}'}, [4, 1]),
        ({"labels": "{}", "component_name": "cpu-02"}, [4]),
        ({"runtime_id": first, "order": "asc"}, [1, 2, 3]),
        ({"runtime_id": first, "limit": "2"}, [3, 2]),
        ({"metric_name": "none"}, []),
    ]
    for parameters, found in expected:
        assert values(api, **parameters) == found
        assert values(api, "/api/metrics/query", **parameters) == found
    assert [3, 2, 1] == values(api, f"/api/runtime/{first}/metrics")
    assert [3] == values(api, f"/api/runtime/{first}/metrics", metric_name="load")


def test_all_filters_hold_at_once(api: Api) -> None:
    """Where each filter alone leaves something out, all together leave what matches every one."""
    first, second = api.register("cpu-01"), api.register("cpu-02")
    third = api.register("cpu-01", kind="server_api")
    wanted = sample(timestamp=2000, labels={"status": "ok", "queue": "a"})
    insert(
        api,
        first,
        *[wanted | {"metric_value": value} for value in (1, 2, 3)],
        wanted | {"metric_value": 4, "metric_name": "jobs"},
        wanted | {"metric_value": 5, "metric_type": "gauge"},
        wanted | {"metric_value": 6, "timestamp": 1999},
        wanted | {"metric_value": 7, "timestamp": 3000},
        wanted | {"metric_value": 8, "labels": {"status": "ok"}},
    )
    insert(api, second, wanted | {"metric_value": 9})
    insert(api, third, wanted | {"metric_value": 10})
    filters = {
        "runtime_id": first,
        "component_name": "cpu-01",
        "metric_name": "jobs_total",
        "metric_type": "counter",
        "start_time": "2000",
        "end_time": "1970-01-01T00:50:00Z",
        "labels": '{"queue": "a"}',
    }
    tests_own = {float(value) for value in range(1, 11)}
    # The server's own metrics are there as well.
    excluded = {
        name: tests_own - {*values(api, limit=10_000, **{name: filters[name]})} for name in filters
    }
    assert excluded == {
        "runtime_id": {9, 10},
        "component_name": {9},
        "metric_name": {4},
        "metric_type": {5},
        "start_time": {6},
        "end_time": {7},
        "labels": {8},
    }
    parameters = filters | {"limit": "2", "order": "asc"}
    page = api.get("/api/metrics", params=parameters).json()
    assert [1, 2] == [metric["metric_value"] for metric in page["metrics"]]
    parameters["cursor"] = page["next_cursor"]
    page = api.get("/api/metrics", params=parameters).json()
    assert ([3], None) == (
        [metric["metric_value"] for metric in page["metrics"]],
        page["next_cursor"],
    )


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_pages_go_by_time(api: Api, order: str) -> None:
    """What arrives late has its place by its time; samples of one time go by their ids."""
    runtime_id = api.register()
    insert(api, runtime_id, *[sample(metric_value=second, timestamp=second) for second in (5, 9)])
    insert(api, runtime_id, *[sample(metric_value=second, timestamp=second) for second in (3, 7)])
    insert(api, runtime_id, sample(metric_value=5.5, timestamp=5))
    rising = [3, 5, 5.5, 7, 9]
    expected = rising if order == "asc" else rising[::-1]
    assert expected == values(api, runtime_id=runtime_id, order=order)


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_pages_hold_every_row_once_while_rows_arrive(api: Api, order: str) -> None:
    """Rows that arrive between two pages neither repeat nor hide those that were there.

    Of those there were, some are of one time over the border of a page, and some in yesterday's
    partition.
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
        # Before, among and after those that were there.
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


@pytest.mark.parametrize(
    ("parameters", "status", "detail"),
    [
        ({"runtime_id": "x"}, 400, "runtime_id 'x' is not valid"),
        ({"runtime_id": str(2**63)}, 400, "whole number from 0 to"),
        ({"metric_type": "timer"}, 422, "'counter', 'gauge', 'histogram' or 'summary'"),
        ({"metric_name": "a\x00"}, 400, "metric_name"),
        ({"component_name": "\x00"}, 400, "component_name"),
        ({"start_time": "yesterday"}, 400, "start_time: timestamp 'yesterday' is not valid"),
        ({"start_time": "2026-01-01T00:00:00"}, 400, "no offset"),
        ({"end_time": "1e99"}, 400, "years 1 to 9999"),
        ({"labels": "status=ok"}, 400, "JSON object of strings"),
        ({"labels": '{"a": 1}'}, 400, "JSON object of strings"),
        ({"labels": '{"a": "\\u0000"}'}, 400, "NUL"),
        ({"labels": "[" * 20_000}, 400, "JSON object of strings"),
        ({"limit": "0"}, 422, "greater than or equal to 1"),
        ({"limit": "10001"}, 422, "less than or equal to 10000"),
        ({"limit": "x"}, 422, "query.limit is 'x'"),
        ({"order": "up"}, 422, "'asc' or 'desc'"),
        ({"cursor": "x"}, 400, "cursor 'x' is not valid"),
        ({"cursor": "ü"}, 400, "is not valid"),
        ({"name": "jobs_total"}, 422, "query.name"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_parameter_is_refused(
    embedded_api_shared: Api, parameters: dict[str, str], status: int, detail: str
) -> None:
    """A parameter that is not valid or not known is named, with what is right."""
    for path in ("/api/metrics", "/api/metrics/query"):
        answer = embedded_api_shared.get(path, params=parameters)
        assert answer.status_code == status
        assert ["detail"] == list(answer.json())
        assert detail in answer.json()["detail"]


def test_a_cursor_belongs_to_its_query(embedded_api_shared: Api) -> None:
    """A cursor that is taken to another query is refused rather than skipping rows."""
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


def test_a_component_that_is_not_registered_is_404(embedded_api_shared: Api) -> None:
    """The metrics of an unknown component are not an empty page."""
    unknown = embedded_api_shared.get("/api/runtime/4/metrics")
    assert (404, ["detail"]) == (unknown.status_code, list(unknown.json()))
    invalid = embedded_api_shared.get("/api/runtime/x/metrics")
    assert 400 == invalid.status_code
    assert "runtime_id 'x' is not valid" in invalid.json()["detail"]


def test_readers_see_nothing_past_the_retention(api: Api) -> None:
    """Rows that have expired are on disk until their partition goes, and in no answer."""
    runtime_id = api.register()
    insert(api, runtime_id, sample(metric_value=1), sample(metric_value=2))
    api.sql("UPDATE noetl.metric SET expires_at = now() WHERE metric_value = 1")
    assert [2] == values(api, runtime_id=runtime_id)
    assert "jobs_total" in api.get("/metrics").text
    api.sql("UPDATE noetl.metric SET expires_at = now()")
    assert [] == values(api, runtime_id=runtime_id)
    assert "jobs_total" not in api.get("/metrics").text


def plan_of(api: Api, filters: dict[str, Any], **parameters: str) -> str:
    """Return how a page of a query is executed, as JSON."""
    parameters = {"retention": "1 day", "sample_ahead": "1 day"} | parameters
    with psycopg.connect(api.database_url) as connection:
        if is_of_a_series(filters):
            connection.execute(read_sql("queries/plan_in_order.sql"))
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
    """A page costs what is on it, and not what the series has: nothing is sorted or read whole."""
    insert(api, api.register(), *[sample(labels={"a": str(i)}, timestamp=i) for i in range(500)])
    api.sql("ANALYZE noetl.metric")
    series = {"runtime_id": 1, "metric_name": "jobs_total", "labels": {"a": "1"}}
    text = plan_of(api, series)
    assert '"Incremental Sort"' in text
    assert "_runtime_id_metric_name_timestamp_idx" in text
    assert '"Scan Direction": "Backward"' in text
    assert '"Node Type": "Sort"' not in text
    assert "Bitmap" not in text


def test_the_latest_sample_of_each_series_is_exposed(api: Api) -> None:
    """The page has each recent series once, with its latest value and its component."""
    runtime_id = api.register("cpu-01")
    insert(api, runtime_id, sample(metric_value=1, labels={"a": 'x"\n\\'}), sample(metric_value=7))
    insert(api, runtime_id, sample(metric_value=2, labels={"a": 'x"\n\\'}))
    insert(api, runtime_id, sample(metric_name="ancient", timestamp=1000))
    for path in ("/metrics", "/api/metrics/prometheus"):
        answer = api.get(path)
        assert "text/plain; version=0.0.4; charset=utf-8" == answer.headers["content-type"]
        own = f'runtime_id="{runtime_id}",component="cpu-01",component_type="worker_pool"'
        assert [line for line in answer.text.splitlines() if line.startswith("jobs_total")] == [
            f'jobs_total{{a="x\\"\\n\\\\",{own}}} 2.0',
            f"jobs_total{{{own}}} 7.0",
        ]
        assert "ancient" not in answer.text


def test_a_time_in_the_future_does_not_hide_what_follows(api: Api) -> None:
    """A sample of a clock that is ahead is followed by those that arrive after it."""
    runtime_id = api.register("cpu-01")
    ahead = time.time() + 3_600
    insert(api, runtime_id, sample(metric_name="ahead", metric_value=1, timestamp=ahead))
    insert(api, runtime_id, sample(metric_name="ahead", metric_value=2))
    lines = [line for line in api.get("/metrics").text.splitlines() if line.startswith("ahead{")]
    assert ["2.0"] == [line.rsplit(" ", 1)[1] for line in lines]


def test_a_page_for_prometheus_holds_up_nobody(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a page of many series is being made, other requests are served."""
    rendering, served = threading.Event(), threading.Event()

    def render(samples: object) -> str:
        rendering.set()
        return f"served meanwhile: {served.wait(30)}"

    monkeypatch.setattr(exposition, "render", render)
    pages: list[str] = []
    scrape = threading.Thread(target=lambda: pages.append(embedded_api.get("/metrics").text))
    scrape.start()
    assert rendering.wait(30)
    assert 200 == embedded_api.get("/healthz").status_code
    served.set()
    scrape.join()
    assert ["served meanwhile: True"] == pages
