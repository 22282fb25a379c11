"""Retention by metric name: what is kept and seen, and what happens beside a rebuild."""

from __future__ import annotations

import json
import random
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from server_stub.command_line import parse_settings
from server_stub.postgresql import schema
from server_stub.postgresql.created import ANY_TIME
from server_stub.postgresql.sql_files import read_sql
from server_stub.query.recent_rows import (
    is_of_a_series,
    select_metrics_parameters,
    select_metrics_query,
    select_visibility,
)
from server_stub.query.retention import Retention
from server_stub.settings import Settings
from tests.server.application import running_api, sample, values
from tests.server.database_queries import partitions, query, scalar, today
from tests.server.expired_days import (
    CLEANUP,
    INSERT,
    LEFTOVERS,
    RULES,
    RUNTIME,
    expire,
    names_in,
    set_rules,
    store,
)

if TYPE_CHECKING:
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

ROWS = "SELECT m FROM noetl.metric AS m WHERE m.metric_name = ANY(%s) ORDER BY metric_id"
INDEXES = "SELECT indexname::text FROM pg_indexes WHERE tablename = %s ORDER BY 1"


def at_noon(days_ago: int) -> datetime:
    return datetime(*(today() - timedelta(days_ago)).timetuple()[:3], 12, tzinfo=UTC)


@pytest.fixture
def url(each_database_url: str) -> str:
    """A database with the schema and the rules."""
    schema.apply_schema(each_database_url)
    query(each_database_url, "SELECT noetl.initialize_metric_partitions()")
    set_rules(each_database_url, RULES)
    return each_database_url


def test_the_longest_rule_of_a_name_counts(url: str) -> None:
    """The database and the readers agree on every name; a name without a rule has the default."""
    expected = {
        "jobs_total": 30, "jobs_total_2": 1, "jobs_tota": 1, "billing_": 365, "billing_a": 365,
        "billing_test_a": 7, "billing_test": 365, "xbilling_a": 1, "ab": 40, "abc": 50, "": 1,
    }  # fmt: skip
    rules = RULES | {"ab": 40, "ab*": 50}
    set_rules(url, rules)
    retention = Retention(Settings(metric_retention_days=rules))
    for name, days in expected.items():
        of_database = scalar(url, "SELECT noetl.metric_retention_of(%s)", name)
        assert timedelta(days) == of_database
        assert timedelta(days) == (retention.by_name(name) or retention.unless_named)


def test_the_rules_are_the_configured_ones(url: str) -> None:
    """A server writes its setting to the database: it removes other rules and updates changed ones;
    a longer retention of all names counts for all."""
    with running_api(url, metric_retention_days={"jobs_total": 31, "a": 2}):
        rules = "SELECT name_pattern, retention FROM noetl.metric_retention_by_name ORDER BY 1"
        assert [("a", timedelta(2)), ("jobs_total", timedelta(31))] == query(url, rules)
    query(url, "SELECT noetl.set_metric_retention('10 days')")
    assert timedelta(10) == scalar(url, "SELECT noetl.metric_retention_of('a')")
    assert timedelta(31) == scalar(url, "SELECT noetl.metric_retention_of('jobs_total')")
    with pytest.raises(errors.CheckViolation):
        query(url, "SELECT noetl.set_metric_retention_by_name('{\"a*b\": 3}')")


