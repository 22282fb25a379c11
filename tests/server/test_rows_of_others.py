"""Rows that another program has inserted, and that no answer can hold, stop nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from server_stub.components.deletion import ROWS_DELETED_AT_ONCE
from tests.server.application import insert, running_api, sample
from tests.server.receiving import FakeReceiver, export_to

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.postgresql import Cluster
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

BAD_LABELS = {
    "a JSON null": "null",
    "an array": "[]",
    "a text": '"x"',
    "a number": "7",
    "an object with a number that is too long": f'{{"a": {"9" * 5_000}}}',
    "an object that is nested too deep": f'{{"a": {"[" * 3_000}{"]" * 3_000}}}',
}
BAD_TIMES = ("infinity", "-infinity", "20000-01-01 00:00Z", "0044-03-15 00:00Z BC")
IN_CHARTS = 4
"""How many of the labels are no object at all: PostgreSQL can read the others."""

ROWS_OF_A_TIME = ROWS_DELETED_AT_ONCE + 1

INSERT = (
    "INSERT INTO noetl.metric"
    " (runtime_id, metric_name, metric_type, metric_value, labels, timestamp)"
    " VALUES (%s, 'jobs_total', 'counter', 9, %s::jsonb, coalesce(%s::timestamptz, now()))"
)


@pytest.fixture(scope="module")
def api(postgresql: Cluster) -> Generator[Api]:
    """An application whose table has good rows, and all kinds of bad ones."""
    with postgresql.database() as url, running_api(url) as running:
        runtime_id = running.register("cpu-01")
        now = time.time()
        insert(
            running, runtime_id, *(sample(metric_value=n, timestamp=now + n / 1000) for n in (1, 2))
        )
        with psycopg.connect(url) as connection:
            for labels in BAD_LABELS.values():
                connection.execute(INSERT, (int(runtime_id), labels, None))
            for moment in BAD_TIMES:
                connection.execute(INSERT, (int(runtime_id), "{}", moment))
        yield running


def omitted(api: Api, name: str) -> float:
    value = api.app.state.resources.statistics.registry.get_sample_value(f"noetl_api_{name}")
    assert value is not None
    return float(value)


def test_a_page_for_prometheus_leaves_them_out(api: Api) -> None:
    """The page has the other rows, and the statistics count what is not on it."""
    before = omitted(api, "exposition_series_omitted_total")
    answer = api.get("/metrics")
    assert 200 == answer.status_code
    (line,) = [one for one in answer.text.splitlines() if one.startswith("jobs_total{")]
    assert line.endswith(" 2.0")
    # Of two numbers of one series only the latest would be on it.
    assert before + len(BAD_LABELS) == omitted(api, "exposition_series_omitted_total")


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_leave_them_out(api: Api, order: str) -> None:
    """Page by page, every other row is there, in order; what is left out is counted."""
    before = omitted(api, "rows_omitted_total")
    found: list[Any] = []
    parameters: dict[str, Any] = {"metric_name": "jobs_total", "limit": 1, "order": order}
    while True:
        answer = api.get("/api/metrics", params=parameters)
        assert 200 == answer.status_code, answer.text
        found += answer.json()["metrics"]
        parameters["cursor"] = answer.json()["next_cursor"]
        if parameters["cursor"] is None:
            break
    expected = [1, 2] if order == "asc" else [2, 1]
    assert expected == [one["metric_value"] for one in found]
    assert before + len(BAD_LABELS) == omitted(api, "rows_omitted_total")


@pytest.mark.parametrize("aggregation", ["count", "sum", "last", "increase"])
def test_charts_leave_them_out(api: Api, aggregation: str) -> None:
    """A chart has the other series, and the statistics count those that are not in it."""
    before = omitted(api, "rows_omitted_total")
    answer = api.get(
        "/api/metrics/series",
        params={"metric_name": "jobs_total", "aggregation": aggregation, "step": "864000"},
    )
    assert 200 == answer.status_code, answer.text
    assert answer.json()["series"]
    assert before + IN_CHARTS == omitted(api, "rows_omitted_total")


def test_the_export_leaves_them_out(api: Api) -> None:
    """The export goes on behind them, and counts them as invalid."""
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
        assert [1.0, 2.0] == [value for value in fake.values("jobs_total") if value < 9]
        # A time that is finite is for the receiver to judge.
        assert len(BAD_LABELS) + 2 == export.dropped("invalid")


def test_a_component_with_such_documents_is_listed(api: Api) -> None:
    """One component's documents that cannot be read hide no other component."""
    api.register("odd")
    too_long = BAD_LABELS["an object with a number that is too long"]
    too_deep = "[" * 3_000 + "]" * 3_000
    api.sql("UPDATE noetl.runtime SET runtime = %s::jsonb, labels = %s::jsonb WHERE name = 'odd'",
            too_long, too_deep)  # fmt: skip
    answer = api.get("/api/runtime")
    assert 200 == answer.status_code
    first, odd = answer.json()["components"]
    assert ("cpu-01", "odd") == (first["name"], odd["name"])
    assert (too_long.replace(" ", ""), too_deep) == (odd["runtime"].replace(" ", ""), odd["labels"])


def test_rows_without_a_place_in_time_are_counted(api: Api) -> None:
    """The maintenance counts the rows that no page and no chart can show because of their time."""
    api.loop.run(api.app.state.resources.maintenance.run_once())
    assert len(BAD_TIMES) == omitted(api, "rows_unreadable")


def test_a_component_is_deleted_with_them(embedded_api: Api) -> None:
    """Rows of any time and of any labels go with their component, in portions."""
    api = embedded_api
    runtime_id = api.register("cpu-01")
    for moment in BAD_TIMES:
        api.sql(
            "INSERT INTO noetl.metric"
            " (runtime_id, metric_name, metric_type, metric_value, labels, timestamp)"
            " SELECT %s, 'jobs_total', 'counter', n, '[]', %s"
            f" FROM generate_series(1, {ROWS_OF_A_TIME}) AS n",
            int(runtime_id),
            moment,
        )
    answer = api.request("DELETE", f"/api/runtime/{runtime_id}")
    expected = ROWS_OF_A_TIME * len(BAD_TIMES)
    assert (200, expected) == (answer.status_code, answer.json()["metrics_deleted"])
