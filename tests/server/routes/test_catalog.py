"""The routes that say what there is to ask for: names of metrics, labels, and their values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.server.application import insert, running_api, sample
from tests.server.charts import INF, T, ask, at

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.postgresql import Cluster
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

LOAD: dict[str, Any] = {"metric_name": "load", "start_time": T, "end_time": T + 3_600}


def found(api: Api, path: str, **parameters: Any) -> dict[str, Any]:
    answer = api.get(path, params=parameters)
    assert 200 == answer.status_code, answer.text
    body: dict[str, Any] = answer.json()
    return body


def names(api: Api, **parameters: Any) -> list[str]:
    return [one["metric_name"] for one in found(api, "/api/metrics/names", **parameters)["names"]]


def labels(api: Api, **parameters: Any) -> dict[str, list[str]]:
    """Return the values of each label of the metric `load`."""
    body = found(api, "/api/metrics/labels", **{**LOAD, **parameters})
    return {one["name"]: one["values"] for one in body["labels"]}


def values(api: Api, label_name: str, **parameters: Any) -> list[str]:
    path = f"/api/metrics/labels/{label_name}/values"
    answer: list[str] = found(api, path, **{**LOAD, **parameters})["values"]
    return answer


@pytest.fixture(scope="module")
def stocked(postgresql: Cluster) -> Generator[Api]:
    """A server with a metric of each type, of two components."""
    with postgresql.database() as url, running_api(url) as api:
        one, other = api.register("cpu-01"), api.register("gpu-01")
        took = {"metric_type": "histogram", "timestamp": T, "help_text": "Took", "unit": "seconds"}
        insert(
            api,
            one,
            sample(metric_name="Rows_total", timestamp=T, help_text="Rows once", unit="rows"),
            sample(metric_name="Rows_total", timestamp=T + 1, help_text="Rows", unit="rows"),
            *[
                sample(metric_name="took_seconds_bucket", labels={"le": le, "kind": "a"}, **took)
                for le in ("1", INF)
            ],
            sample(metric_name="took_seconds_sum", labels={"kind": "a"}, **took),
            sample(metric_name="took_seconds_count", labels={"kind": "a"}, **took),
            *[
                sample(metric_name=f"size{suffix}", metric_type="summary", timestamp=T)
                for suffix in ("", "_sum", "_count")
            ],
            at(0, 1, "queue_count"),
        )
        insert(api, one, at(0, 1, core="0", zone="", runtime_id="mine"), at(1, 2, core="1"))
        insert(api, other, at(100, 3, core="1", state="idle"))
        yield api


def test_each_metric_is_named_once_with_what_it_is(stocked: Api) -> None:
    """The rows of a histogram or summary are one metric; the text is that of the latest sample."""
    body = found(stocked, "/api/metrics/names", limit=3)
    assert {
        "status": "ok",
        "names": [
            {"metric_name": "Rows_total", "metric_type": "counter",
             "help_text": "Rows", "unit": "rows"},
            {"metric_name": "load", "metric_type": "gauge", "help_text": None, "unit": None},
            {"metric_name": "queue_count", "metric_type": "gauge",
             "help_text": None, "unit": None},
        ],
        "truncated": True,
    } == body  # fmt: skip
    everything = ["Rows_total", "load", "queue_count", "size", "took_seconds"]
    assert everything == names(stocked)
    assert found(stocked, "/api/metrics/names")["truncated"] is False


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ("ROWS", ["Rows_total"]),
        ("o", ["Rows_total", "load", "queue_count", "took_seconds"]),
        ("bucket", []),  # it is no part of the histogram's name
        ("%", []),
        ("took_s", ["took_seconds"]),
    ],
)
def test_a_part_of_a_name_finds_it(stocked: Api, search: str, expected: list[str]) -> None:
    """It is searched in any case, and no character of it has a meaning of its own."""
    assert expected == names(stocked, search=search)


def test_a_walk_over_names_that_was_ended_says_so(
    stocked: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its bound of names or of time, an answer has what was found, and is truncated."""
    monkeypatch.setattr("server_stub.catalog.metric_names.NAMES_WALKED_MAX", 2)
    assert ["Rows_total", "load"] == names(stocked)
    assert found(stocked, "/api/metrics/names")["truncated"] is True
    monkeypatch.undo()
    monkeypatch.setattr("server_stub.catalog.metric_names.WALK", "0 seconds")
    assert ["Rows_total"] == names(stocked)
    assert found(stocked, "/api/metrics/names", search="none")["truncated"] is True