@pytest.mark.parametrize(
    ("given", "detail"),
    [
        ("jobs_total", "the days of 'jobs_total' are '': must be a whole number from 1 to 3650"),
        ("a=1,", "'' must be like jobs_total=30 or billing_*=365"),
        ("*=30", "'*=30' must be like jobs_total=30"),
        ("a*b=30", "'a*b=30' must be like jobs_total=30"),
        ("a=x", "the days of 'a' are 'x': must be a whole number"),
        ("a=3651", "the days of 'a' are '3651': must be a whole number"),
        ("a=8,a=9", "'a' must be there once"),
        ("a=8,b*=6", "b*=6 is shorter than --retention-days 7"),
    ],
)
def test_a_bad_rule_is_refused(given: str, detail: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the rule, and says what a right one looks like."""
    with pytest.raises(SystemExit, match="2"):
        parse_settings(["--retention-days=7", f"--metric-retention-days={given}"], {})
    said = " ".join(capsys.readouterr().err.split())
    assert detail in said
    assert "--metric-retention-days" in said


def test_rules_come_from_a_flag_or_a_variable() -> None:
    """Commas separate names and days, and blanks are allowed."""
    expected = {"jobs_total": 30, "billing_*": 365}
    flag = parse_settings(["--metric-retention-days", "jobs_total=30,billing_*=365"], {})
    assert expected == flag.metric_retention_days
    variable = {"NOETL_METRICS_SERVER_METRIC_RETENTION_DAYS": " jobs_total = 30, billing_*=365 "}
    assert expected == parse_settings([], variable).metric_retention_days
    assert {} == parse_settings([], {}).metric_retention_days


def test_a_day_is_left_with_the_rows_that_live_longer(url: str) -> None:
    """The partition keeps its name, bounds, indexes and constraints, and its rows in every column;
    only expired rows are gone."""
    name = store(url, 3, "jobs_total", "billing_a", "load", "billing", count=50)
    other = store(url, 2, "load")
    kept = ["billing_a", "jobs_total"]
    facts = (
        "SELECT conname::text, contype::text, pg_get_constraintdef(oid), convalidated"
        f" FROM pg_constraint WHERE conrelid = 'noetl.{name}'::regclass AND contype <> 'n'"
        " ORDER BY 1"
    )
    before = (
        query(url, ROWS, kept),
        partitions(url)[name],
        query(url, INDEXES, name),
        query(url, facts),
    )
    assert [other] == scalar(url, CLEANUP)
    after = (
        query(url, ROWS, kept),
        partitions(url)[name],
        query(url, INDEXES, name),
        query(url, facts),
    )
    assert before == after
    assert set(kept) == names_in(url)
    assert 0 == scalar(url, LEFTOVERS)
    # Every index is one of the table's own.
    assert 6 == scalar(
        url,
        "SELECT count(*) FROM pg_index AS i"
        " INNER JOIN pg_inherits AS h ON h.inhrelid = i.indexrelid"
        " WHERE i.indrelid = to_regclass(%s)",
        f"noetl.{name}",
    )
    query(url, "DELETE FROM noetl.runtime WHERE runtime_id = 1")
    assert 50 == scalar(url, "SELECT count(*) FROM noetl.metric")


def test_a_day_is_rebuilt_once_for_each_class_that_ends(url: str) -> None:
    """A day stays unchanged between the ends of its classes; it is dropped once the last class has
    ended, or no class has rows left."""
    name = store(url, 3, "load", "jobs_total", "billing_a", "billing_test_a")
    identity = f"SELECT 'noetl.{name}'::regclass::oid"
    found = []
    # Days pass: each rule becomes shorter by as much as the day becomes older.
    for passed in (0, 4, 5, 27, 28, 362, 363):
        shorter = {pattern: max(1, days - passed) for pattern, days in RULES.items()}
        set_rules(url, shorter)
        before = scalar(url, identity)
        dropped = scalar(url, CLEANUP)
        if name in partitions(url):
            found.append((names_in(url), before != scalar(url, identity), dropped))
            after = scalar(url, identity)
            assert [] == scalar(url, CLEANUP)
            assert after == scalar(url, identity)
            assert [] == query(url, "SELECT noetl.list_expired_metric_partitions()")
        else:
            found.append((set(), True, dropped))
    everything = {"jobs_total", "billing_a", "billing_test_a"}
    assert [
        (everything, True, []),
        (everything, False, []),
        (everything - {"billing_test_a"}, True, []),
        (everything - {"billing_test_a"}, False, []),
        ({"billing_a"}, True, []),
        ({"billing_a"}, False, []),
        (set(), True, [name]),
    ] == found


def test_a_day_of_which_nothing_is_kept_any_more_is_dropped(url: str) -> None:
    """A day is dropped as a whole if its longer-living rows went with their component, if it never
    had any, or if its rule was removed."""
    names = [store(url, 3, "jobs_total"), store(url, 4), store(url, 5, "load")]
    assert names[:0:-1] == scalar(url, CLEANUP)
    query(url, "DELETE FROM noetl.runtime")
    assert names[:1] == scalar(url, CLEANUP)
    name = store(url, 3, "jobs_total")
    set_rules(url, {})
    assert [name] == scalar(url, CLEANUP)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_there_and_seen_is_what_the_rules_say(database_url: str, seed: int) -> None:
    """For random rules and rows, the table has exactly the rows whose day is within their retention
    by whole days, and readers see exactly the rows that are within it themselves."""
    chosen = random.Random(seed)
    names = ["a", "a_b", "a_b_c", "a_c", "b", "b_c"]
    patterns = [name + ending for name in names for ending in ("", "*", "_*")]
    default_days = chosen.choice([1, 2])
    rules = {
        pattern: chosen.randint(default_days, 6)
        for pattern in chosen.sample(patterns, chosen.randint(1, 6))
    }

    def days_of(name: str) -> int:
        matching = [
            (len(pattern.rstrip("*")), pattern == name, days)
            for pattern, days in rules.items()
            if pattern == name or (pattern[-1] == "*" and name.startswith(pattern[:-1]))
        ]
        return max(matching)[2] if matching else default_days

    settings: dict[str, Any] = {
        "retention_days": default_days, "metric_retention_days": rules, "component_name": "own",
    }  # fmt: skip
    with running_api(database_url, **settings) as api:
        ages = sorted(chosen.sample(range(1, 190), 40))
        stored = []
        moments = [at_noon(0) - timedelta(hours=hours) for hours in ages]
        # Around the exact end of each retention.
        moments += [
            datetime.now(UTC) - timedelta(days, minutes=minutes)
            for days in range(1, 7)
            for minutes in (-30, 30)
        ]
        query(database_url, RUNTIME)
        for moment in moments:
            query(database_url, "SELECT noetl.create_metric_partition(%s)", moment.date())
            for name in names:
                query(
                    database_url,
                    INSERT.format(names=f"ARRAY['{name}']", count=1, moment=f"'{moment}'"),
                )
                stored.append((name, moment))
        answer = api.post("/api/metrics/cleanup").json()
        now = datetime.now(UTC)
        in_table = {
            (name, moment)
            for name, moment in stored
            if datetime(*moment.timetuple()[:3], tzinfo=UTC) + timedelta(1)
            > now - timedelta(days_of(name))
        }
        seen = {(name, at) for name, at in stored if at > now - timedelta(days_of(name))}
        own = "runtime_id < 3"
        assert in_table == set(
            query(database_url, f"SELECT metric_name, created_at FROM noetl.metric WHERE {own}")
        )
        pages = [
            {"runtime_id": "2", "limit": 10_000},
            *({"metric_name": name, "limit": 10_000} for name in names),
        ]
        found = [
            {
                (metric["metric_name"], datetime.fromisoformat(metric["created_at"]))
                for metric in api.get("/api/metrics", params=page).json()["metrics"]
            }
            for page in pages
        ]
        assert seen == found[0] == set().union(*found[1:])
        counted = sum(
            point[1]
            for name in names
            for series in api.get(
                "/api/metrics/series",
                params={
                    "metric_name": name, "aggregation": "count", "step": "86400",
                    "start_time": str((now - timedelta(20)).timestamp()),
                },
            ).json()["series"]
            for point in series["points"]
        )  # fmt: skip
        assert len(seen) == counted
        assert not set(answer["dropped_partitions"]) & set(partitions(database_url))
        again = api.post("/api/metrics/cleanup").json()
        assert (0, "Dropped 0 expired partitions") == (again["dropped_count"], again["message"])


def test_readers_of_each_kind_see_a_name_to_its_end(url: str) -> None:
    """By name, by component and in a chart, readers see rows of a name that is kept longer, and the
    other names' rows within the retention only."""
    with running_api(url, metric_retention_days=RULES) as api:
        store(url, 3, "jobs_total", "load")
        api.insert({"runtime_id": "2", "metrics": [sample(), sample(metric_name="load")]})
        for path, asked in (
            ("/api/metrics", {"component_name": "b"}),
            ("/api/metrics", {"runtime_id": "2"}),
            ("/api/runtime/2/metrics", {}),
        ):
            assert [1, 1, 1] == values(api, path, **asked)
            assert [1, 1] == values(api, path, **asked, metric_name="jobs_total")
            assert [1] == values(api, path, **asked, metric_name="load")
        for name, count in (("jobs_total", 3), ("load", 1)):
            chart = api.get(
                "/api/metrics/series",
                params={
                    "metric_name": name, "aggregation": "count", "step": "864000",
                    "start_time": str(at_noon(6).timestamp()),
                },
            ).json()  # fmt: skip
            assert count == sum(at[1] for one in chart["series"] for at in one["points"])
        # What counts is the retention that is in force, and not the one of the insertion.
        api.sql("UPDATE noetl.metric SET expires_at = now()")
        assert [1] == values(api, metric_name="load")
        expire(api.database_url, "metric_name = 'load' AND created_at > now() - interval '1 hour'")
        assert [] == values(api, metric_name="load")
        assert [1, 1] == values(api, runtime_id="2")


@pytest.mark.parametrize(
    ("settings", "seen"),
    [
        ({"retention_days": 1}, []),
        ({"retention_days": 7}, [1]),
        ({"metric_retention_days": {"jobs_*": 7}}, [1]),
        ({"metric_retention_days": {"other": 7}}, []),
    ],
)
def test_a_longer_retention_holds_for_rows_that_are_there(
    url: str, settings: Any, seen: list[float]
) -> None:
    """Rows that were inserted under a shorter retention are seen to the end of the longer one, on
    pages and in charts, and not by an older end of their own."""
    with running_api(url) as first:
        first.insert({"runtime_id": first.register(), "metrics": [sample()]})
        expire(url)
        query(
            url,
            "UPDATE noetl.metric"
            " SET expires_at = created_at + interval '1 day', timestamp = created_at",
        )
        assert [] == values(first)
    with running_api(url, **settings) as api:
        assert seen == values(api)
        assert seen == values(api, metric_name="jobs_total")
        chart = api.get(
            "/api/metrics/series",
            params={
                "metric_name": "jobs_total", "aggregation": "last", "step": "864000",
                "start_time": str(at_noon(3).timestamp()),
            },
        ).json()["series"]  # fmt: skip
        assert seen == [value for one in chart for _, value in one["points"]]


def plan_by_rules(api: Api, filters: dict[str, Any]) -> str:
    """Return the server's plan of a page of a query, as JSON."""
    retention = Retention(api.app.state.resources.settings)
    visibility, bounds = select_visibility(retention, filters.get("metric_name"))
    with psycopg.connect(api.database_url) as connection:
        if is_of_a_series(filters):
            connection.execute(read_sql("query/plan_in_order.sql"))
        plan = connection.execute(
            "EXPLAIN (FORMAT JSON) " + select_metrics_query(filters, "desc", visibility),
            {**select_metrics_parameters(filters | {"limit": 10}), **bounds, **ANY_TIME},
        ).fetchone()
    assert plan is not None
    return json.dumps(plan[0])


def test_days_beyond_a_names_retention_are_pruned(url: str) -> None:
    """Without a name's rule, a query reads only the retention's partitions, though others exist;
    with a rule, it reads the rule's partitions by the index; without a name, the longest rule's."""
    with running_api(url, metric_retention_days=RULES) as api:
        billing = [f"billing_{number}" for number in range(9)]
        name = store(url, 3, *billing, count=500)
        store(url, 3, "jobs_total", "load", count=20)
        older = store(url, 40, "jobs_total", *billing)
        oldest = store(url, 500)
        assert 1 == api.post("/api/metrics/cleanup").json()["dropped_count"]
        api.sql("SELECT noetl.create_metric_partition(%s)", today() - timedelta(500))

        def looked_into(**filters: Any) -> set[str]:
            plan = plan_by_rules(api, filters)
            assert "Subplans Removed" in plan
            return {day for day in (name, older, oldest) if f'"{day}"' in plan}

        assert set() == looked_into(runtime_id=1, metric_name="load")
        assert set() == looked_into(metric_name="load")
        assert {name} == looked_into(runtime_id=1, metric_name="jobs_total")
        assert {name, older} == looked_into(runtime_id=1)
        for filters in (
            {"runtime_id": 1, "metric_name": "jobs_total"},
            {"metric_name": "jobs_total"},
        ):
            assert re.search(
                f'"{name}_(runtime_id_)?metric_name_timestamp_idx"', plan_by_rules(api, filters)
            )


def test_cleanup_says_what_it_rebuilt(url: str) -> None:
    """The message names the days that keep some rows; they are counted, but not among the dropped
    days."""
    with running_api(url, metric_retention_days=RULES) as api:
        rebuilt = store(url, 3, "jobs_total", "load")
        dropped = store(url, 4, "load")
        assert api.post("/api/metrics/cleanup").json() == {
            "status": "ok",
            "dropped_partitions": [dropped],
            "dropped_count": 1,
            "message": f"Dropped 1 expired partitions, removed what has expired from 1: {rebuilt}",
        }
        statistics = api.app.state.resources.statistics
        counted = {
            one.name: one.value
            for family in statistics.registry.collect()
            for one in family.samples
            if one.name.startswith("noetl_api_partitions_")
        }
        assert 1 == counted["noetl_api_partitions_rebuilt_total"]
        assert 1 == counted["noetl_api_partitions_dropped_total"]
