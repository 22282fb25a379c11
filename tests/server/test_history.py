"""Reading behind the retention: real VictoriaMetrics and Prometheus, and PostgreSQL alone."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest

from server_stub.errors import ParameterInvalidError
from tests.server.application import insert, running_api, sample
from tests.server.histories import RECEIVERS, all_pages, exporting_api
from tests.victoria_metrics import needs_victoria_metrics, running_victoria_metrics

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from server_stub.query.cursor import Position
    from tests.postgresql import Cluster
    from tests.server.application import Api

# Neither these programs nor PostgreSQL depend on the interpreter.
pytestmark = pytest.mark.once

HOUR, DAY = 3600, 86_400
NOW = int(time.time()) // HOUR * HOUR
START = NOW - 3 * DAY
WAIT_SECONDS = 60.0
ODD = 'a "quote", a \\ and a\nline; .* {x="y"}'


class Both(NamedTuple):
    """One database behind two servers: `alone` never asks the receiver."""

    api: Api
    alone: Api
    receiver: Any


@pytest.fixture(scope="module", params=RECEIVERS)
def both(
    request: pytest.FixtureRequest, postgresql: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Both]:
    """Three days of samples; the first two days' came late, so PostgreSQL still has them."""
    with (
        request.param(tmp_path_factory.mktemp("receiver")) as receiver,
        postgresql.database() as url,
        exporting_api(url, receiver) as api,
        running_api(url, component_name="alone") as alone,
    ):
        one, other = api.register("pool-1"), api.register("pool-2")
        for at in range(START, NOW, 600):
            insert(api, one, *of_the_time(at))
        of_the_other = [gauge(at, at % 7_000) for at in range(START, NOW, 7_000)]
        insert(api, other, *of_the_other)
        written = 2 * 3 * DAY // 600 + len(of_the_other)
        receiver.wait_until("sum(count_over_time(level[4d]))", float(written).__le__)
        wait_until_exported(api)
        yield Both(api, alone, receiver)


