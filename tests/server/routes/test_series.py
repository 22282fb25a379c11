"""`GET /api/metrics/series`: what becomes of the samples of a bucket."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.server.application import insert
from tests.server.charts import INF, NAN, T, ask, at, curve
from tests.server.expired_days import expire

if TYPE_CHECKING:
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once


def test_an_answer_says_what_it_is(api: Api) -> None:
    """Its range is widened to whole buckets, whose starts are seconds since the epoch."""
    insert(api, api.register("cpu-01"), at(70, 1.5, core="0"))
    answer = ask(
        api, aggregation="avg", group_by="core,component_name", start_time=T + 61, end_time=T + 121
    )
    assert answer == {
        "metric_name": "load",
        "aggregation": "avg",
        "start_time": "2023-11-14T22:01:00.000000Z",
        "end_time": "2023-11-14T22:03:00.000000Z",
        "step_seconds": 60,
        "series": [
            {"labels": {"core": "0", "component_name": "cpu-01"}, "points": [[T + 60, 1.5]]},
        ],
        "sources": [{"source": "postgresql", "start_time": None, "end_time": None}],
        "notes": [],
    }


def test_the_samples_of_a_bucket_become_one_value(embedded_api: Api) -> None:
    """Each aggregation makes one value of them; buckets without samples are left out."""
    api = embedded_api
    insert(
        api,
        api.register(),
        at(-1, 100),
        at(0, 1, core="0"),
        at(30, 5, core="0"),
        at(59.9, 3, core="1"),
        at(120, 7),
        at(600, 100),
    )
    assert [[0, 3], [120, 7]] == curve(api, "avg")
    assert [[0, 1], [120, 7]] == curve(api, "min")
    assert [[0, 5], [120, 7]] == curve(api, "max")
    assert [[0, 3], [120, 1]] == curve(api, "count")
    assert [[0, 3], [120, 7]] == curve(api, "last")
    assert [] == curve(api, "avg", metric_name="none")


def test_a_sum_is_of_what_every_series_is_at(embedded_api: Api) -> None:
    """A series counts with its latest sample, until that is older than the lookback."""
    api = embedded_api
    insert(api, api.register("a"), at(-30, 50, core="9"), at(0, 1), at(10, 2), at(420, 3))
    insert(api, api.register("b"), at(5, 10), at(65, 20), at(305, 30))
    # The 2 of a at second 10 counts until 310, and the 50 of core 9 from half a minute before
    # counts until 270.
    assert [[0, 62], [60, 72], [300, 30], [420, 33]] == curve(api, "sum")
    assert [[0, 22], [300, 33]] == curve(api, "sum", step=300)


def test_the_lookback_of_a_sum_ends_on_time(embedded_api: Api) -> None:
    """At the end of a bucket, a sample exactly as old as the lookback is too old."""
    api = embedded_api
    insert(api, api.register("a"), at(0, 1))
    insert(api, api.register("b"), at(185, 10), at(245, 10))
    assert [[0, 1], [180, 11], [240, 10]] == curve(api, "sum")


def test_an_increase_is_counted_from_sample_to_sample(embedded_api: Api) -> None:
    """It counts in the bucket of the later sample, also over the border; a drop is a new start."""
    api = embedded_api
    insert(
        api,
        api.register(),
        at(-299, 10),  # within the lookback of five minutes
        at(10, 14),
        at(70, 20),
        at(130, 3),  # a new process counts from 0
        at(190, 3),
        at(310, 8),
    )
    assert [[0, 4], [60, 6], [120, 3], [180, 0], [300, 5]] == curve(api, "increase")
    rates = [[0, 4 / 60], [60, 0.1], [120, 0.05], [180, 0], [300, 5 / 60]]
    assert rates == curve(api, "rate")
    # A longer step looks back further.
    assert [[0, 18]] == curve(api, "increase", step=600)


def test_a_series_that_begins_has_no_increase_yet(embedded_api: Api) -> None:
    """Its first sample is no sudden increase; the next samples are compared with it."""
    api = embedded_api
    insert(api, api.register(), at(-301, 1), at(100, 1000), at(160, 1001))
    assert [[120, 1]] == curve(api, "increase")


def test_a_worker_that_starts_anew_is_a_series_of_its_own(embedded_api: Api) -> None:
    """Each process is compared with itself only; the increase is the sum of all."""
    api = embedded_api
    runtime_id = api.register()
    insert(api, runtime_id, at(0, 100, worker_id="a"), at(20, 110, worker_id="a"))
    insert(api, runtime_id, at(30, 0, worker_id="b"), at(50, 4, worker_id="b"))
    insert(api, api.register("other"), at(31, 7, worker_id="a"), at(51, 8, worker_id="a"))
    assert [[0, 15]] == curve(api, "increase")
    by_worker = ask(api, aggregation="increase", group_by="worker_id")["series"]
    assert [[{"worker_id": "a"}, 11], [{"worker_id": "b"}, 4]] == [
        [series["labels"], series["points"][0][1]] for series in by_worker
    ]


def test_the_order_of_arrival_does_not_matter(embedded_api: Api) -> None:
    """A late sample has its place by its time; of two at one time the later arrival counts."""
    api = embedded_api
    runtime_id = api.register()
    for second, value in ((80, 9), (20, 3), (140, 12), (50, 5), (10, 1), (50, 6)):
        insert(api, runtime_id, at(second, value))
    assert [[0, 5], [60, 3], [120, 3]] == curve(api, "increase")
    assert [[0, 6], [60, 9], [120, 12]] == curve(api, "last") == curve(api, "sum")
    assert [[0, 4], [60, 1], [120, 1]] == curve(api, "count")


def test_a_nan_does_not_poison_its_group(embedded_api: Api) -> None:
    """NaN is left out, and is the value of a bucket without other values; `count` counts it."""
    api = embedded_api
    insert(
        api,
        api.register(),
        at(0, 1, core="0"),
        at(10, NAN, core="0"),
        at(20, 3, core="1"),
        at(60, NAN, core="0"),
        at(120, 5, core="0"),
        at(420, NAN, core="0"),
    )
    assert [[0, 2], [60, NAN], [120, 5], [420, NAN]] == curve(api, "avg")
    for aggregation, first in (("min", 1), ("max", 3), ("last", 3)):
        assert [[0, first], [60, NAN], [120, 5], [420, NAN]] == curve(api, aggregation)
    assert [[0, 3], [60, 1], [120, 1], [420, 1]] == curve(api, "count")
    # Core 0 has no value from 60 to 120; core 1 is at 3 until 320.
    assert [[0, 4], [60, 3], [120, 8], [420, NAN]] == curve(api, "sum")
    assert [[120, 4]] == curve(api, "increase")


def test_infinities_are_values_and_no_counts(embedded_api: Api) -> None:
    """The answer has them as strings, and they lead to no increase."""
    api = embedded_api
    insert(api, api.register(), at(0, 1), at(10, INF), at(20, 2), at(70, "-Inf"))
    assert [[0, INF], [60, "-Inf"]] == curve(api, "avg")
    assert [[0, INF], [60, "-Inf"]] == [curve(api, "max")[0], curve(api, "min")[1]]
    assert [[0, 1]] == curve(api, "increase")


def test_groups_are_made_by_labels_and_by_components(embedded_api: Api) -> None:
    """A missing label is an empty one; a group may be made by the component's own names."""
    api = embedded_api
    first, second = api.register("a"), api.register("b")
    insert(api, first, at(0, 1, core="0", zone=""), at(1, 2, core="1"), at(2, 4, zone="z"))
    insert(api, second, at(3, 8, core="0"))

    def groups(group_by: str) -> list[tuple[dict[str, str], float]]:
        series = ask(api, aggregation="sum", group_by=group_by)["series"]
        return [(one["labels"], one["points"][0][1]) for one in series]

    assert [({}, 15)] == groups("")
    assert [({}, 4), ({"core": "0"}, 9), ({"core": "1"}, 2)] == groups("core")
    assert [({}, 11), ({"zone": "z"}, 4)] == groups("zone")
    assert [({"component_name": "a"}, 7), ({"component_name": "b"}, 8)] == groups("component_name")
    assert {7, 8} == {value for _, value in groups("runtime_id, component_type")}
    assert {"runtime_id", "component_type"} == set(groups("runtime_id,component_type")[0][0])
    assert [({"component_name": "a", "zone": "z"}, 4)] == groups("component_name,zone")[1:2]


