"""The dashboards in examples/grafana: every query of both runs, and shows what the API shows."""

from __future__ import annotations

import re
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.acceptance.observed_fleet import POOL, SERVER, SERVER_ID, WORKERS, observe
from tests.conftest import start_server
from tests.grafana import FOLDER, Dashboard, expanded_sql

pytestmark = pytest.mark.once

POSTGRESQL, PROMETHEUS = Dashboard("postgresql.json"), Dashboard("prometheus.json")
BOTH = [POSTGRESQL, PROMETHEUS]
VARIABLES = {"component": [POOL, SERVER], "worker": [*WORKERS, SERVER_ID]}


class Fleet:
    """What a fleet has reported: a server with its database, and the time of it."""

    def __init__(self, server):
        self.server = server
        self.shown = observe(server.url)
        self.role_sql = "\n".join(
            re.findall(r"^```sql\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
        )

    def rows(self, sql, interval_seconds=60):
        """Run a query of a dashboard as Grafana does; return the rows."""
        query = expanded_sql(sql, self.shown, interval_seconds, VARIABLES)
        with psycopg.connect(make_conninfo(self.server.database_url, user="grafana")) as connection:
            return connection.execute(query.encode()).fetchall()

    def panel(self, title):
        """Return what a panel of time series shows: the name of each to its values by time."""
        (target,) = POSTGRESQL.panels[title]["targets"]
        found: dict[str, dict[int, float]] = {}
        rows = self.rows(target["rawSql"], POSTGRESQL.interval_seconds(title))
        assert sorted(rows, key=lambda row: row[0]) == rows  # Grafana takes them in order of time
        for at, name, value in rows:
            found.setdefault(name, {})[int(at)] = float(value)
        return found

    def api(self, title, metric_name, aggregation, group_by="", **parameters):
        """Ask the server for the same; return it in the same form."""
        asked = {
            "metric_name": metric_name, "aggregation": aggregation, "group_by": group_by,
            "start_time": self.shown.start, "end_time": self.shown.end,
            "step": POSTGRESQL.interval_seconds(title), **parameters,
        }  # fmt: skip
        answer = httpx.get(f"{self.server.url}/api/metrics/series", params=asked)
        assert 200 == answer.status_code, answer.text
        return {
            " ".join(series["labels"].get(name, "") for name in group_by.split(",")): {
                int(at): float(value) for at, value in series["points"]
            }
            for series in answer.json()["series"]
        }


README = (FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def fleet(postgresql):
    with postgresql.database() as url, ExitStack() as stack:
        server = start_server(url)
        assert server.process.stdout is not None
        stack.enter_context(server.process.stdout)
        stack.callback(server.stop)
        made = Fleet(server)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(made.role_sql.encode())
            yield made
            connection.execute("DROP OWNED BY grafana; DROP ROLE grafana")


def same(expected, shown):
    """Whether two answers agree, to the rounding of sums."""
    assert expected
    assert expected.keys() == shown.keys()
    for name, points in expected.items():
        assert points == pytest.approx(shown[name], rel=1e-9, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("title", POSTGRESQL.panels)
def test_every_query_of_postgresql_has_rows(fleet, title):
    """The role of the README may run it, and it finds what was reported."""
    for target in POSTGRESQL.panels[title]["targets"]:
        rows = fleet.rows(target["rawSql"], POSTGRESQL.interval_seconds(title))
        assert rows
        assert all(value is not None for row in rows for value in row)


def test_the_variables_of_postgresql_find_components_and_workers(fleet):
    """They offer what there is to be chosen, workers of the chosen components only."""
    found = {
        name: [row[0] for row in fleet.rows(POSTGRESQL.variables[name]["query"])]
        for name in VARIABLES
    }
    assert {POOL, SERVER} < set(found["component"])  # the real server too
    assert sorted(VARIABLES["worker"]) == found["worker"]


def test_jobs_per_second_are_the_rates_of_the_api(fleet):
    """By kind and outcome, over a worker that began anew."""
    title, metric = "Jobs per second", "noetl_jobs_processed_total"
    same(fleet.api(title, metric, "rate", "job_type,status"), fleet.panel(title))


def test_the_failure_ratio_is_that_of_the_increases(fleet):
    """Failed jobs by all jobs, bucket for bucket."""
    title, metric = "Failure ratio", "noetl_jobs_processed_total"
    by_status = fleet.api(title, metric, "increase", "status")
    expected = {
        at: by_status["failed"].get(at, 0.0) / (by_status["failed"].get(at, 0.0) + completed)
        for at, completed in by_status["completed"].items()
    }
    same({POOL: expected}, fleet.panel(title))


@pytest.mark.parametrize(("name", "quantile"), [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)])
def test_quantiles_of_durations_are_those_of_the_api(fleet, name, quantile):
    """Interpolated in SQL as the server interpolates them."""
    title, metric = "Job duration", "noetl_job_duration_seconds"
    (expected,) = fleet.api(title, metric, "quantile", quantile=quantile).values()
    same({name: expected}, {name: fleet.panel(title)[name]})


@pytest.mark.parametrize(
    ("title", "metric"),
    [
        ("Running jobs", "noetl_jobs_in_progress"),
        ("Samples that wait", "noetl_metrics_sdk_samples_pending"),
    ],
)
def test_what_holds_on_is_summed_as_in_the_api(fleet, title, metric):
    """A sample counts until the next one, and for five minutes at most."""
    expected = fleet.api(title, metric, "sum", "component_name")
    shown = fleet.panel(title)
    same(
        {name: expected[name] for name in shown},
        {name: {at: shown[name][at] for at in expected[name]} for name in shown},
    )


@pytest.mark.parametrize(
    ("title", "metric", "labels"),
    [
        ("CPU of the host, per worker", "system_cpu_usage_percent", '{"core": "all"}'),
        ("Memory of the host, per worker", "system_memory_usage_percent", "{}"),
        ("Memory of the process", "process_resident_memory_bytes", "{}"),
    ],
)
def test_gauges_are_the_averages_of_the_api(fleet, title, metric, labels):
    """Of each worker by itself."""
    expected = fleet.api(title, metric, "avg", "worker_id", labels=labels)
    shown = fleet.panel(title)
    assert set(VARIABLES["worker"]) == set(shown)
    same({name: expected[name] for name in shown}, shown)


@pytest.mark.parametrize(
    ("title", "metric", "group_by"),
    [
        ("Samples delivered per second", "noetl_metrics_sdk_samples_sent_total", "component_name"),
        (
            "Samples dropped per second",
            "noetl_metrics_sdk_samples_dropped_total",
            "component_name,reason",
        ),
    ],
)
def test_delivery_is_that_of_the_api(fleet, title, metric, group_by):
    """What was sent, and what was dropped and why."""
    expected = fleet.api(title, metric, "rate", group_by)
    shown = fleet.panel(title)
    same({name: expected[name] for name in shown}, shown)


@pytest.mark.parametrize(
    ("title", "aggregation", "kinds"),
    [
        (
            "Rows inserted and rejected per second",
            "rate",
            ["noetl_api_samples_inserted_total", "noetl_api_samples_rejected_total"],
        ),
        (
            "Partitions made and dropped",
            "increase",
            ["noetl_api_partitions_created_total", "noetl_api_partitions_dropped_total"],
        ),
    ],
)
def test_the_servers_counts_are_those_of_the_api(fleet, title, aggregation, kinds):
    """Rows and partitions, of all servers together."""
    shown = fleet.panel(title)
    assert set(kinds) == set(shown)
    for metric in kinds:
        (expected,) = fleet.api(title, metric, aggregation).values()
        same({metric: expected}, {metric: shown[metric]})


def test_every_query_of_postgresql_goes_by_an_index(fleet):
    """None of them has to read a whole day."""
    with psycopg.connect(fleet.server.database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        for title, panel in POSTGRESQL.panels.items():
            query = expanded_sql(panel["targets"][0]["rawSql"], fleet.shown, 60, VARIABLES)
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {query}".encode()))
            assert "Index Cond: " in plan, (title, plan)
            assert not re.search("Seq Scan on metric_", plan), (title, plan)


def test_the_role_may_only_read(fleet):
    """Whoever edits a dashboard can change nothing."""
    with psycopg.connect(make_conninfo(fleet.server.database_url, user="grafana")) as connection:
        for query in ("DELETE FROM noetl.metric", "SELECT * FROM noetl.metric_batch"):
            with pytest.raises(psycopg.Error):
                connection.execute(query)
            connection.rollback()


@pytest.mark.parametrize("dashboard", BOTH, ids=["postgresql", "prometheus"])
def test_a_dashboard_is_bound_to_no_data_source(dashboard):
    """Every panel, target and variable takes the data source that was picked at the top."""
    picker = dashboard.variables["datasource"]
    assert "datasource" == picker["type"]
    chosen = {"type": picker["query"], "uid": "${datasource}"}
    users: list[Any] = [*dashboard.panels.values()]
    users += [target for panel in dashboard.panels.values() for target in panel["targets"]]
    users += [variable for name, variable in dashboard.variables.items() if name != "datasource"]
    assert [chosen] * len(users) == [user["datasource"] for user in users]


def test_both_dashboards_show_the_same():
    """The same panels, of the same kind and unit, at the same place."""
    shown = [
        {
            title: (panel["type"], panel["gridPos"], panel["fieldConfig"]["defaults"]["unit"])
            for title, panel in dashboard.panels.items()
        }
        for dashboard in BOTH
    ]
    assert shown[0] == shown[1]
    assert [14, 14] == [len({panel["id"] for panel in one.json["panels"]}) for one in BOTH]
