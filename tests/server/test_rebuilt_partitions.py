"""The rebuild of a day beside readers, writers and other servers, and after a kill."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from server_stub.postgresql import maintenance, schema
from tests.server.application import running_api, sample, values
from tests.server.database_queries import at_once, query, scalar, today
from tests.server.expired_days import CLEANUP, INSERT, LEFTOVERS, RULES, names_in, set_rules, store
from tests.server_process import start_server

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

SWAP_WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    " AND datname = current_database() AND query ~ '^SELECT noetl.swap_kept_metrics'"
)


@pytest.fixture
def url(each_database_url: str) -> str:
    """A database with the schema and the rules."""
    schema.apply_schema(each_database_url)
    query(each_database_url, "SELECT noetl.initialize_metric_partitions()")
    set_rules(each_database_url, RULES)
    return each_database_url


def test_a_rebuild_waits_for_no_reader_for_long(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A day under constant reading is left as it is, and rebuilt next time, in either way."""
    monkeypatch.setattr(maintenance, "DROP_PAUSE_SECONDS", 0)
    with running_api(url, metric_retention_days=RULES) as api:
        name = store(url, 3, "jobs_total", "load")
        with psycopg.connect(url) as reader:
            reader.execute("SELECT count(*) FROM noetl.metric")
            message = api.post("/api/metrics/cleanup").json()["message"]
            assert f"Dropped 0 expired partitions, skipped 1, the log says why: {name}" == message
            assert f"{name} is in use" in caplog.text
            assert [] == scalar(url, CLEANUP)
            assert {"jobs_total", "load"} == names_in(url, name)
            assert 0 == scalar(url, LEFTOVERS)
        assert [] == scalar(url, CLEANUP)
        assert {"jobs_total"} == names_in(url, name)


def copied(connection: psycopg.Connection[Any], name: str) -> str | None:
    row = connection.execute("SELECT noetl.copy_kept_metrics(%s)", (name,)).fetchone()
    assert row is not None
    rebuilt_name: str | None = row[0]
    return rebuilt_name


def swap(connection: psycopg.Connection[Any], name: str, rebuilt_name: str | None) -> None:
    connection.execute("SELECT noetl.swap_kept_metrics(%s, %s)", (name, rebuilt_name))


def wait_for_a_lock_on(url: str, table: str) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = to_regclass(%s)"
    with psycopg.connect(url, autocommit=True) as watch:
        while watch.execute(waiting, (f"noetl.{table}",)).fetchone() == (0,):
            pass


@pytest.mark.parametrize(
    ("written", "rows_kept"),
    [
        (INSERT.format(names="ARRAY['jobs_total']", count=1, moment="'{day} 13:00Z'"), 3),
        ("DELETE FROM noetl.runtime WHERE runtime_id = 1", 1),
    ],
    ids=["insert", "cascade"],
)
def test_what_is_written_to_a_day_that_is_rebuilt_is_kept(
    url: str, written: str, rows_kept: int
) -> None:
    """A writer puts rows with an old created_at into an expired day, or removes components, between
    the copy and the swap: it waits, the rebuild gives way, and the next rebuild has its changes."""
    name = store(url, 3, "jobs_total", "load")
    statement = written.replace("{day}", str(today() - timedelta(3)))
    with psycopg.connect(url) as server:
        rebuilt_name = copied(server, name)
        writer = threading.Thread(target=query, args=(url, statement))
        writer.start()
        wait_for_a_lock_on(url, name)
        with pytest.raises(errors.LockNotAvailable):
            swap(server, name, rebuilt_name)
        server.rollback()
        writer.join()
    assert [] == scalar(url, CLEANUP)
    assert rows_kept == scalar(url, f"SELECT count(*) FROM noetl.{name}")
    assert rows_kept == scalar(url, "SELECT count(*) FROM noetl.metric")
    assert {"jobs_total"} == names_in(url)


def test_a_drop_looks_again_once_nobody_writes(url: str) -> None:
    """A longer-lived row is kept if a writer adds it to a day that is about to be dropped."""
    name = store(url, 3, "load")
    with psycopg.connect(url) as writer:
        writer.execute(
            INSERT.format(
                names="ARRAY['jobs_total']", count=1, moment=f"'{today() - timedelta(3)} 13:00Z'"
            ).encode()
        )
        dropped = "SELECT noetl.drop_expired_metric_partition(%s)"
        outcomes: list[object] = []
        is_committed = threading.Event()

        def drop() -> None:
            # A drop waits for a quarter of a second. Then it gives up, and the next one comes.
            while not is_committed.is_set():
                outcomes.extend(at_once(1, lambda: scalar(url, dropped, name)))

        dropping = threading.Thread(target=drop)
        dropping.start()
        wait_for_a_lock_on(url, name)
        writer.commit()
        is_committed.set()
        dropping.join()
    assert True not in outcomes
    assert [] == scalar(url, CLEANUP)
    assert {"jobs_total"} == names_in(url, name)