def test_every_filter_chooses_series(embedded_api: Api) -> None:
    """All of the filters have to hold."""
    api = embedded_api
    first, second = api.register("a"), api.register("b")
    insert(api, first, at(0, 1, core="0", zone="x"), at(1, 2, core="1"))
    insert(api, first, at(2, 4, core="0") | {"metric_type": "counter"})
    insert(api, second, at(3, 8, core="0"))
    every = {
        "runtime_id": first,
        "component_name": "a",
        "metric_type": "gauge",
        "labels": json.dumps({"core": "0"}),
    }
    assert [[0, 1]] == curve(api, "sum", **every)
    sums = {name: curve(api, "sum", **{name: value}) for name, value in every.items()}
    assert sums == {
        "runtime_id": [[0, 7]],
        "component_name": [[0, 7]],
        "metric_type": [[0, 11]],
        "labels": [[0, 13]],
    }
    assert [] == curve(api, "sum", component_name="c")


def test_expired_samples_are_in_no_chart(embedded_api: Api) -> None:
    """A sample past the retention is in no chart."""
    api = embedded_api
    insert(api, api.register(), at(0, 1), at(60, 2))
    expire(api.database_url, "metric_value = 1")
    assert [[60, 2]] == curve(api, "avg")


def histogram(second: float, counts: dict[str, float], **labels: str) -> list[dict[str, Any]]:
    """Return the bucket rows of a histogram at an offset from T."""
    return [
        at(second, count, "took_seconds_bucket", le=bound, **labels)
        for bound, count in counts.items()
    ]


