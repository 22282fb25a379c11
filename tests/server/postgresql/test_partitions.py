"""Partitions with obstacles: other tables, readers, clocks, time zones, other servers."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from server_stub.postgresql import readiness, schema
from server_stub.postgresql.session import TimeOuts
from tests.postgresql import with_options
from tests.server.application import Api, running_api, sample
from tests.server.database_queries import at_once, partition_name, partitions, query, scalar, today
from tests.server_process import start_server

if TYPE_CHECKING:
    from tests.postgresql import Cluster
    from tests.server_process import ServerProcess

pytestmark = pytest.mark.once

MAINTENANCE_TURN = (
    "SELECT pg_try_advisory_xact_lock(hashtextextended('noetl.metric maintenance', 0))"
)
ROWS_EXPIRED = 20_000


def insert_one(api: Api) -> httpx.Response:
    return api.insert({"runtime_id": api.register(), "metrics": [sample()]})


def test_a_table_with_a_partitions_name_is_left_alone(api: Api) -> None:
    """If today's partition was detached, an insert gets a new one under another name, the detached
    table keeps its rows, and readiness and cleanup go by bounds, not by names."""
    name = partition_name(today())
    assert 200 == insert_one(api).status_code
    api.sql(f"ALTER TABLE noetl.metric DETACH PARTITION noetl.{name}")
    assert [(1,)] == api.sql(f"SELECT count(*) FROM noetl.{name} WHERE metric_name = 'jobs_total'")
    assert 200 == insert_one(api).status_code
    stored_in = "SELECT DISTINCT tableoid::regclass::text FROM noetl.metric"
    assert [(f"noetl.{name}_2",)] == api.sql(stored_in)
    assert [(1,)] == api.sql(f"SELECT count(*) FROM noetl.{name} WHERE metric_name = 'jobs_total'")
    assert 200 == api.get("/readyz").status_code
    assert 0 == api.post("/api/metrics/cleanup").json()["dropped_count"]


def test_a_partition_that_overlaps_is_said(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """If a partition of other bounds leaves no room for today's, the answer is 503 with a later
    time to come again, the log names that partition, and a server starts all the same."""
    runtime_id = api.register()
    yesterday, start = today() - timedelta(1), datetime.combine(today(), datetime.min.time(), UTC)
    # Before the server's own metrics would make today's partition.
    api.sql(
        f"DROP TABLE noetl.{partition_name(yesterday)}, noetl.{partition_name(today())};"
        "CREATE TABLE noetl.foreign_bounds PARTITION OF noetl.metric"
        f" FOR VALUES FROM ('{start - timedelta(hours=1)}')"
        f" TO ('{start + timedelta(microseconds=1)}')"
    )
    body = {"runtime_id": runtime_id, "metrics": [sample()]}
    answer = api.insert(body)
    assert (503, "60") == (answer.status_code, answer.headers["retry-after"])
    assert "cannot be made; the server's log says what stands" in answer.json()["detail"]
    assert 'would overlap partition "foreign_bounds"' in caplog.text
    with running_api(api.database_url) as second:
        assert 503 == second.insert(body).status_code
        second.sql("DROP TABLE noetl.foreign_bounds")
        assert 200 == second.insert(body).status_code


def test_a_server_that_was_off_for_a_week_catches_up(each_database_url: str) -> None:
    """It drops partitions of the week before, and makes today's and the next ones."""
    schema.apply_schema(each_database_url)
    for offset in range(7, 15):
        query(
            each_database_url,
            "SELECT noetl.create_metric_partition(%s)",
            today() - timedelta(offset),
        )
    with running_api(each_database_url) as api:
        days = [today() + timedelta(offset) for offset in range(-1, 8)]
        assert list(partitions(each_database_url)) == [partition_name(day) for day in days]
        assert 200 == insert_one(api).status_code