def test_only_one_server_rebuilds(url: str) -> None:
    """While one server copies, another leaves the day alone and does not wait; several at once do
    it once."""
    name = store(url, 3, "jobs_total", "load")
    with psycopg.connect(url) as first, psycopg.connect(url) as second:
        rebuilt_name = copied(first, name)
        assert copied(second, name) is None
        second.rollback()
        swap(first, name, rebuilt_name)
    other = store(url, 4, "jobs_total", "load")
    outcomes = at_once(4, lambda: scalar(url, CLEANUP))
    assert [[]] * 4 == outcomes
    assert {"jobs_total"} == names_in(url, name) | names_in(url, other)
    assert 0 == scalar(url, LEFTOVERS)


def test_a_rebuild_that_is_killed_leaves_nothing(database_url: str) -> None:
    """A server that is killed in the middle of a rebuild leaves the day as it was, and no table;
    the next server rebuilds the day."""
    flags = ["--metric-retention-days=jobs_total=30", "--maintenance-interval-seconds=0.1"]
    first = start_server(database_url, *flags)
    try:
        # The copy is made, and waits for the swap, as a client reads the table.
        with psycopg.connect(database_url) as reader:
            reader.execute("SELECT count(*) FROM noetl.metric")
            name = store(database_url, 3, "jobs_total", "load", count=1_000)
            with psycopg.connect(database_url, autocommit=True) as watch:
                while watch.execute(SWAP_WAITS).fetchone() == (0,):
                    pass
            first.process.kill()
            first.process.wait()
    finally:
        first.process.kill()
        first.process.wait()
        assert first.process.stdout is not None
        first.process.stdout.close()
    ended = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name = 'server_stub' AND datname = current_database()"
    )
    with psycopg.connect(database_url, autocommit=True) as watch:
        while watch.execute(ended).fetchone() != (0,):
            pass
    assert 0 == scalar(database_url, LEFTOVERS)
    assert [] == scalar(database_url, CLEANUP)
    assert {"jobs_total"} == names_in(database_url, name)
    assert 1_000 == scalar(database_url, "SELECT count(*) FROM noetl.metric WHERE runtime_id < 3")


def test_a_day_is_rebuilt_beside_inserts_and_readers(url: str) -> None:
    """No insert fails meanwhile, and no reader sees a kept row twice or not at all."""
    rows, days = 2_000, 4
    with running_api(url, metric_retention_days=RULES) as api:
        runtime_id = api.register()
        for age in range(3, 3 + days):
            store(url, age, "jobs_total", "load", count=rows)
        done = threading.Event()
        statuses: list[int] = []
        counts: set[tuple[int, int]] = set()
        pages: set[int] = set()

        def insert_rows() -> None:
            while not done.is_set():
                body = {"runtime_id": runtime_id, "metrics": [sample(metric_name="today")] * 10}
                statuses.append(api.insert(body).status_code)

        def read() -> None:
            kept = (
                "SELECT count(*), count(DISTINCT metric_id) FROM noetl.metric"
                " WHERE metric_name = 'jobs_total'"
            )
            while not done.is_set():
                counts.update(query(url, kept))
                pages.add(len(values(api, metric_name="jobs_total", limit=10_000)))

        threads = [
            threading.Thread(target=insert_rows),
            *(threading.Thread(target=read) for _ in range(2)),
        ]
        for thread in threads:
            thread.start()
        rebuilt: list[str] = []
        while len(rebuilt) < days:
            expired = api.loop.run(api.app.state.resources.maintenance.clean_up_partitions())
            rebuilt += expired.rebuilt
        done.set()
        for thread in threads:
            thread.join()
        assert {200} == set(statuses)
        assert {(rows * days, rows * days)} == counts
        assert {rows * days} == pages
        stored = "SELECT count(*) FROM noetl.metric WHERE metric_name = 'today'"
        assert 10 * len(statuses) == scalar(url, stored)
        assert 0 == scalar(url, "SELECT count(*) FROM noetl.metric WHERE metric_name = 'load'")