def test_a_quantile_is_of_the_observations_of_a_bucket(api: Api) -> None:
    """The buckets of all workers add up; the name may be the histogram's."""
    runtime_id = api.register()
    for worker in ("a", "b"):
        insert(
            api,
            runtime_id,
            *histogram(-10, {"0.1": 50, "1": 50, "+Inf": 50}, worker_id=worker),
            *histogram(20, {"0.1": 54, "1": 58, "+Inf": 60}, worker_id=worker),
            # The worker began anew.
            *histogram(80, {"0.1": 0, "1": 4, "+Inf": 4}, worker_id=worker),
            *histogram(140, {"0.1": 0, "1": 4, "+Inf": 4}, worker_id=worker),
        )
    for name in ("took_seconds", "took_seconds_bucket"):
        parameters = {"metric_name": name, "quantile": "0.5"}
        median = curve(api, "quantile", **parameters)
        assert median == [[0, pytest.approx(0.1 + 0.9 / 4)], [60, pytest.approx(0.55)], [120, NAN]]
    answer = ask(
        api, metric_name="took_seconds", aggregation="quantile", quantile=1, group_by="worker_id"
    )
    assert ["a", "b"] == [series["labels"]["worker_id"] for series in answer["series"]]


def test_a_bucket_that_has_not_grown_is_still_a_bucket(embedded_api: Api) -> None:
    """A client does not send unchanged series, and their bounds count all the same."""
    api = embedded_api
    insert(
        api,
        api.register(),
        *histogram(0, {"0.1": 2, "1": 2, "1.0": 2, "+Inf": 2}),
        *histogram(10, {"0.1": 3, "1": 3, "+Inf": 3}),
        *histogram(70, {"1": 7, "+Inf": 7}),
        at(71, 7, "took_seconds_bucket", le="much"),
    )
    found = curve(api, "quantile", metric_name="took_seconds", quantile=0.5)
    assert found == [[0, pytest.approx(0.05)], [60, pytest.approx(0.55)]]


def test_an_answer_is_encoded_series_by_series(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other thread runs while something is encoded, so that is never all points of an answer."""
    api = embedded_api
    insert(api, api.register(), *(at(60 * n, n, core=core) for core in "abc" for n in range(7)))
    points: list[int] = []

    def points_of(content: Any) -> int:
        if not isinstance(content, dict):
            return 0
        return len(content.get("points", ())) + sum(map(points_of, content.get("series", ())))

    def encode(original: Any, content: Any) -> bytes:
        points.append(points_of(content))
        encoded: bytes = original(content)
        return encoded

    monkeypatch.setattr(msgspec.json, "encode", partial(encode, msgspec.json.encode))
    answer = ask(api, aggregation="avg", group_by="core", start_time=T, end_time=T + 420)
    assert [7, 7, 7] == [len(series["points"]) for series in answer["series"]]
    assert [7, 7, 7] == [count for count in points if count]
