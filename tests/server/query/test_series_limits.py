"""`GET /api/metrics/series`: ranges, steps and sizes; what it refuses and what it does not read."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from server_stub.postgresql.sql_files import read_sql
from server_stub.query import series as series_store
from server_stub.query.series import SeriesReader, series_query
from server_stub.query.time_buckets import cover, parse_step
from server_stub.settings import Settings
from server_stub.timestamps import parse_timestamp
from tests.server.application import insert, running_api, sample
from tests.server.charts import T, ask, at, curve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once


def test_values_beyond_a_number_are_refused(embedded_api: Api) -> None:
    """A sum beyond a number is an error that says so; an average may still have a value."""
    api = embedded_api
    insert(api, api.register(), at(0, 1e308, core="0"), at(1, 1.7e308, core="1"), at(60, 1e200))
    answer = api.get(
        "/api/metrics/series",
        params={"metric_name": "load", "aggregation": "sum", "start_time": T, "end_time": T + 60},
    )
    assert 400 == answer.status_code
    assert "exceeds what a number can hold" in answer.json()["detail"]
    assert [[60, 1e200]] == curve(api, "avg", start_time=T + 60)


def test_the_default_is_the_last_hour_by_minutes(embedded_api: Api) -> None:
    """Without a range and a step, the answer is the average of the last hour."""
    api = embedded_api
    insert(api, api.register(), sample(metric_name="load", metric_value=4))
    answer = api.get("/api/metrics/series", params={"metric_name": "load"}).json()
    assert ("avg", 60) == (answer["aggregation"], answer["step_seconds"])
    (series,) = answer["series"]
    assert [4] == [value for _, value in series["points"]]
    start, end = (parse_timestamp(answer[name]) for name in ("start_time", "end_time"))
    assert 3600 <= (end - start).total_seconds() <= 3660


@pytest.mark.parametrize(
    ("parameters", "status", "detail"),
    [
        ({"metric_name": None}, 422, "metric_name"),
        ({"metric_name": "a\x00"}, 400, "query parameter metric_name"),
        ({"aggregation": "median"}, 422, "query.aggregation is 'median'"),
        ({"aggregation": "quantile"}, 400, "query parameter quantile: give a number from 0 to 1"),
        ({"quantile": "0.5"}, 400, "with aggregation=quantile, and with no other aggregation"),
        ({"aggregation": "quantile", "quantile": "1.5"}, 422, "less than or equal to 1"),
        ({"aggregation": "quantile", "quantile": "nan"}, 422, "query.quantile"),
        ({"aggregation": "quantile", "quantile": "0.5", "group_by": "le"}, 400, "leave le out"),
        ({"step": "0"}, 400, "step: '0' is not valid: it must be a number of seconds from 0.1 to"),
        ({"step": "1m"}, 400, "step: '1m' is not valid"),
        ({"step": "nan"}, 400, "step: 'nan' is not valid"),
        ({"step": "2678401"}, 400, "to 2,678,400, like 60"),
        ({"step": "0.05"}, 400, "step: '0.05'"),
        ({"start_time": T + 600}, 400, "is not before end_time"),
        ({"start_time": "yesterday"}, 400, "start_time: timestamp 'yesterday' is not valid"),
        ({"start_time": 0, "step": "86400"}, 400, "at most 11,000 are allowed: use a step of"),
        ({"end_time": "0001-01-01T00:00:01Z", "start_time": None}, 400, "years 1 to 9999"),
        ({"end_time": "9999-12-31T23:59:59Z"}, 400, "years 1 to 9999"),
        ({"group_by": "a-b"}, 400, "query parameter group_by: label name 'a-b' is not valid"),
        ({"group_by": ",".join(f"a{i}" for i in range(17))}, 400, "at most 16 are allowed"),
        ({"labels": "x"}, 400, "JSON object of strings"),
        ({"runtime_id": "x"}, 400, "runtime_id 'x' is not valid"),
        ({"metric_type": "timer"}, 422, "query.metric_type"),
        ({"limit": "5"}, 422, "no query parameter 'limit'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_parameter_is_refused(
    embedded_api_shared: Api, parameters: dict[str, Any], status: int, detail: str
) -> None:
    """An invalid or unknown parameter is named, with what is right."""
    known: dict[str, Any] = {"metric_name": "load", "start_time": T, "end_time": T + 600}
    given = {name: value for name, value in (known | parameters).items() if value is not None}
    answer = embedded_api_shared.get("/api/metrics/series", params=given)
    assert answer.status_code == status, answer.text
    assert ["detail"] == list(answer.json())
    assert detail in answer.json()["detail"]


def test_as_many_points_as_allowed_are_answered(embedded_api_shared: Api) -> None:
    """The server takes the step that the error proposes."""
    fitting = parse_timestamp(T), parse_timestamp(T + 11_000 * 60)
    assert 11_000 * 60 == (cover(*fitting, 60.0, fitting[1])[1] - fitting[0]).total_seconds()
    refused = embedded_api_shared.get(
        "/api/metrics/series",
        params={"metric_name": "load", "start_time": 1, "end_time": T, "step": 60},
    )
    proposed = refused.json()["detail"].partition("use a step of ")[2].split(" ")[0]
    assert ask(embedded_api_shared, start_time=1, end_time=T, step=proposed)["series"] == []


def test_a_step_may_be_a_fraction_of_a_second(embedded_api: Api) -> None:
    """Buckets are multiples of the step, to the microsecond."""
    api = embedded_api
    insert(api, api.register(), at(0.2, 1), at(0.3, 2), at(1.25, 3))
    found = ask(api, step="0.25", end_time=T + 2)
    assert 0.25 == found["step_seconds"] == parse_step("0.25")
    assert [[T, 1], [T + 0.25, 2], [T + 1.25, 3]] == found["series"][0]["points"]


def test_an_answer_that_is_too_large_is_refused(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More series or points than allowed are an error that says what to do, and never cut off."""
    api = embedded_api
    insert(api, api.register(), *[at(60 * i, i, core=str(i % 3)) for i in range(6)])
    asked = {"metric_name": "load", "start_time": T, "end_time": T + 600, "group_by": "core"}
    for limit, least, detail in (
        ("SERIES_MAX", 3, "more than 2 series: group by fewer labels"),
        ("POINTS_IN_ALL_MAX", 6, "more than 5 points: group by fewer labels"),
    ):
        monkeypatch.setattr(series_store, limit, least)
        assert 200 == api.get("/api/metrics/series", params=asked).status_code
        monkeypatch.setattr(series_store, limit, least - 1)
        refused = api.get("/api/metrics/series", params=asked)
        assert 400 == refused.status_code
        assert detail in refused.json()["detail"]
        monkeypatch.undo()


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_buckets_do_not_depend_on_the_zone_of_the_session(database_url: str, zone: str) -> None:
    """A day has 24 hours, also on the day on which clocks change."""
    summer = 1_679_792_400  # 2023-03-26 01:00 UTC, when Berlin's clocks go forward
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET timezone = '{zone}'")
    with running_api(database_url, exposition_lookback_seconds=86_400) as api:
        insert(api, api.register(), *[at(summer - T + 3600 * i, 1) for i in range(-30, 30, 6)])
        for aggregation, value in (("count", 4), ("sum", 1)):
            found = ask(
                api,
                aggregation=aggregation,
                step=86_400,
                start_time=summer - 3600,
                end_time=summer + 80_000,
            )
            assert [[summer - 3600, value]] == found["series"][0]["points"]