def of_the_time(at: int) -> list[dict[str, Any]]:
    """Return a counter that is reset now and then, a histogram, and gauges with odd labels."""
    turn = (at - START) // 600
    observed = {"0.1": turn, "0.5": turn * 2 + turn // 3, "+Inf": turn * 4}
    return [
        sample(metric_value=float(turn % 100 * (turn % 7 + 1)), timestamp=at,
               help_text="Jobs", unit="jobs"),
        gauge(at, turn % 13, text=ODD, component="mine"),
        gauge(at, turn % 17, text="plain"),
        *[
            sample(metric_name="took_seconds_bucket", metric_type="histogram", timestamp=at,
                   metric_value=float(count), labels={"le": bound})
            for bound, count in observed.items()
        ],
    ]  # fmt: skip


def gauge(at: int, value: float, **labels: str) -> dict[str, Any]:
    return sample(metric_name="level", metric_type="gauge", metric_value=float(value),
                  timestamp=at, labels=labels)  # fmt: skip


def wait_until_exported(api: Api) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    (last,) = api.sql("SELECT max(metric_id) FROM noetl.metric")
    while api.sql("SELECT acknowledged FROM noetl.metric_export")[0] < last:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def without_place(rows: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """Return the samples of both servers, in one order and without what differs by place."""
    return sorted(
        (
            row["timestamp"], row["metric_name"], sorted(row["labels"].items()),
            row["metric_value"], row["metric_type"], row["help_text"], row["unit"],
            row["runtime_id"], row["component_name"], row["component_type"],
        )
        for row in rows
    )  # fmt: skip


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize(
    ("limit", "filters"),
    [
        (7, {"metric_name": "level", "component_name": "pool-2"}),
        (200, {"metric_name": "level"}),
        (1000, {"component_name": "pool-1"}),
        (90, {"labels": '{"text": "plain"}'}),
        (500, {"metric_type": "histogram"}),
        (5000, {"end_time": NOW - DAY}),
    ],
)
def test_pages_go_on_behind_the_retention(
    both: Both, order: str, limit: int, filters: dict[str, Any]
) -> None:
    """Every sample is on one page, in order, whichever database has it."""
    asked = {"start_time": START, "order": order, "limit": limit, "end_time": NOW} | filters
    expected, _ = all_pages(both.alone, **asked)
    found, sources = all_pages(both.api, **asked)
    assert without_place(expected) == without_place(found)
    times = [row["timestamp"] for row in found]
    assert times == sorted(times, reverse=order == "desc")
    # Rows of the history have no id, and lie before the boundary that the page names.
    assert 1 == len({str(of_page) for of_page in sources})
    boundary = sources[0][0]["end_time"]
    assert {row["timestamp"] < boundary for row in found if row["metric_id"] is None} == {True}
    assert all(row["timestamp"] >= boundary for row in found if row["metric_id"] is not None)
    names = [part["source"] for part in sources[0]]
    assert names == (["history"] if "end_time" in filters else ["history", "postgresql"])


def test_odd_label_values_choose_their_series(both: Both) -> None:
    """Quotes, backslashes, line breaks and signs of PromQL stand for themselves."""
    labels = '{"text": "a \\"quote\\", a \\\\ and a\\nline; .* {x=\\"y\\"}", "component": "mine"}'
    asked = {"start_time": START, "limit": 1000, "labels": labels, "end_time": NOW}
    expected, _ = all_pages(both.alone, **asked)
    found, _ = all_pages(both.api, **asked)
    assert 3 * DAY // 600 == len(found)
    assert without_place(expected) == without_place(found)


@pytest.mark.parametrize(
    ("name", "aggregation"),
    [
        *(("level", name) for name in ("avg", "min", "max", "sum", "count")),
        *(("jobs_total", name) for name in ("rate", "increase")),
        ("took_seconds", "quantile"),
    ],
)
@pytest.mark.parametrize("group_by", ["", "component_name,text"])
def test_charts_go_on_behind_the_retention(
    both: Both, name: str, aggregation: str, group_by: str
) -> None:
    """Every aggregation is the same across the boundary, also with counter resets."""
    asked = {"metric_name": name, "aggregation": aggregation, "group_by": group_by,
             "start_time": START, "end_time": NOW, "step": HOUR}  # fmt: skip
    if aggregation == "quantile":
        asked["quantile"] = 0.9
    expected, found = (
        api.get("/api/metrics/series", params=asked).json() for api in (both.alone, both.api)
    )
    assert ["history", "postgresql"] == [part["source"] for part in found["sources"]]
    assert found["sources"][0]["end_time"] == found["sources"][1]["start_time"]
    points = {str(one["labels"]): one["points"] for one in found["series"]}
    assert points.keys() == {str(one["labels"]) for one in expected["series"]}
    for one in expected["series"]:
        assert len(one["points"]) > 10
        for known, other in zip(one["points"], points[str(one["labels"])], strict=True):
            assert known == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize(
    "filters",
    [{}, {"component_name": "pool-2"}, {"start_time": START + HOUR, "end_time": START + 2 * HOUR}],
)
def test_labels_are_found_behind_the_retention(both: Both, filters: dict[str, Any]) -> None:
    """They are the same whichever database has the samples."""
    asked = {"metric_name": "level", "start_time": START, "end_time": NOW} | filters
    expected, found = (
        api.get("/api/metrics/labels", params=asked).json() for api in (both.alone, both.api)
    )
    assert ("component_name" in str(found), expected) == (True, found)
    odd = "/api/metrics/labels/text/values"
    assert ([] if "component_name" in filters else [ODD, "plain"]) == both.api.get(
        odd, params=asked
    ).json()["values"]


def test_a_chart_names_the_history_that_it_looks_back_into(both: Both) -> None:
    """If the first bucket's increase starts from an older sample, the history is a source too."""
    start_time = int(time.time()) - DAY + 13 * 60  # the boundary lies two minutes before
    asked = {"metric_name": "jobs_total", "aggregation": "increase", "step": 60,
             "start_time": start_time, "end_time": start_time + HOUR}  # fmt: skip
    found = both.api.get("/api/metrics/series", params=asked).json()
    assert ["history", "postgresql"] == [part["source"] for part in found["sources"]]
    history, recent = found["sources"]
    assert history["start_time"] < history["end_time"] == recent["start_time"]
    assert recent["start_time"] < found["start_time"]


def test_the_last_sample_of_a_series_is_the_same_across_the_boundary(both: Both) -> None:
    """By series, as no program can tell which of several samples of one time is the last."""
    asked = {"metric_name": "level", "aggregation": "last", "group_by": "component_name,text",
             "start_time": START, "end_time": NOW, "step": HOUR}  # fmt: skip
    expected, found = (
        api.get("/api/metrics/series", params=asked).json()["series"]
        for api in (both.alone, both.api)
    )
    assert 3 == len(expected)
    assert expected == found


@pytest.mark.parametrize(
    "filters",
    [
        {"metric_name": ".*"},
        {"metric_name": "level|jobs_total"},
        {"metric_name": 'level"} or {x="'},
        {"metric_name": "level", "labels": '{"text": "plain", "a=\\"\\"} or level{b": "x"}'},
        {"labels": '{"__name__": "level"}'},
        {"component_name": 'pool-1"} or {component="pool-2'},
    ],
)
def test_what_is_asked_for_is_never_read_as_promql(both: Both, filters: dict[str, str]) -> None:
    """A name or value that means something in PromQL finds only that name, so nothing."""
    asked = {"start_time": START, "end_time": NOW - DAY}
    assert ([], []) == tuple(
        all_pages(api, **asked, **filters)[0] for api in (both.alone, both.api)
    )
    chart = {"metric_name": "level", **filters, **asked, "step": HOUR}
    assert [] == both.api.get("/api/metrics/series", params=chart).json()["series"]


def test_pages_can_be_turned_for_as_long_as_one_likes(both: Both) -> None:
    """The boundary moves with time; a client that falls behind it is told, and misses nothing."""
    pages = both.api.app.state.resources.pages
    filters = {"metric_name": "level", "start_time": datetime.fromtimestamp(START, UTC)}
    now = datetime.now(UTC)

    def read(position: Position | None, limit: int, at: datetime) -> Any:
        asked = filters if position is None else filters | {"position": position}
        return both.api.loop.run(pages.read(asked, "desc", limit, at))

    everything = read(None, 10_000, now).rows
    recent = sum(row["metric_id"] is not None for row in everything)
    in_history = read(None, recent + 5, now)
    later = read(in_history.next_position, 10_000, now + timedelta(hours=1))
    assert everything[recent + 5 :] == later.rows
    in_postgresql = read(None, recent - 1, now)
    soon = read(in_postgresql.next_position, 10_000, now + timedelta(minutes=9))
    assert everything[recent - 1 :] == soon.rows
    with pytest.raises(ParameterInvalidError, match="begin anew, at 20"):
        read(in_postgresql.next_position, 10_000, now + timedelta(hours=1))


def test_what_is_within_the_retention_is_not_looked_up_elsewhere(both: Both) -> None:
    """Without a time before the retention, PostgreSQL alone answers, and the answer says so."""
    for asked in ({}, {"start_time": NOW - HOUR}):
        page = both.api.get("/api/metrics", params=asked).json()
        assert ["postgresql"] == [part["source"] for part in page["sources"]]
        assert all(row["metric_id"] for row in page["metrics"])


def test_promql_agrees_with_the_charts(both: Both) -> None:
    """Rates and quantiles equal rate() and histogram_quantile() over the same samples.

    A bucket's increase is the growth from the last sample before the bucket to its last sample. A
    range that begins and ends with these two needs no extrapolation, so PromQL computes the same
    number.
    """
    start = NOW - 2 * DAY
    asked = {"start_time": start, "end_time": start + 6 * HOUR, "step": HOUR}
    rates = both.api.get(
        "/api/metrics/series", params={"metric_name": "jobs_total", "aggregation": "rate"} | asked
    ).json()["series"][0]["points"]
    quantiles = both.api.get(
        "/api/metrics/series",
        params={"metric_name": "took_seconds", "aggregation": "quantile", "quantile": 0.9} | asked,
    ).json()["series"][0]["points"]
    assert 6 == len(rates) == len(quantiles)
    for bucket, rate in rates:
        (found,) = both.receiver.query(
            'sum(rate(jobs_total{component="pool-1"}[1h]))', time=bucket + HOUR - 600
        )
        assert rate == pytest.approx(float(found["value"][1]), rel=1e-9)
    for bucket, quantile in quantiles:
        (found,) = both.receiver.query(
            "histogram_quantile(0.9, sum by (le) (rate(took_seconds_bucket[1h])))",
            time=bucket + HOUR - 600,
        )
        assert quantile == pytest.approx(float(found["value"][1]), rel=1e-9)


@contextmanager
def api_with_history_at(postgresql: Cluster, url: str) -> Generator[Api]:
    with postgresql.database() as database_url, running_api(database_url, history_url=url) as api:
        yield api


@needs_victoria_metrics
def test_a_history_that_does_not_answer_is_no_answer(postgresql: Cluster, tmp_path: Any) -> None:
    """503 names what fails and when to try again: half an answer would look like a whole one."""
    with running_victoria_metrics(tmp_path) as receiver:
        with api_with_history_at(postgresql, receiver.url + "/nowhere") as api:
            refused = api.get("/api/metrics", params={"start_time": START})
            assert 503 == refused.status_code
            assert "does not answer (400" in refused.json()["detail"]
        receiver.kill()
        with api_with_history_at(postgresql, receiver.url) as api:
            for path in ("/api/metrics", "/api/metrics/series?metric_name=level"):
                refused = api.get(path, params=httpx.URL(path).params.set("start_time", START))
                assert 503 == refused.status_code, refused.text
                assert "5" == refused.headers["Retry-After"]
                assert "does not answer" in refused.json()["detail"]
            assert 200 == api.get("/api/metrics").status_code