def test_the_zone_of_a_database_is_not_that_of_its_partitions(each_database_url: str) -> None:
    """If the day of a database or a role is another than UTC's, partitions are still UTC days."""
    schema.apply_schema(each_database_url)
    database = scalar(each_database_url, "SELECT current_database()")
    query(each_database_url, f"ALTER DATABASE {database} SET timezone = 'Pacific/Kiritimati'")
    query(each_database_url, f"ALTER DATABASE {database} SET datestyle = 'German'")
    for offset in (2, 3):
        query(
            each_database_url,
            "SELECT noetl.create_metric_partition(%s)",
            today() - timedelta(offset),
        )
    with running_api(each_database_url) as api:
        days = [today() + timedelta(offset) for offset in range(-1, 8)]
        assert list(partitions(each_database_url)) == [partition_name(day) for day in days]
        assert 200 == insert_one(api).status_code
        assert [(f"noetl.{partition_name(today())}",)] == api.sql(
            "SELECT DISTINCT tableoid::regclass::text FROM noetl.metric"
        )
        assert 200 == api.get("/readyz").status_code


@pytest.mark.parametrize("hours", [-25, -1, 1, 25])
def test_partitions_and_retention_go_by_the_databases_clock(database_url: str, hours: int) -> None:
    """A server with a wrong clock gives its time only to samples without one."""
    with running_api(
        database_url,
        clock=lambda: datetime.now(UTC) + timedelta(hours=hours),
        sample_ahead_seconds_max=200_000.0,
    ) as api:
        assert 200 == insert_one(api).status_code
        ((where, age, lifetime, ahead),) = api.sql(
            "SELECT tableoid::regclass::text, now() - created_at, expires_at - created_at,"
            " extract(epoch FROM timestamp - created_at)"
            " FROM noetl.metric WHERE metric_name = 'jobs_total'"
        )
        assert f"noetl.{partition_name(today())}" == where
        assert timedelta(0) <= age < timedelta(minutes=10)
        assert timedelta(days=1) == lifetime
        assert hours == round(float(ahead) / 3600)
        days = [today() + timedelta(offset) for offset in range(-1, 8)]
        assert list(partitions(database_url)) == [partition_name(day) for day in days]


def test_a_batch_lies_in_one_partition_whatever_the_hour(api: Api) -> None:
    """All rows of a batch have one created_at, so midnight never splits a batch; the last moment of
    a day and the first of the next are in two partitions."""
    runtime_id = api.register()
    batch = {"runtime_id": runtime_id, "metrics": [sample(metric_value=n) for n in range(1_500)]}
    assert 200 == api.insert(batch).status_code
    assert [(1,)] == api.sql(
        "SELECT count(DISTINCT created_at) FROM noetl.metric WHERE metric_name = 'jobs_total'"
    )
    midnight = datetime.combine(today() + timedelta(1), datetime.min.time(), UTC)
    found = [
        api.sql(
            "INSERT INTO noetl.metric"
            " (runtime_id, metric_name, metric_type, metric_value, created_at)"
            " VALUES (%s, 'a', 'gauge', 1, %s) RETURNING tableoid::regclass::text",
            int(runtime_id),
            moment,
        )[0][0]
        for moment in (midnight - timedelta(microseconds=1), midnight)
    ]
    names = [f"noetl.{partition_name(today() + timedelta(offset))}" for offset in (0, 1)]
    assert names == found


def test_maintenance_is_one_servers_turn(database_url: str) -> None:
    """While another server has its turn, a run does nothing and does not wait."""
    with running_api(database_url) as api, psycopg.connect(database_url) as other:
        maintenance = api.app.state.resources.maintenance
        api.sql("SELECT noetl.create_metric_partition('2024-02-29')")
        assert (True,) == other.execute(MAINTENANCE_TURN).fetchone()
        api.loop.run(maintenance.run_once())
        assert "metric_2024_02_29" in partitions(database_url)
        other.rollback()
        api.loop.run(maintenance.run_once())
        assert "metric_2024_02_29" not in partitions(database_url)