def test_the_labels_of_a_metric_are_those_that_a_chart_takes(stocked: Api) -> None:
    """They are the series' own, and the names of the component, which count more."""
    body = found(stocked, "/api/metrics/labels", **LOAD)
    listed = {one.pop("name"): one for one in body["labels"]}
    assert ["component_name", "component_type", "core", "runtime_id", "state"] == list(listed)
    assert {"value_count": 2, "values": ["0", "1"], "truncated": False} == listed["core"]
    assert ["cpu-01", "gpu-01"] == listed["component_name"]["values"]
    assert "mine" not in listed["runtime_id"]["values"]
    assert (False, []) == (body["truncated"], body["notes"])
    for name, one in listed.items():
        groups = ask(stocked, aggregation="avg", group_by=name)["series"]
        assert one["values"] == sorted(group["labels"][name] for group in groups if group["labels"])


def test_a_histogram_has_the_labels_that_its_parts_have_in_common(stocked: Api) -> None:
    """A quantile cannot be grouped by `le`; the buckets themselves can."""
    assert ["a"] == labels(stocked, metric_name="took_seconds")["kind"]
    assert "le" not in labels(stocked, metric_name="took_seconds")
    assert [INF, "1"] == labels(stocked, metric_name="took_seconds_bucket")["le"]
    assert ["a"] == values(stocked, "kind", metric_name="took_seconds")
    # A gauge whose name ends like a part is no histogram.
    assert {} == labels(stocked, metric_name="queue")


def test_labels_are_of_the_samples_that_the_filters_choose(stocked: Api) -> None:
    """Component and range narrow the labels, as they narrow a chart."""
    assert {"core", "state"} <= set(labels(stocked, component_name="gpu-01"))
    assert ["1"] == labels(stocked, component_name="gpu-01")["core"]
    (runtime_id,) = values(stocked, "runtime_id", component_name="cpu-01")
    assert ["0", "1"] == labels(stocked, runtime_id=runtime_id)["core"]
    assert ["0"] == values(stocked, "core", start_time=T, end_time=T + 1)
    assert ["gpu-01"] == values(stocked, "component_name", start_time=T + 50)
    assert [] == values(stocked, "core", component_name="none")


def test_values_are_searched_and_bounded(stocked: Api) -> None:
    """A part of a value finds it in any case; an answer says whether there may be others."""
    assert ["cpu-01"] == values(stocked, "component_name", search="CPU")
    path = "/api/metrics/labels/core/values"
    body = found(stocked, path, **LOAD, limit=1)
    assert {"status": "ok", "values": ["0"], "truncated": True} == body
    assert [] == values(stocked, "nothing")


def test_the_first_hundred_values_of_a_label_are_shown(embedded_api: Api) -> None:
    """All are counted, and `values` has all of them."""
    api = embedded_api
    every = [f"{number:03}" for number in range(150)]
    insert(api, api.register(), *[at(0, 1, path=value) for value in every])
    body = found(api, "/api/metrics/labels", **LOAD)
    (path,) = [one for one in body["labels"] if one["name"] == "path"]
    assert {
        "name": "path", "value_count": 150, "values": every[:100], "truncated": True
    } == path  # fmt: skip
    assert every == values(api, "path", limit=150)


