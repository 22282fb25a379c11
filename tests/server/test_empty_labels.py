"""An empty label is no label: in the table, on pages, in filters, in charts, and elsewhere."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.application import insert, running_api, sample
from tests.server.histories import RECEIVERS, exporting_api

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.application import Api

pytestmark = pytest.mark.once

SERIES: list[dict[str, str]] = [{}, {"a": ""}, {"a": "x"}, {"a": "", "b": "y"}, {"b": "y"}]


def report(api: Api) -> None:
    runtime_id = api.register("pool-1")
    insert(api, runtime_id, *[
        sample(metric_name="level", metric_type="gauge", labels=labels, metric_value=float(value),
               timestamp=time.time() - 10 + value)
        for value, labels in enumerate(SERIES)
    ])  # fmt: skip


def check_filters(api: Api) -> None:
    """Compare pages and charts with what a label without a value means in a filter."""
    for labels, expected in (
        ({"a": ""}, [0.0, 1.0, 3.0, 4.0]),
        ({"a": "", "b": "y"}, [3.0, 4.0]),
        ({"a": "", "b": ""}, [0.0, 1.0]),
        ({"a": "x"}, [2.0]),
        ({"missing": ""}, [0.0, 1.0, 2.0, 3.0, 4.0]),
    ):
        asked = {"metric_name": "level", "labels": json.dumps(labels)}
        page = api.get("/api/metrics", params=asked).json()["metrics"]
        assert expected == sorted(row["metric_value"] for row in page), labels
        chart = api.get(
            "/api/metrics/series", params=asked | {"aggregation": "count", "step": 86_400}
        ).json()
        assert len(expected) == sum(value for _, value in chart["series"][0]["points"]), labels


def test_the_table_and_the_page_have_no_empty_label(api: Api) -> None:
    """Samples of a series that is written in two ways are of one series, and filters find both."""
    report(api)
    stored = [labels for *_, labels in api.stored()]
    assert [{}, {}, {"a": "x"}, {"b": "y"}, {"b": "y"}] == stored
    lines = [line for line in api.get("/metrics").text.splitlines() if line.startswith("level{")]
    assert [1.0, 2.0, 4.0] == sorted(float(line.rsplit(" ", 1)[1]) for line in lines)
    check_filters(api)


def test_rows_of_another_program_are_read_alike(embedded_api: Api) -> None:
    """A row that has an empty label, or no labels at all, is found as if it had none."""
    api = embedded_api
    runtime_id = api.register("pool-1")
    for value, labels in enumerate([None, *SERIES[1:]]):
        api.sql(
            "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, labels) "
            "VALUES (%s, 'level', 'gauge', %s, %s::jsonb)",
            int(runtime_id), value, None if labels is None else json.dumps(labels),
        )  # fmt: skip
    check_filters(api)
    page = api.get("/metrics").text
    assert 3 == page.count("level{")
    assert '=""' not in page


@pytest.mark.parametrize("receiver", RECEIVERS)
def test_a_time_series_database_has_no_empty_label(
    database_url: str, receiver: Any, tmp_path: Path
) -> None:
    """Its series are the same ones, and the same filters choose them."""
    with (
        receiver(tmp_path) as program,
        exporting_api(database_url, program, storage="remote-write") as api,
    ):
        report(api)
        program.wait_until("count(level)", (3.0).__eq__)
        program.wait_until("sum(count_over_time(level[10m]))", (5.0).__eq__)
        check_filters(api)


def test_a_limit_on_labels_counts_those_with_a_value(database_url: str) -> None:
    """A label without a value is none for the limit either, but its name has to be valid."""
    with running_api(database_url, labels_max=1) as api:
        runtime_id = api.register()
        insert(api, runtime_id, sample(labels={"a": "x", "b": "", "c": ""}))
        answer = api.insert({"runtime_id": runtime_id, "metrics": [sample(labels={"a b": ""})]})
        assert 1 == answer.json()["metrics_rejected"]