def test_a_server_starts_beside_a_query_that_keeps_its_retention_back(database_url: str) -> None:
    """If a reader of the table holds up the change of the retention, it is made later."""
    schema.apply_schema(database_url)
    retention = "SELECT retention FROM noetl.metric_retention"
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT count(*) FROM noetl.metric")
        with running_api(database_url, retention_days=7) as api:
            assert timedelta(days=1) == scalar(database_url, retention)
            assert 200 == insert_one(api).status_code
            reader.rollback()
            api.loop.run(api.app.state.resources.maintenance.run_once())
            assert timedelta(days=7) == scalar(database_url, retention)


def test_two_servers_start_clean_and_make_at_once(each_database_url: str) -> None:
    """Servers that start, clean up and make partitions at the same moments all succeed."""
    schema.apply_schema(each_database_url)
    query(each_database_url, "SELECT noetl.create_metric_partition('2024-02-29')")

    def start_and_use() -> list[int]:
        server = start_server(each_database_url, "--maintenance-interval-seconds=0.1")
        with ExitStack() as stack:
            stack.callback(server.process.communicate)
            stack.callback(server.process.terminate)
            client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60.0))
            runtime_id = client.post("/api/runtime/register", json={"name": "cpu-01"}).json()
            body = {"runtime_id": runtime_id["runtime_id"], "metrics": [sample()]}
            return [
                client.post("/api/metrics/cleanup").status_code,
                client.post("/api/metrics/partitions/create?days_ahead=9").status_code,
                client.post("/api/metrics", json=body).status_code,
            ]

    assert [[200] * 3] * 2 == at_once(2, start_and_use)
    days = [today() + timedelta(offset) for offset in range(-1, 10)]
    assert list(partitions(each_database_url)) == [partition_name(day) for day in days]


def test_a_day_is_dropped_beside_inserts_and_a_long_query(server: ServerProcess) -> None:
    """While a query reads noetl.metric, the drop waits and gives way; after the query, the day is
    dropped. No insert fails meanwhile, and no row of another day is lost."""
    url = server.database_url
    register = {"name": "cpu-01"}
    runtime_id = httpx.post(f"{server.url}/api/runtime/register", json=register).json()
    body = {"runtime_id": runtime_id["runtime_id"], "metrics": [sample()] * 10}
    query(url, "SELECT noetl.create_metric_partition('2024-02-29')")
    query(
        url,
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, created_at)"
        " SELECT %s, 'old', 'gauge', n, '2024-02-29 12:00Z' FROM generate_series(1, %s) AS n",
        int(runtime_id["runtime_id"]),
        ROWS_EXPIRED,
    )
    statuses: list[int] = []
    done = threading.Event()

    def insert() -> None:
        with httpx.Client(timeout=60) as client:
            while not (statuses and done.is_set()):
                statuses.append(client.post(f"{server.url}/api/metrics", json=body).status_code)

    cleanups: list[Any] = []
    threads = [
        *(threading.Thread(target=insert) for _ in range(2)),
        threading.Thread(
            target=lambda: cleanups.append(
                httpx.post(f"{server.url}/api/metrics/cleanup", timeout=60).json()
            )
        ),
    ]
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM noetl.metric")
        for thread in threads:
            thread.start()
        while not scalar(
            url,
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
            " AND relation = 'noetl.metric'::regclass",
        ):
            pass
    threads[-1].join()
    done.set()
    for thread in threads[:-1]:
        thread.join()
    assert ["metric_2024_02_29"] == cleanups[0]["dropped_partitions"]
    assert {200} == set(statuses)
    stored = "SELECT count(*) FROM noetl.metric WHERE metric_name = 'jobs_total'"
    assert 10 * len(statuses) == scalar(url, stored)


