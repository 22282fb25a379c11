"""The schema: as one file and as migrations, its functions, and several servers at once."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import errors

from server_stub.errors import StartupError
from server_stub.postgresql import schema
from server_stub.postgresql.sql_files import migration_names, read_sql
from tests.postgresql import with_options
from tests.server.database_queries import at_once, partition_name, partitions, query, scalar, today

if TYPE_CHECKING:
    from tests.postgresql import Cluster

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

CATALOG = """
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
    a.attnotnull::text, pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute AS a
INNER JOIN pg_class AS c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'noetl'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid), '', ''
FROM pg_constraint AS c WHERE c.connamespace = 'noetl'::regnamespace
UNION ALL
SELECT 'index', c.relname, '', pg_get_indexdef(c.oid), '', ''
FROM pg_class AS c
WHERE c.relnamespace = 'noetl'::regnamespace AND c.relkind IN ('i', 'I')
UNION ALL
SELECT 'function', p.proname, '', pg_get_functiondef(p.oid), '', ''
FROM pg_proc AS p WHERE p.pronamespace = 'noetl'::regnamespace
UNION ALL
SELECT 'key', c.relname, '', pg_get_partkeydef(c.oid), '', ''
FROM pg_class AS c WHERE c.relnamespace = 'noetl'::regnamespace AND c.relkind = 'p'
ORDER BY 1, 2, 3, 4
"""


def test_the_migrations_make_the_schema(postgresql: Cluster) -> None:
    """Applied one after the other, the migrations lead to the same database as the one file."""
    with postgresql.database() as whole, postgresql.database() as migrated:
        query(whole, read_sql("schema.sql"))
        for name in migration_names():
            query(migrated, read_sql(f"migrations/{name}"))
        assert query(migrated, CATALOG) == query(whole, CATALOG)
        assert len(query(whole, CATALOG)) > 50


def test_the_tables_are_those_of_the_contract(each_database_url: str) -> None:
    """The contract gives the key, the foreign key, the indexes and the partitioning."""
    schema.apply_schema(each_database_url)
    constraints = dict(
        query(
            each_database_url,
            "SELECT contype::text, pg_get_constraintdef(oid) FROM pg_constraint "
            "WHERE conrelid = 'noetl.metric'::regclass AND contype IN ('p', 'f')",
        )
    )
    assert {
        "p": "PRIMARY KEY (metric_id, created_at)",
        "f": "FOREIGN KEY (runtime_id) REFERENCES noetl.runtime(runtime_id) ON DELETE CASCADE",
    } == constraints
    indexes = query(
        each_database_url,
        "SELECT indexname::text FROM pg_indexes WHERE tablename = 'metric' ORDER BY 1",
    )
    assert [
        "idx_metrics_labels", "idx_metrics_name", "idx_metrics_runtime_id",
        "idx_metrics_runtime_name", "idx_metrics_timestamp", "metric_pkey",
    ] == [name for (name,) in indexes]  # fmt: skip


def test_applying_the_schema_again_changes_nothing(each_database_url: str) -> None:
    """A server that starts again, or that misses a migration, leaves the schema as it is."""
    schema.apply_schema(each_database_url)
    before = query(each_database_url, CATALOG)
    schema.apply_schema(each_database_url)
    query(each_database_url, "DELETE FROM noetl.metrics_schema_migration")
    schema.apply_schema(each_database_url)
    assert query(each_database_url, CATALOG) == before
    applied = query(each_database_url, "SELECT name FROM noetl.metrics_schema_migration")
    assert [name for (name,) in applied] == migration_names()


def test_servers_that_start_at_once_make_one_schema(each_database_url: str) -> None:
    """Servers that find an empty database at the same moment all start."""
    outcomes = at_once(4, lambda: schema.apply_schema(each_database_url))
    assert [None] * 4 == outcomes


def test_a_noetl_database_is_kept(each_database_url: str) -> None:
    """Components that a NoETL server has registered stay, and its functions are replaced."""
    query(
        each_database_url,
        """
        CREATE SCHEMA noetl;
        CREATE TABLE noetl.runtime (
            runtime_id BIGINT PRIMARY KEY, name TEXT NOT NULL, component_type TEXT NOT NULL,
            base_url TEXT, status TEXT NOT NULL, labels JSONB, capabilities JSONB,
            capacity INTEGER, runtime JSONB, last_heartbeat TIMESTAMPTZ,
            created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ
        );
        CREATE UNIQUE INDEX idx_runtime_component_name ON noetl.runtime (component_type, name);
        INSERT INTO noetl.runtime VALUES (7, 'cpu-01', 'worker_pool', NULL, 'ready');
        CREATE FUNCTION noetl.create_metric_partition(partition_date date) RETURNS void
        LANGUAGE sql AS 'SELECT NULL::void';
        """,
    )
    schema.apply_schema(each_database_url)
    assert [(7, "cpu-01")] == query(each_database_url, "SELECT runtime_id, name FROM noetl.runtime")
    assert "metric_2026_01_31" == (
        scalar(each_database_url, "SELECT noetl.create_metric_partition('2026-01-31')")
    )


def test_a_metric_table_of_another_shape_is_refused(database_url: str) -> None:
    """A table that is not partitioned stays untouched, and the message says what to do."""
    query(database_url, "CREATE SCHEMA noetl; CREATE TABLE noetl.metric (metric_id BIGINT)")
    with pytest.raises(StartupError, match="not partitioned by RANGE"):
        schema.apply_schema(database_url)
    assert [(None,)] == query(database_url, "SELECT to_regclass('noetl.runtime')")


# The tables of a NoETL server of another version: other names, and no sequence.
OTHER_NOETL = """
CREATE SCHEMA noetl;
CREATE TABLE noetl.runtime (
    runtime_id BIGINT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, uri TEXT,
    status TEXT NOT NULL, labels JSONB, capabilities JSONB, capacity INTEGER, runtime JSONB,
    heartbeat TIMESTAMPTZ NOT NULL DEFAULT now(), created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    updated_at TIMESTAMPTZ NOT NULL DEFAULT now()
);
CREATE TABLE noetl.metric (
    metric_id BIGINT, runtime_id BIGINT NOT NULL REFERENCES noetl.runtime (runtime_id),
    metric_name TEXT NOT NULL, metric_type TEXT NOT NULL, metric_value DOUBLE PRECISION NOT NULL,
    labels JSONB, help_text TEXT, unit TEXT,
    created_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    expires_at TIMESTAMPTZ NOT NULL DEFAULT now() + interval '1 day',
    PRIMARY KEY (metric_id, created_at)
) PARTITION BY RANGE (created_at);
"""


def test_tables_of_another_noetl_are_refused(database_url: str) -> None:
    """The message names every column that is needed, and what to do; the tables are untouched."""
    query(database_url, OTHER_NOETL)
    before = query(database_url, CATALOG)
    with pytest.raises(StartupError) as refused:
        schema.apply_schema(database_url)
    message = str(refused.value)
    for column in ("runtime.component_type text", "runtime.base_url text",
                   "runtime.last_heartbeat timestamp with time zone",
                   "metric.timestamp timestamp with time zone",
                   "metric.created_at timestamp with time zone (it is timestamp without time zone)",
                   ):  # fmt: skip
        assert f"noetl.{column}" in message
    assert "metric.expires_at" not in message
    assert "a database of its own (CREATE DATABASE metrics)" in message
    assert before == query(database_url, CATALOG)


def test_a_metric_id_without_a_sequence_is_refused(database_url: str) -> None:
    """The commands in the message give it one, and then the server starts."""
    schema.apply_schema(database_url)
    query(database_url, "ALTER TABLE noetl.metric ALTER COLUMN metric_id DROP DEFAULT")
    query(database_url, "DROP SEQUENCE noetl.metric_metric_id_seq")
    with pytest.raises(StartupError, match="metric_id has no sequence") as refused:
        schema.apply_schema(database_url)
    commands = str(refused.value).partition("by one: ")[2].partition(". Or: ")[0]
    query(database_url, commands)
    schema.apply_schema(database_url)


def test_names_of_limited_length_are_no_other_columns(each_database_url: str) -> None:
    """A table whose texts are VARCHAR serves as well."""
    schema.apply_schema(each_database_url)
    query(
        each_database_url,
        "ALTER TABLE noetl.runtime ALTER COLUMN name TYPE VARCHAR(255)",
    )
    schema.apply_schema(each_database_url)


def test_an_old_postgresql_is_refused() -> None:
    """The message names the found version and the oldest one that works."""
    schema.check_version(150_000)
    with pytest.raises(StartupError, match=r"PostgreSQL 14: version 15 or newer"):
        schema.check_version(140_011)


def test_partitions_are_utc_days_in_every_time_zone(each_database_url: str) -> None:
    """Names and bounds are UTC's, and bounds adjoin, whatever the session's time zone."""
    schema.apply_schema(each_database_url)
    for zone in ("Pacific/Kiritimati", "America/Los_Angeles", "UTC"):
        session = with_options(each_database_url, f"-c timezone={zone} -c datestyle=German")
        query(session, "SELECT noetl.initialize_metric_partitions()")
    days = [today() + timedelta(offset) for offset in range(-1, 8)]
    assert partitions(each_database_url) == {
        partition_name(day): f"FOR VALUES FROM ('{day} 00:00:00+00') "
        f"TO ('{day + timedelta(1)} 00:00:00+00')"
        for day in days
    }


def test_the_functions_say_what_they_made(each_database_url: str) -> None:
    """Each function returns the partitions that it made, and none the second time."""
    schema.apply_schema(each_database_url)
    days = [partition_name(today() + timedelta(offset)) for offset in range(-1, 11)]
    for sql, expected in [
        ("SELECT noetl.initialize_metric_partitions()", days[:9]),
        ("SELECT noetl.create_metric_partitions_ahead(10)", days[9:]),
    ]:
        assert scalar(each_database_url, sql) == expected
        assert [] == scalar(each_database_url, sql)
    one = "SELECT noetl.create_metric_partition('2024-02-29')"
    assert "metric_2024_02_29" == scalar(each_database_url, one)
    assert scalar(each_database_url, one) is None


@pytest.mark.parametrize(
    "call",
    [
        "create_metric_partitions_ahead(0)",
        "create_metric_partitions_ahead(367)",
        "create_metric_partitions_ahead(NULL)",
        "create_metric_partition(NULL)",
        "create_metric_partition('infinity')",
    ],
)
def test_the_functions_refuse_bad_arguments(database_url: str, call: str) -> None:
    """A number of days or a date that makes no sense is refused by name."""
    schema.apply_schema(database_url)
    with pytest.raises(errors.InvalidParameterValue, match=r"must be"):
        query(database_url, f"SELECT noetl.{call}")


def test_the_functions_can_run_at_once(each_database_url: str) -> None:
    """Several servers that make and drop partitions at the same moment do not block each other."""
    schema.apply_schema(each_database_url)
    outcomes = at_once(
        4, lambda: scalar(each_database_url, "SELECT noetl.initialize_metric_partitions()")
    )
    assert [0, 0, 0, 9] == sorted(map(len, outcomes))  # type: ignore[arg-type] # lists of names
    query(each_database_url, "SELECT noetl.create_metric_partition('2024-02-29')")
    dropped = at_once(
        4, lambda: scalar(each_database_url, "SELECT noetl.cleanup_expired_metrics()")
    )
    assert [["metric_2024_02_29"], [], [], []] == sorted(dropped, key=str)


def test_cleanup_drops_what_has_expired_only(each_database_url: str) -> None:
    """A partition goes when its youngest row can have expired, and not before."""
    schema.apply_schema(each_database_url)
    kept = [today() - timedelta(1), today(), today() + timedelta(1)]
    for day in [today() - timedelta(3), today() - timedelta(2), *kept]:
        query(each_database_url, "SELECT noetl.create_metric_partition(%s)", day)
    session = with_options(each_database_url, "-c timezone=Asia/Tokyo -c datestyle=German")
    assert scalar(session, "SELECT noetl.cleanup_expired_metrics()") == [
        partition_name(today() - timedelta(3)),
        partition_name(today() - timedelta(2)),
    ]
    assert list(partitions(each_database_url)) == [partition_name(day) for day in kept]
    assert [] == scalar(session, "SELECT noetl.cleanup_expired_metrics()")


def test_the_retention_can_be_longer(each_database_url: str) -> None:
    """Every caller of cleanup drops by the configured retention, which rows get as well."""
    schema.apply_schema(each_database_url)
    for offset in (4, 3):
        query(
            each_database_url,
            "SELECT noetl.create_metric_partition(%s)",
            today() - timedelta(offset),
        )
    query(each_database_url, "SELECT noetl.initialize_metric_partitions()")
    for _ in range(2):
        query(each_database_url, "SELECT noetl.set_metric_retention('2 days')")
    query(
        each_database_url,
        "INSERT INTO noetl.runtime (runtime_id, name, component_type, status)"
        " VALUES (1, 'a', 'broker', 'ready');"
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value)"
        " VALUES (1, 'a', 'gauge', 1)",
    )
    assert scalar(each_database_url, "SELECT expires_at - created_at FROM noetl.metric") == (
        timedelta(days=2)
    )
    assert scalar(each_database_url, "SELECT noetl.cleanup_expired_metrics()") == [
        partition_name(today() - timedelta(4)), partition_name(today() - timedelta(3)),
    ]  # fmt: skip


def test_a_partition_in_use_is_left_for_later(each_database_url: str) -> None:
    """Cleanup waits only briefly for a reader in an expired partition; inserts go on behind it."""
    schema.apply_schema(each_database_url)
    query(each_database_url, "SELECT noetl.initialize_metric_partitions()")
    query(each_database_url, "SELECT noetl.create_metric_partition('2024-02-29')")
    with psycopg.connect(each_database_url) as reader:
        reader.execute("SELECT count(*) FROM noetl.metric")
        assert [] == scalar(each_database_url, "SELECT noetl.cleanup_expired_metrics()")
        with pytest.raises(errors.LockNotAvailable):
            query(
                each_database_url,
                "SELECT noetl.drop_expired_metric_partition('metric_2024_02_29')",
            )
    assert ["metric_2024_02_29"] == scalar(
        each_database_url, "SELECT noetl.cleanup_expired_metrics()"
    )


def test_making_a_partition_does_not_wait_for_inserts(each_database_url: str) -> None:
    """A partition is made, and one dropped later, beside a transaction that has inserted."""
    schema.apply_schema(each_database_url)
    query(each_database_url, "SELECT noetl.initialize_metric_partitions()")
    query(
        each_database_url,
        "INSERT INTO noetl.runtime (runtime_id, name, component_type, status)"
        " VALUES (1, 'a', 'broker', 'ready')",
    )
    with psycopg.connect(each_database_url) as writer:
        writer.execute(
            "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value)"
            " VALUES (1, 'a', 'gauge', 1)"
        )
        impatient = with_options(each_database_url, "-c lock_timeout=5s")
        assert "metric_2024_02_29" == (
            scalar(impatient, "SELECT noetl.create_metric_partition('2024-02-29')")
        )


def test_days_ahead_are_made_from_one_list_of_the_partitions(database_url: str) -> None:
    """However many days ahead are made, the partitions are listed once."""
    schema.apply_schema(database_url)
    with psycopg.connect(with_options(database_url, "-c track_functions=all")) as connection:
        made = connection.execute("SELECT noetl.create_metric_partitions_ahead(20)").fetchone()
        calls = connection.execute(
            "SELECT funcname::text, calls FROM pg_stat_xact_user_functions"
        ).fetchall()
    assert made == ([partition_name(today() + timedelta(day)) for day in range(1, 21)],)
    assert dict(calls) == {
        "create_metric_partitions_ahead": 1,
        "list_metric_partitions": 1,
        "attach_metric_partition": 20,
    }


def test_only_expired_partitions_can_be_dropped(database_url: str) -> None:
    """The function drops only the expired partitions that it is given by name."""
    schema.apply_schema(database_url)
    query(database_url, "SELECT noetl.initialize_metric_partitions()")
    for name in (partition_name(today()), "runtime", "metric", "no'such\"table"):
        assert scalar(database_url, "SELECT noetl.drop_expired_metric_partition(%s)", name) is False
    assert 9 == len(partitions(database_url))


def test_an_unreachable_database_is_a_clear_error() -> None:
    """The message says that the database cannot be used, and why."""
    with pytest.raises(StartupError, match=r"the database cannot be used: .*127\.0\.0\.1"):
        schema.apply_schema("postgresql://nobody:hidden@127.0.0.1:1/none")