def test_of_many_samples_some_of_each_part_of_the_range_are_looked_at(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A series that has ended before is found, and the answer is truncated."""
    monkeypatch.setattr("server_stub.catalog.labels.NEWEST_SAMPLES_MAX", 10)
    monkeypatch.setattr("server_stub.catalog.labels.SAMPLES_OF_A_SLICE_MAX", 3)
    api = embedded_api
    insert(api, api.register(), at(0, 1, core="old"))
    insert(api, api.register(), *[at(1_500 + second, 1, core="new") for second in range(50)])
    parameters = {"metric_name": "load", "start_time": T, "end_time": T + 1_600}
    body = found(api, "/api/metrics/labels/core/values", **parameters)
    assert {"status": "ok", "values": ["new", "old"], "truncated": True} == body
    monkeypatch.setattr("server_stub.catalog.labels.LOOK", "0 seconds")
    assert ["new"] == values(api, "core", **parameters)
    body = found(api, "/api/metrics/labels/core/values", **parameters, search="none")
    assert ([], True) == (body["values"], body["truncated"])


def test_answers_are_bounded_in_bytes(embedded_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that would be too large has what fits: of each label its first values."""
    api = embedded_api
    insert(api, api.register(), *[at(0, 1, a=str(n), b=str(n)) for n in range(9)])
    for module in ("labels", "metric_names"):
        monkeypatch.setattr(f"server_stub.catalog.{module}.PAGE_BYTES_MAX", 900)
    body = found(api, "/api/metrics/labels", **LOAD)
    listed = {one["name"]: one for one in body["labels"]}
    assert ("0", 9, True) == (
        listed["a"]["values"][0], listed["a"]["value_count"], listed["a"]["truncated"],
    )  # fmt: skip
    assert "0" == listed["b"]["values"][0]
    assert 7 > len(listed["a"]["values"])
    body = found(api, "/api/metrics/labels/a/values", **LOAD)
    assert (8, True) == (len(body["values"]), body["truncated"])
    insert(api, api.register(), *[at(0, 1, f"level_{n}") for n in range(9)])
    body = found(api, "/api/metrics/names")
    assert (["level_0", "level_1"], True) == (names(api), body["truncated"])


def test_rows_of_other_programs_hide_nothing(embedded_api: Api) -> None:
    """Labels that are no object, and names that no chart takes, are left out."""
    api = embedded_api
    runtime_id = api.register()
    insert(api, runtime_id, at(0, 1, core="0"))
    api.sql(
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, labels, "
        "timestamp) SELECT %s, 'load', 'gauge', 1, labels::jsonb, to_timestamp(%s) "
        "FROM unnest(ARRAY["
        """'[1]', '"text"', 'null', '{"a b": "c"}', '{"core": null}', '{"core": 7}']) AS labels""",
        int(runtime_id),
        T,
    )
    assert ["0", "7"] == labels(api)["core"]
    assert {"component_name", "component_type", "core", "runtime_id"} == set(labels(api))


def test_a_metric_that_there_is_not_has_notes(stocked: Api) -> None:
    """An empty answer says which names are like the one that was asked for."""
    body = found(stocked, "/api/metrics/labels", metric_name="Rows")
    assert ([], ["there is no metric 'Rows': did you mean Rows_total?"]) == (
        body["labels"], body["notes"],
    )  # fmt: skip
    early = {"metric_name": "took_seconds", "start_time": T - 100, "end_time": T - 50}
    notes = found(stocked, "/api/metrics/labels", **early)["notes"]
    filtered = "has samples, but none in this range for these filters"
    assert [f"the metric 'took_seconds_count' {filtered}"] == notes


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/metrics/names?limit=0", 422, "query.limit is '0'"),
        ("/api/metrics/names?serch=a", 422, "did you mean search?"),
        ("/api/metrics/names?search=%00", 400, "query parameter search"),
        ("/api/metrics/labels", 422, "query.metric_name"),
        ("/api/metrics/labels?metric_name=a&start_time=x", 400, "query parameter start_time"),
        (
            "/api/metrics/labels?metric_name=a&start_time=2&end_time=1",
            400,
            "is not before end_time",
        ),
        ("/api/metrics/labels/a-b/values?metric_name=a", 400, "label name 'a-b' is not valid"),
        ("/api/metrics/labels/a/values?metric_name=a&limit=10001", 422, "query.limit"),
    ],
)
def test_a_bad_question_is_answered_with_what_is_right(
    stocked: Api, path: str, status: int, detail: str
) -> None:
    """The error names the parameter."""
    answer = stocked.get(path)
    assert (status, True) == (answer.status_code, detail in answer.json()["detail"]), answer.text


def test_any_range_can_be_asked_for(stocked: Api) -> None:
    """A range from the first year to the last one is cut to 32 days, and says so."""
    parameters = {
        "metric_name": "load",
        "start_time": "0001-01-01T00:00:00Z",
        "end_time": "9999-12-31T23:59:59Z",
    }
    body = found(stocked, "/api/metrics/labels", **parameters)
    assert ([], True) == (body["labels"], body["truncated"])
    early = {"metric_name": "load", "end_time": "0001-01-02T00:00:00Z"}
    assert [] == found(stocked, "/api/metrics/labels", **early)["labels"]