def test_an_autovacuum_gives_way_to_a_drop(postgresql: Cluster) -> None:
    """A drop succeeds at its first attempt, although autovacuum is at work on the day."""
    setting = "ALTER SYSTEM SET autovacuum_naptime"
    at_work = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'autovacuum worker' AND query ~ 'metric_2024_02_29'"
    )
    with postgresql.database() as url:
        schema.apply_schema(url)
        query(url, "SELECT noetl.initialize_metric_partitions()")
        query(url, "SELECT noetl.create_metric_partition('2024-02-29')")
        # It would take an hour: a page of some hundreds, and then a rest of a tenth of a second.
        query(
            url,
            "ALTER TABLE noetl.metric_2024_02_29 SET (autovacuum_vacuum_insert_threshold = 1,"
            " autovacuum_analyze_threshold = 2000000000, autovacuum_vacuum_cost_delay = 100,"
            " autovacuum_vacuum_cost_limit = 1);"
            "INSERT INTO noetl.runtime (runtime_id, name, component_type, status)"
            " VALUES (1, 'a', 'broker', 'ready');"
            "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value,"
            " created_at) SELECT 1, 'a', 'gauge', n, '2024-02-29 12:00Z'"
            " FROM generate_series(1, 50000) AS n",
        )
        try:
            query(url, f"{setting} = '1s'")
            query(url, "SELECT pg_reload_conf()")
            with psycopg.connect(url, autocommit=True) as watch:
                while watch.execute(at_work).fetchone() != (1,):
                    pass
            drop = "SELECT noetl.drop_expired_metric_partition('metric_2024_02_29')"
            assert scalar(url, drop) is True
        finally:
            query(url, "ALTER SYSTEM RESET autovacuum_naptime")
            query(url, "SELECT pg_reload_conf()")


def interrupt_detachment(url: str, name: str) -> None:
    """Leave a partition as DETACH CONCURRENTLY does when it is broken off."""
    pending = "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = %s::regclass"
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM noetl.metric")
        impatient = with_options(url, "-c statement_timeout=200ms")
        # On a busy machine the time may be over before the first half is done.
        while not scalar(url, pending, f"noetl.{name}"):
            with pytest.raises(psycopg.errors.QueryCanceled):
                query(
                    impatient,
                    f"ALTER TABLE noetl.metric DETACH PARTITION noetl.{name} CONCURRENTLY",
                )


