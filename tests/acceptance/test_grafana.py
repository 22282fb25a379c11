"""The dashboards in examples/grafana: every query of both runs, and shows what the API shows."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from server_stub.components.labels import exposed_labels
from tests.acceptance.observed_fleet import POOL, SERVER, SERVER_ID, WORKERS, observe
from tests.grafana import FOLDER, Dashboard, TimeRange, expanded_promql, expanded_sql
from tests.prometheus import needs_prometheus, running_prometheus
from tests.server_process import start_server
from tests.victoria_metrics import needs_victoria_metrics, running_victoria_metrics

pytestmark = pytest.mark.once

POSTGRESQL, PROMETHEUS = Dashboard("postgresql.json"), Dashboard("prometheus.json")
BOTH = [POSTGRESQL, PROMETHEUS]
VARIABLES = {"component": [POOL, SERVER], "worker": [*WORKERS, SERVER_ID]}


class Fleet:
    """A server with its database, and the time span in which a fleet reported to it."""

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
        """Return what a panel of time series shows: each name with its values by time."""
        (target,) = POSTGRESQL.panels[title]["targets"]
        found: dict[str, dict[int, float]] = {}
        rows = self.rows(target["rawSql"], POSTGRESQL.interval_seconds(title))
        assert sorted(rows, key=lambda row: row[0]) == rows  # Grafana takes them in order of time
        for at, name, value in rows:
            found.setdefault(name, {})[int(at)] = float(value)
        return found

    def api(self, title, metric_name, aggregation, group_by="", **parameters):
        """Ask the server the same question; return the answer in the same form."""
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
        # The fleet's last samples are some minutes old, and older where the tests take long.
        server = start_server(url, "--exposition-lookback-seconds=3600")
        assert server.process.stdout is not None
        stack.enter_context(server.process.stdout)
        stack.callback(server.stop)
        made = Fleet(server)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(made.role_sql.encode())
            yield made
            connection.execute("DROP OWNED BY grafana; DROP ROLE grafana")


def same(expected, shown):
    """Return whether two answers agree, within the rounding of sums."""
    assert expected
    assert expected.keys() == shown.keys()
    for name, points in expected.items():
        assert points == pytest.approx(shown[name], rel=1e-9, abs=1e-12, nan_ok=True), name


@pytest.mark.parametrize("title", POSTGRESQL.panels)
def test_every_query_of_postgresql_has_rows(fleet, title):
    """The role of the README may run every query, and each query finds rows."""
    for target in POSTGRESQL.panels[title]["targets"]:
        rows = fleet.rows(target["rawSql"], POSTGRESQL.interval_seconds(title))
        assert rows
        assert all(value is not None for row in rows for value in row)


def test_the_variables_of_postgresql_find_components_and_workers(fleet):
    """The variables offer all components, and the workers of the chosen components only."""
    found = {
        name: [row[0] for row in fleet.rows(POSTGRESQL.variables[name]["query"])]
        for name in VARIABLES
    }
    assert {POOL, SERVER} <= set(found["component"])
    assert sorted(VARIABLES["worker"]) == found["worker"]


def test_jobs_per_second_are_the_rates_of_the_api(fleet):
    """The panel shows the API's rates by kind and outcome, also for a worker that restarted."""
    title, metric = "Jobs per second", "noetl_jobs_processed_total"
    same(fleet.api(title, metric, "rate", "job_type,status"), fleet.panel(title))


def test_the_failure_ratio_is_that_of_the_increases(fleet):
    """In each bucket the ratio is the failed jobs divided by all jobs."""
    title, metric = "Failure ratio", "noetl_jobs_processed_total"
    by_status = fleet.api(title, metric, "increase", "status")
    expected = {
        at: by_status["failed"].get(at, 0.0) / (by_status["failed"].get(at, 0.0) + completed)
        for at, completed in by_status["completed"].items()
    }
    same({POOL: expected}, fleet.panel(title))