def test_a_chart_looks_into_no_partition_before_it(api: Api) -> None:
    """What was inserted more than a day before the range is pruned from the plan."""
    for day in ("2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"):
        api.sql("SELECT noetl.create_metric_partition(%s)", day)
    # The store needs no database to make the parameters.
    store = SeriesReader(None, Settings(retention_days=3650), None)  # type: ignore[arg-type]
    start, end = parse_timestamp("2024-01-03T12:00:00Z"), parse_timestamp("2024-01-03T13:00:00Z")
    parameters = store.parameters("load", "increase", cover(start, end, 60.0, end), [], {})
    with psycopg.connect(api.database_url) as connection:
        plan = connection.execute("EXPLAIN (COSTS OFF) " + series_query("increase"), parameters)
        text = "\n".join(row[0] for row in plan)
    assert "metric_2024_01_01" not in text
    assert "metric_2024_01_03" in text
    assert "metric_2024_01_04" in text


@pytest.mark.parametrize("aggregation", ["avg", "count", "increase", "last", "sum"])
def test_a_chart_compares_no_sample_with_every_series(embedded_api: Api, aggregation: str) -> None:
    """A sample's series is found by a hash or by sorting, as there may be thousands of series."""
    store = SeriesReader(None, Settings(), None)  # type: ignore[arg-type]
    buckets = cover(None, None, 60.0, datetime.now(UTC))
    parameters = store.parameters("load", aggregation, buckets, ["core"], {})
    with psycopg.connect(embedded_api.database_url) as connection:
        connection.execute(read_sql("query/plan_by_metric.sql"))
        explained = connection.execute(
            "EXPLAIN (FORMAT JSON) " + series_query(aggregation), parameters
        ).fetchone()
    assert explained is not None
    joins = [
        node["Node Type"]
        for node in nodes_of(explained[0][0]["Plan"])
        if any(child.get("CTE Name") == "series" for child in node.get("Plans", ()))
    ]
    assert joins
    assert "Nested Loop" not in joins


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes_of(child)


def test_a_chart_reads_no_row_of_another_metric(database_url: str) -> None:
    """Rows between a metric's rows in the table are not read, however many they are."""
    with running_api(database_url) as api:
        api.register()
        api.sql(
            "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, "
            "help_text, timestamp) SELECT runtime_id, 'm' || number %% 10, 'gauge', 1, "
            "repeat('x', 200), to_timestamp(%s) + number * interval '0.1 s' "
            "FROM noetl.runtime, generate_series(1, 40000) AS number WHERE name = 'cpu-01'",
            T,
        )
        api.sql("ANALYZE noetl.metric")
        asked = {"metric_name": "m7", "start_time": T, "end_time": T + 420}
        (series,) = ask(api, aggregation="count", **asked)["series"]
        assert 420 == sum(value for _, value in series["points"])
    # The server's sessions report what they have read when they end, a moment after the pool's end.
    deadline = time.monotonic() + 30
    read = 0
    with psycopg.connect(database_url, autocommit=True) as connection:
        while read < 420:
            assert time.monotonic() < deadline
            (row,) = connection.execute(
                "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes "
                "WHERE relname ~ '^metric_2'"
            ).fetchall()
            read = row[0]
    # The planner looks at both ends of an index.
    assert 420 <= read < 430
