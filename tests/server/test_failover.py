"""A hot standby, a read-only database, and a standby that takes over without the last rows."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from server_stub.postgresql import connections, readiness
from server_stub.postgresql.schema import apply_schema
from tests.server.application import insert, running_api, sample
from tests.server.database_queries import query, scalar
from tests.server.receiving import FakeReceiver, export_to

if TYPE_CHECKING:
    from tests.postgresql import RestartableCluster
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

T = 1_700_000_000
ROWS = 2_000
"""Four times as many are more than the export sends in a turn."""


def status_of_insert(api: Api, runtime_id: str) -> int:
    return api.insert({"runtime_id": runtime_id, "metrics": [sample()]}).status_code


def test_a_database_that_becomes_read_only_is_said(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While a database is read-only, a server starts and reads, is not ready, and says why; once it
    takes writes, the first insert succeeds."""
    monkeypatch.setattr(connections, "REPLACING_SECONDS", 0.0)
    monkeypatch.setattr(readiness, "LOOK_SECONDS", 0.0)
    apply_schema(database_url)
    name = scalar(database_url, "SELECT current_database()")
    with running_api(database_url) as first:
        runtime_id = first.register()
    query(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with caplog.at_level(logging.WARNING), running_api(database_url, pool_size=2) as api:
        answer = api.get("/readyz")
        assert (503, "1") == (answer.status_code, answer.headers["retry-after"])
        assert "takes no writes now: the database or the role" in answer.json()["detail"]
        assert 200 == api.get("/api/metrics").status_code
        assert 503 == status_of_insert(api, runtime_id)
        with psycopg.connect(database_url, autocommit=True) as operator:
            operator.execute("SET default_transaction_read_only = off")
            operator.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        # The first request that meets a connection of that time has all of them replaced.
        assert 200 == [status_of_insert(api, runtime_id) for _ in range(2)][-1]
        assert 200 == api.get("/readyz").status_code
    assert "Traceback" not in caplog.text


def test_a_schema_that_cannot_be_made_is_one_line(database_url: str) -> None:
    """A server that finds no schema in a read-only database ends, and says in one line why."""
    name = scalar(database_url, "SELECT current_database()")
    query(database_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    ended = subprocess.run(
        [sys.executable, "-m", "server_stub", "--port=0", f"--database-url={database_url}"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert 1 == ended.returncode
    (line,) = [one for one in ended.stderr.splitlines() if "INFO" not in one]
    assert "as the database is read-only: cannot execute CREATE SCHEMA" in line


def test_a_standby_that_takes_over_is_exported_whole(
    restartable_postgresql: RestartableCluster,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hot standby is not ready. When it takes over without the last transactions, the export
    notices that, and sends every row that the new primary gets."""
    monkeypatch.setattr("server_stub.export.exporter.HORIZON_SECONDS", 0.1)
    primary = restartable_postgresql
    query(primary.url, "CREATE DATABASE metrics")
    standby = primary.make_standby(primary.folder / "standby")
    url = (
        f"postgresql://postgres@/metrics?host={primary.folder},{standby.folder}"
        "&target_session_attrs=read-write"
    )
    fake = FakeReceiver()
    with running_api(url) as api, export_to(api, fake) as export:
        runtime_id = api.register()
        insert(api, runtime_id, *numbered(0))
        export.finish()
        wait_until_same(primary, standby)
        check_standby(standby)
        # From here on the standby gets nothing.
        query(standby.url, "ALTER SYSTEM SET primary_conninfo = ''")
        query(standby.url, "SELECT pg_reload_conf()")
        while query(standby.url, "SELECT FROM pg_stat_wal_receiver"):
            pass
        for part in range(1, 5):
            insert(api, runtime_id, *numbered(part))
        export.finish()
        reached = export.progress()[1]
        primary.stop()
        standby.promote()
        fake.samples.clear()
        with psycopg.connect(standby.url.replace("/postgres?", "/metrics?")) as late:
            # It has an id below those of the rows that come after it, and is committed last.
            late.execute(
                "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value)"
                " VALUES (%s, 'late', 'gauge', 1)",
                (int(runtime_id),),
            )
            insert(api, runtime_id, *numbered(9))
            for _ in range(2):
                export.turn()
            late.commit()
        insert(api, runtime_id, *numbered(10))
        with caplog.at_level(logging.ERROR):
            export.finish()
        assert export.progress()[1] < reached
        expected = [float(part * ROWS + n) for part in (9, 10) for n in range(ROWS)]
        assert expected == fake.values("jobs_total")
        assert [1.0] == fake.values("late")
    assert "the database was set back, to a backup or to a standby" in caplog.text


def numbered(part: int) -> list[dict[str, object]]:
    return [
        sample(metric_value=float(part * ROWS + n), timestamp=T + part * ROWS + n)
        for n in range(ROWS)
    ]


def wait_until_same(primary: RestartableCluster, standby: RestartableCluster) -> None:
    written = scalar(primary.url, "SELECT pg_current_wal_lsn()::text")
    while not scalar(standby.url, f"SELECT pg_last_wal_replay_lsn() >= '{written}'"):
        pass


def check_standby(standby: RestartableCluster) -> None:
    with running_api(standby.url.replace("/postgres?", "/metrics?")) as api:
        answer = api.get("/readyz")
        assert 503 == answer.status_code
        assert "takes no writes now: it is a hot standby" in answer.json()["detail"]
        assert ROWS == len(api.get("/api/metrics?limit=9999").json()["metrics"])
        assert 503 == api.post("/api/runtime/register", json={"name": "a"}).status_code