def test_a_detachment_that_was_interrupted_is_said(
    api: Api, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While today's partition is neither attached nor detached, inserts get 503, the log and the
    readiness name it, and what the readiness says completes it."""
    monkeypatch.setattr(readiness, "LOOK_SECONDS", 0.0)
    name = partition_name(today())
    assert 200 == insert_one(api).status_code
    interrupt_detachment(api.database_url, name)
    answer = insert_one(api)
    assert (503, "60") == (answer.status_code, answer.headers["retry-after"])
    assert f'would overlap partition "{name}"' in caplog.text
    answer = api.get("/readyz")
    assert 503 == answer.status_code
    assert (
        f"partitions are missing: {name}; the detachment of {name} was interrupted"
        in (answer.json()["detail"])
    )
    api.sql(answer.json()["detail"].partition("complete it by ")[2])
    assert 200 == insert_one(api).status_code
    assert 200 == api.get("/readyz").status_code
    assert f"{name}_2" in partitions(api.database_url)


def test_an_expired_partition_that_is_half_detached_holds_no_other(
    embedded_api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """The maintenance warns of it, and the other expired days go."""
    api = embedded_api
    for day in ("2024-02-28", "2024-02-29"):
        api.sql("SELECT noetl.create_metric_partition(%s)", day)
    interrupt_detachment(api.database_url, "metric_2024_02_28")
    api.loop.run(api.app.state.resources.maintenance.run_once())
    assert "metric_2024_02_29" not in partitions(api.database_url)
    assert "noetl.metric_2024_02_28 is being detached" in caplog.text


DAYS = ("metric_2024_02_27", "metric_2024_02_28", "metric_2024_02_29")


def make_days(url: str) -> None:
    for name in DAYS:
        query(
            url,
            "SELECT noetl.create_metric_partition(%s)",
            name.removeprefix("metric_").replace("_", "-"),
        )


def failures_of(api: Api) -> float:
    value = api.app.state.resources.statistics.registry.get_sample_value(
        "noetl_api_maintenance_failures_total"
    )
    return value or 0.0


@pytest.mark.parametrize(
    ("made", "unmade"),
    [
        ("VIEW public.old_days AS SELECT * FROM noetl.metric_2024_02_28", "VIEW public.old_days"),
        (
            "MATERIALIZED VIEW public.old_days AS SELECT runtime_id FROM noetl.metric_2024_02_28",
            "MATERIALIZED VIEW public.old_days",
        ),
        ("FUNCTION public.old_days(noetl.metric_2024_02_28) RETURNS int LANGUAGE sql AS 'SELECT 1'",
         "FUNCTION public.old_days"),
    ],
)  # fmt: skip
def test_a_day_that_something_depends_on_holds_no_other(
    api: Api, caplog: pytest.LogCaptureFixture, made: str, unmade: str
) -> None:
    """The day is skipped, warned of with what depends on it, and counted, by a request, by the
    function and by a server that starts; it goes once nothing depends on it any more."""
    make_days(api.database_url)
    api.sql("CREATE " + made)
    before = failures_of(api)
    answer = api.post("/api/metrics/cleanup").json()
    assert [DAYS[0], DAYS[2]] == answer["dropped_partitions"]
    assert answer["message"].endswith(f", skipped 1, the log says why: {DAYS[1]}")
    assert before + 1 == failures_of(api)
    assert f"noetl.{DAYS[1]} has expired and cannot be cleaned up: cannot drop table" in caplog.text
    assert "old_days" in caplog.text
    make_days(api.database_url)
    dropped = scalar(api.database_url, "SELECT noetl.cleanup_expired_metrics()")
    assert [DAYS[0], DAYS[2]] == dropped
    make_days(api.database_url)
    with running_api(api.database_url) as second:
        assert [DAYS[1]] == [name for name in partitions(api.database_url) if name in DAYS]
        assert 1 == failures_of(second)
        assert 200 == insert_one(second).status_code
        second.sql("DROP " + unmade)
        assert [DAYS[1]] == second.post("/api/metrics/cleanup").json()["dropped_partitions"]


SLOW_COUNT = """
CREATE OR REPLACE FUNCTION noetl.count_unexported_metrics(partition_name text) RETURNS bigint
LANGUAGE plpgsql AS $$
BEGIN
    IF partition_name = 'metric_2024_02_28'
        AND current_setting('statement_timeout')::interval BETWEEN '1 ms' AND '20 s'
    THEN
        RAISE query_canceled;
    END IF;
    RETURN 0;
END
$$
"""
"""A count of one of the days that takes more than twenty seconds, and waits for none of them."""


def test_a_count_that_takes_long_holds_no_day(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows of a day that are not exported may take longer to count than a request may take; if
    even that is too long, only that day is left for the next time."""
    with running_api(database_url, statement_timeout_seconds=10.0) as api:
        api.sql(SLOW_COUNT)
        make_days(database_url)
        assert list(DAYS) == api.post("/api/metrics/cleanup").json()["dropped_partitions"]
        make_days(database_url)
        monkeypatch.setattr(
            "server_stub.postgresql.partitions.REBUILD_TIME_OUTS", TimeOuts(5.0, 10.0)
        )
        answer = api.post("/api/metrics/cleanup").json()
        assert [DAYS[0], DAYS[2]] == answer["dropped_partitions"]


def test_a_day_ahead_that_is_taken_holds_no_other(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """If one of the days ahead cannot be made, the other days are, and expired ones go."""
    schema.apply_schema(database_url)
    make_days(database_url)
    start = datetime.combine(today() + timedelta(3), datetime.min.time(), UTC)
    query(
        database_url,
        "CREATE TABLE noetl.foreign_bounds PARTITION OF noetl.metric"
        f" FOR VALUES FROM ('{start}') TO ('{start + timedelta(hours=1)}')",
    )
    with running_api(database_url) as api:
        days = [today() + timedelta(offset) for offset in range(-1, 8) if offset != 3]
        names = ["foreign_bounds", *(partition_name(day) for day in days)]
        assert names == list(partitions(database_url))
        assert 200 == api.get("/readyz").status_code
        assert failures_of(api) > 0
    assert 'would overlap partition "foreign_bounds"' in caplog.text
