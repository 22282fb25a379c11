"""`GET /api/metrics` and its kin: filters, retention, invalid parameters."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.application import insert, sample, values

if TYPE_CHECKING:
    from tests.server.application import Api

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once


def test_a_metric_comes_back_as_it_was_sent(api: Api) -> None:
    """Ids are strings, times are UTC, and the answer has every field."""
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
    """Each filter selects the samples that match, newest first."""
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
    """Each filter leaves something out; all together select what matches every one of them."""
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
    excluded = {}
    for name, text in filters.items():
        found = api.get("/api/metrics", params={name: text, "limit": 10_000}).json()["metrics"]
        # The server's own metrics may be there as well, with any values.
        excluded[name] = tests_own - {
            metric["metric_value"] for metric in found if metric["component_name"].startswith("cpu")
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
        ({"name": "jobs_total"}, 422, "no query parameter 'name'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_parameter_is_refused(
    embedded_api_shared: Api, parameters: dict[str, str], status: int, detail: str
) -> None:
    """An invalid or unknown parameter is named, with what is right."""
    for path in ("/api/metrics", "/api/metrics/query"):
        answer = embedded_api_shared.get(path, params=parameters)
        assert answer.status_code == status
        assert ["detail"] == list(answer.json())
        assert detail in answer.json()["detail"]


def test_a_component_that_is_not_registered_is_404(embedded_api_shared: Api) -> None:
    """The metrics of an unknown component are no empty page."""
    unknown = embedded_api_shared.get("/api/runtime/4/metrics")
    assert (404, ["detail"]) == (unknown.status_code, list(unknown.json()))
    invalid = embedded_api_shared.get("/api/runtime/x/metrics")
    assert 400 == invalid.status_code
    assert "runtime_id 'x' is not valid" in invalid.json()["detail"]


def test_readers_see_nothing_past_the_retention(api: Api) -> None:
    """Expired rows are on disk until their partition goes, and in no answer."""
    runtime_id = api.register()
    insert(api, runtime_id, sample(metric_value=1), sample(metric_value=2))
    api.sql("UPDATE noetl.metric SET expires_at = now() WHERE metric_value = 1")
    assert [2] == values(api, runtime_id=runtime_id)
    assert "jobs_total" in api.get("/metrics").text
    api.sql("UPDATE noetl.metric SET expires_at = now()")
    assert [] == values(api, runtime_id=runtime_id)
    assert "jobs_total" not in api.get("/metrics").text


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
    """Samples that arrive later replace a sample from a clock that is ahead."""
    runtime_id = api.register("cpu-01")
    ahead = time.time() + 3_600
    insert(api, runtime_id, sample(metric_name="ahead", metric_value=1, timestamp=ahead))
    insert(api, runtime_id, sample(metric_name="ahead", metric_value=2))
    lines = [line for line in api.get("/metrics").text.splitlines() if line.startswith("ahead{")]
    assert ["2.0"] == [line.rsplit(" ", 1)[1] for line in lines]