@pytest.mark.parametrize(("name", "quantile"), [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)])
def test_quantiles_of_durations_are_those_of_the_api(fleet, name, quantile):
    """The panel's SQL interpolates quantiles as the server does."""
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
    """In a sum a sample counts until the next one comes, and for five minutes at most."""
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
    """The panel shows the API's average of each worker by itself."""
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
    """The panel shows the samples that were sent, and those that were dropped and why."""
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
    """The panel shows the API's rows and partitions, of all servers together."""
    shown = fleet.panel(title)
    assert set(kinds) == set(shown)
    for metric in kinds:
        (expected,) = fleet.api(title, metric, aggregation).values()
        same({metric: expected}, {metric: shown[metric]})


def test_every_query_of_postgresql_goes_by_an_index(fleet):
    """No query has to read a whole day."""
    with psycopg.connect(fleet.server.database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        for title, panel in POSTGRESQL.panels.items():
            query = expanded_sql(panel["targets"][0]["rawSql"], fleet.shown, 60, VARIABLES)
            plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {query}".encode()))
            assert "Index Cond: " in plan, (title, plan)
            assert not re.search("Seq Scan on metric_", plan), (title, plan)


def test_the_role_may_only_read(fleet):
    """A user who edits a dashboard can change nothing in the database."""
    with psycopg.connect(make_conninfo(fleet.server.database_url, user="grafana")) as connection:
        for query in ("DELETE FROM noetl.metric", "SELECT * FROM noetl.metric_batch"):
            with pytest.raises(psycopg.Error):
                connection.execute(query)
            connection.rollback()


@pytest.mark.parametrize("dashboard", BOTH, ids=["postgresql", "prometheus"])
def test_a_dashboard_is_bound_to_no_data_source(dashboard):
    """Every panel, target and variable takes the data source that the user picked at the top."""
    picker = dashboard.variables["datasource"]
    assert "datasource" == picker["type"]
    chosen = {"type": picker["query"], "uid": "${datasource}"}
    users: list[Any] = [*dashboard.panels.values()]
    users += [target for panel in dashboard.panels.values() for target in panel["targets"]]
    users += [variable for name, variable in dashboard.variables.items() if name != "datasource"]
    assert [chosen] * len(users) == [user["datasource"] for user in users]


def test_both_dashboards_show_the_same():
    """Both dashboards have the same panels, of the same kind and unit, at the same places."""
    shown = [
        {
            title: (panel["type"], panel["gridPos"], panel["fieldConfig"]["defaults"]["unit"])
            for title, panel in dashboard.panels.items()
        }
        for dashboard in BOTH
    ]
    assert shown[0] == shown[1]
    assert [14, 14] == [len({panel["id"] for panel in one.json["panels"]}) for one in BOTH]


class PromQL:
    """A program that has the fleet's samples; the tests ask it as Grafana does."""

    def __init__(self, program, shown, rate_interval=None):
        self.program = program
        self.shown = shown
        self.rate_interval = rate_interval

    def expanded(self, expression, seconds):
        rate_interval = self.rate_interval or f"{seconds}s"
        everything = {"component": ".*", "worker": ".*"}
        return expanded_promql(expression, self.shown, rate_interval, everything)

    def panel(self, title):
        """Return what a panel of time series shows: each name with its values by time."""
        seconds = PROMETHEUS.interval_seconds(title)
        found: dict[str, dict[int, float]] = {}
        for target in PROMETHEUS.panels[title]["targets"]:
            parameters = {
                "query": self.expanded(target["expr"], seconds),
                "start": self.shown.start + seconds,
                "end": self.shown.end,
                "step": seconds,
            }
            answer = self.program.get("/api/v1/query_range", params=parameters).json()
            for series in answer["data"]["result"]:
                name = legend(target["legendFormat"], series["metric"])
                # PromQL's value is about the time before it, a bucket's value about the time after
                # it.
                found[name] = {int(at) - seconds: float(value) for at, value in series["values"]}
        return found

    def components(self):
        """Return what the table shows: each component, and how many seconds ago it reported."""
        (target,) = PROMETHEUS.panels["Components"]["targets"]
        expression = self.expanded(target["expr"], 60)
        return {
            row["metric"]["component"]: float(row["value"][1])
            for row in self.program.query(expression, time=self.shown.end)
        }

    def variable(self, name):
        """Return the values that a variable offers."""
        query = PROMETHEUS.variables[name]["query"]["query"]
        called = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
        assert called
        parameters = {"match[]": self.expanded(called[1], 60), "start": self.shown.start}
        answer = self.program.get(f"/api/v1/label/{called[2]}/values", params=parameters)
        return answer.json()["data"]


def legend(pattern, labels):
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), pattern)


