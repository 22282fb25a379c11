"""Whatever settings a database, a role or the environment gives a session, the server works."""

from __future__ import annotations

import json
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from server_stub.errors import StartupError
from server_stub.postgresql.schema import apply_schema
from tests.pgbouncer import find_pgbouncer, pooled
from tests.server.application import Api, insert, running_api, sample
from tests.server.database_queries import partition_name, query, scalar, today
from tests.server.receiving import FakeReceiver, export_to

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.postgresql import Cluster

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

SETTINGS = {
    "array_nulls": "off",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "datestyle": "German",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "extra_float_digits": "0",
    "gin_fuzzy_search_limit": "1",
    "intervalstyle": "sql_standard",
    "lock_timeout": "1",
    "quote_all_identifiers": "on",
    "search_path": "public, pg_catalog",
    "standard_conforming_strings": "off",
    "statement_timeout": "100",
    "timezone": "Pacific/Kiritimati",
    "transform_null_equals": "on",
}
"""Settings with which SQL means something else, or with which nothing lasts."""

TEXT = "Küche ✓ 𝄞"
VALUE = 0.1 + 0.2


def set_for_all_sessions(url: str, settings: dict[str, str]) -> None:
    """Make the settings those of every session of a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        for name, value in settings.items():
            quoted = value if name == "search_path" else f"'{value}'"
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {name} = {quoted}")
        # It is found before the function of PostgreSQL, if a search_path allows that.
        connection.execute(
            "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql"
            " AS $$ SELECT '2001-01-01 00:00Z'::timestamptz $$"
        )


@contextmanager
def direct(url: str) -> Generator[str]:
    yield url


@contextmanager
def through_pgbouncer(url: str) -> Generator[str]:
    program = find_pgbouncer()
    if program is None:
        pytest.skip("no pgbouncer: it is neither on PATH nor in /usr/sbin")
    with pooled(program, url) as url_of_pool:
        yield url_of_pool


@pytest.mark.parametrize("way", [direct, through_pgbouncer])
def test_a_session_means_what_the_server_says(
    each_database_url: str, way: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every setting that changes what SQL means, the server starts twice, and its answers,
    its partitions and its export are those of any other database."""
    apply_schema(each_database_url)
    set_for_all_sessions(each_database_url, SETTINGS)
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with way(each_database_url) as url:
        apply_schema(url)
        with running_api(url) as api:
            check_answers(api)
            check_export(api, each_database_url)
            check_partitions(api, each_database_url)


def check_answers(api: Api) -> None:
    runtime_id = api.register(TEXT)
    samples = [
        sample(metric_value=VALUE, labels={"a": "b", "n": str(n)}, help_text=TEXT)
        for n in range(500)
    ]
    insert(api, runtime_id, sample(labels={"room": TEXT}, help_text=TEXT), *samples)
    (found,) = api.get("/api/metrics", params={"labels": json.dumps({"room": TEXT})}).json()[
        "metrics"
    ]
    assert (TEXT, {"room": TEXT}) == (found["component_name"], found["labels"])
    page = api.get(
        "/api/metrics",
        params={"labels": '{"a": "b"}', "component_name": TEXT, "limit": 1000},
    ).json()["metrics"]
    assert [VALUE] * 500 == [row["metric_value"] for row in page]
    assert f'component="{TEXT}"' in api.get("/metrics").text
    chart = api.get("/api/metrics/series", params={"metric_name": "jobs_total"}).json()["series"]
    ((_, average),) = [point for one in chart for point in one["points"]]
    assert math.isclose((1 + 500 * VALUE) / 501, average, rel_tol=1e-15)
    assert [TEXT] == [one["name"] for one in api.get("/api/runtime").json()["components"]]


def check_export(api: Api, database_url: str) -> None:
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
    assert [1.0] + [VALUE] * 500 == sorted(fake.values("jobs_total"), reverse=True)
    # A unit that is missing is no unit NULL.
    assert [("jobs_total", TEXT, None)] == query(
        without_settings(database_url),
        "SELECT metric_name, help_text, unit FROM noetl.metric_family",
    )


def check_partitions(api: Api, database_url: str) -> None:
    plain = without_settings(database_url)
    assert 200 == api.get("/readyz").status_code
    # As an operator does, with the settings of the database; a busy machine may be too slow for
    # those that bound the time.
    operator = make_conninfo(database_url, options="-c statement_timeout=0 -c lock_timeout=0")
    query(operator, "SELECT noetl.create_metric_partition('2024-02-29')")
    assert [] == scalar(plain, "SELECT noetl.initialize_metric_partitions()")
    bounds = scalar(
        operator,
        "SELECT count(*) FROM noetl.list_metric_partitions()"
        " WHERE lower_bound IS NOT NULL AND upper_bound IS NOT NULL",
    )
    assert 10 == bounds
    assert ["metric_2024_02_29"] == api.post("/api/metrics/cleanup").json()["dropped_partitions"]
    query(operator, "SELECT noetl.create_metric_partition('2024-02-29')")
    assert ["metric_2024_02_29"] == scalar(operator, "SELECT noetl.cleanup_expired_metrics()")
    stored = scalar(plain, "SELECT DISTINCT tableoid::regclass::text FROM noetl.metric")
    assert f"noetl.{partition_name(today())}" == stored


def without_settings(url: str) -> str:
    return make_conninfo(
        url,
        client_encoding="utf8",
        options="-c statement_timeout=0 -c lock_timeout=0 -c quote_all_identifiers=off",
    )


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_a_database_that_is_not_utf8_is_refused(postgresql: Cluster, encoding: str) -> None:
    """The message has the command that makes a database which serves."""
    url = make_database(postgresql, f"CREATE DATABASE other TEMPLATE template0 ENCODING "
                        f"'{encoding}' LOCALE 'C'", "other")  # fmt: skip
    try:
        with pytest.raises(StartupError, match=f"has the encoding {encoding}") as refused:
            apply_schema(url)
        assert [(None,)] == query(url, "SELECT to_regclass('noetl.metric')::text")
        command = str(refused.value).partition("Make one by ")[2].partition(";")[0]
        made = make_database(postgresql, command, "metrics")
        try:
            with running_api(made) as api:
                api.register(TEXT)
                listed = api.get("/api/runtime").json()["components"]
                assert [TEXT] == [one["name"] for one in listed]
        finally:
            query(postgresql.url, "DROP DATABASE metrics")
    finally:
        query(postgresql.url, "DROP DATABASE other")


def make_database(cluster: Cluster, command: str, name: str) -> str:
    query(cluster.url, command)
    return cluster.url.replace("/postgres?", f"/{name}?")


@pytest.mark.parametrize(
    "where", ["?client_encoding=LATIN1", "?options=-c%20client_encoding%3DEUC_JP"]
)
def test_the_url_does_not_choose_the_encoding(database_url: str, where: str) -> None:
    """Labels are what the client sent, whatever encoding the URL asks for."""
    url = database_url.replace("?", where + "&")
    with running_api(url) as api:
        insert(api, api.register(), sample(labels={"room": TEXT}))
    assert TEXT == scalar(database_url, "SELECT labels ->> 'room' FROM noetl.metric")