@pytest.fixture(scope="module")
def victoria_metrics(fleet, tmp_path_factory):
    """A VictoriaMetrics with every row, under the name that the server's exposition gives it."""
    with psycopg.connect(fleet.server.database_url) as connection:
        rows = connection.execute(
            "SELECT metric_name, metric_value, extract(epoch FROM timestamp) * 1000, "
            "runtime_id, name, component_type, m.labels::text "
            "FROM noetl.metric AS m INNER JOIN noetl.runtime AS r USING (runtime_id)"
        ).fetchall()
    lines = [
        f"{name}{exposed_labels(*series).text} {value!r} {int(milliseconds)}"
        for name, value, milliseconds, *series in rows
    ]
    with running_victoria_metrics(tmp_path_factory.mktemp("victoria-metrics")) as program:
        body = "\n".join(lines).encode()
        answer = httpx.post(f"{program.url}/api/v1/import/prometheus", content=body)
        assert answer.is_success, answer.text
        program.get("/internal/force_flush")
        yield PromQL(program, fleet.shown)


SERIES_PANELS = [title for title in PROMETHEUS.panels if title != "Components"]


@needs_victoria_metrics
@pytest.mark.parametrize("title", SERIES_PANELS)
def test_promql_shows_what_postgresql_shows(fleet, victoria_metrics, title):
    """PromQL has the same series, and over all values they differ by a twentieth at most.

    They cannot be the same. PromQL looks at the window of a rate and at the time between its
    samples; the API looks at whole buckets. The test leaves out the first bucket, as each of the
    two has its own view of the first sample.
    """
    of_sql, of_promql = fleet.panel(title), victoria_metrics.panel(title)
    assert of_sql.keys() == of_promql.keys()
    for name, points in of_sql.items():
        times = sorted(points.keys() & of_promql[name].keys())[1:]
        assert len(times) >= 8
        expected = sum(points[at] for at in times)
        assert expected == pytest.approx(sum(of_promql[name][at] for at in times), rel=0.05)


@needs_victoria_metrics
def test_promql_knows_when_a_component_was_last_heard_of(victoria_metrics):
    """The table shows how long ago each component's newest sample was."""
    found = victoria_metrics.components()
    assert {POOL, SERVER} <= found.keys()
    assert all(0 <= found[name] < 120 for name in (POOL, SERVER))


@needs_victoria_metrics
def test_the_variables_of_promql_find_components_and_workers(victoria_metrics):
    """The variables offer all components and workers."""
    assert {POOL, SERVER} <= set(victoria_metrics.variable("component"))
    assert set(VARIABLES["worker"]) <= set(victoria_metrics.variable("worker"))


@needs_prometheus
def test_every_query_of_prometheus_has_rows(fleet, tmp_path):
    """A Prometheus that scrapes the server has rows for each query of the dashboard and its
    variables."""
    target = fleet.server.url.removeprefix("http://")
    scrape = {"job_name": "noetl", "static_configs": [{"targets": [target]}]}
    with running_prometheus(tmp_path, scrape_configs=[scrape]) as program:
        twice = "count_over_time(noetl_jobs_processed_total[1m]) > 2"
        wait_until(lambda: program.query(twice))
        now = int(time.time())
        scraped = PromQL(program, TimeRange(now - 600, now + 60), "1m")
        # A scrape that takes longer than a second leaves all panels empty until the next one.
        wait_until(lambda: all(map(scraped.panel, SERIES_PANELS)))
        assert {POOL, SERVER} <= scraped.components().keys()
        assert {POOL, SERVER} <= set(scraped.variable("component"))
        assert set(VARIABLES["worker"]) <= set(scraped.variable("worker"))


def wait_until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
