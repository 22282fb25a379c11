"""`noetl-metrics doctor`."""

from __future__ import annotations

import re
from typing import Any, cast

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from noetl_metrics_cli.api.connection import Answer
from noetl_metrics_cli.diagnosis.database import check_database
from noetl_metrics_cli.diagnosis.finding import State, clock_finding
from noetl_metrics_cli.diagnosis.server import check_server
from server_stub.postgresql.schema import apply_schema
from server_stub.postgresql.sql_files import migration_names, read_sql
from server_stub.settings import Settings
from tests.command.terminals import in_terminal
from tests.server_process import start_server

pytestmark = pytest.mark.once


@pytest.fixture
def database(database_url):
    """A database with its schema."""
    apply_schema(database_url)
    return database_url


def found_in(database_url, **settings):
    return {one.check: one for one in check_database(database_url, Settings(**settings))}


def test_a_server_that_is_well_is_found_well(run):
    """Each check of a server has a line, and the code is 0 though no database is named."""
    result = run("doctor")
    assert 0 == result.code
    checks = {row[1]: row[0] for row in (line.split("\t") for line in result.out.splitlines()[:-1])}
    for check in ("server", "clock", "ready", "token", "retention", "version"):
        assert "ok" == checks[check]
    assert "-" == checks["database"]


def test_a_server_and_its_database_are_in_one_document(run, command_server):
    """JSON has the check, the state, what was found and what to do, of all checks."""
    found = run("doctor", f"--database-url={command_server.database_url}", "--json").json
    states = {one["check"]: one["state"] for one in found["findings"]}
    for check in ("database", "schema", "role", "locks", "retention's locks", "database's clock"):
        assert "ok" == states[check], found
    assert {"check", "state", "found", "to_do"} == set(found["findings"][0])


def test_a_server_that_is_not_there_is_a_failure(run):
    """The code is 1, and the line says how to name another server."""
    result = run("doctor", "--server=http://localhost:1")
    assert 1 == result.code
    assert result.out.startswith("FAIL\tserver\thttp://localhost:1 does not answer")


def test_what_is_no_metrics_server_is_a_failure(run):
    """A path that another program answers is not taken for the server."""
    result = run("doctor", f"--server={run.url}/docs")
    assert 1 == result.code
    assert "without a word of a metrics server" in result.out


def test_a_token_is_found_out(run, database, tmp_path, monkeypatch):
    """A missing one is a failure; of another one the line says what it may do."""
    path = tmp_path / "tokens"
    file = f"--token-file={path}"
    read, admin = (
        run("token", "new", name, *(f"--scope={one}" for one in scopes), file).out.strip()
        for name, scopes in (("reader", ["read", "write"]), ("operator", ["admin"]))
    )
    server = start_server(database, file)
    assert server.process.stdout is not None
    with server.process.stdout:
        try:
            said = {}
            for name, secret in (("none", ""), ("read", read), ("admin", admin)):
                monkeypatch.setenv("NOETL_METRICS_TOKEN", secret)
                result = run("doctor", f"--server={server.url}")
                (line,) = [one for one in result.out.splitlines() if "\ttoken\t" in one]
                said[name] = (result.code, *line.split("\t"))
        finally:
            server.stop()
    assert (1, "FAIL") == said["none"][:2]
    assert "put a token into NOETL_METRICS_TOKEN" in said["none"][4]
    assert (0, "ok", "token", "it may write, read", "") == said["read"]
    assert (0, "ok", "token", "it may write, read, admin", "") == said["admin"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (4.0, (State.OK, "agree")),
        (60.0, (State.WARNING, "is 60 s ahead of")),
        (-9.0, (State.WARNING, "is 9 s behind")),
    ],
)  # fmt: skip
def test_a_clock_that_is_off_is_a_warning(seconds, expected):
    """Some seconds do not matter."""
    finding = clock_finding("clock", "the server's", seconds)
    assert (expected[0], True) == (finding.state, expected[1] in finding.found)


def test_partitions_that_stand_in_the_way_are_named(run):
    """A missing day, a half detached one, and one that should be gone."""
    partition = {
        "name": "metric_2020_01_01",
        "drops_at": "2020-01-03T00:00:00Z",
        "drops_at_latest": None,
    }

    class Answering:
        url = "http://localhost"

        def ask(self, _method, path, **_options):
            bodies = {
                "/healthz": {"status": "ok"},
                "/api/metrics/partitions": {
                    "missing": ["metric_2026_01_01"], "detaching": ["metric_2026_01_02"],
                    "partitions": [partition],
                },
                "/api/metrics/export": {
                    "configured": True, "failing": True, "lag_seconds": 7.0, "last_error": "away",
                },
            }  # fmt: skip
            status = 200 if path in bodies else 404
            return Answer(status, {}, bodies.get(path), "no")

    found = [
        (one.check, one.state, one.found)
        for one in check_server(cast("Any", Answering()), has_token=False)
    ]
    for expected in (
        ("partitions", State.FAILURE, "there is no partition of metric_2026_01_01"),
        (
            "partitions", State.FAILURE,
            "metric_2026_01_02 is half detached, and no row can be inserted",
        ),
        ("retention", State.WARNING, "metric_2020_01_01 should be gone"),
        ("export", State.FAILURE, "it fails, and is 7 s behind: away"),
        ("clock", State.SKIPPED, "the answer has no time"),
    ):  # fmt: skip
        assert expected in found


def test_a_database_that_lacks_migrations_is_a_warning(database):
    """What to do names the command that applies them."""
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM noetl.metrics_schema_migration WHERE name > '0002'")
    finding = found_in(database)["schema"]
    assert (State.WARNING, f"{len(migration_names()[1:])} migrations are missing") == finding[1:3]
    assert "noetl-metrics migrate" in finding.to_do


def test_a_role_that_lacks_rights_is_told_the_grant(database, postgresql):
    """One that owns the schema lacks a right that saves time; another one cannot work."""
    del postgresql
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS doctored")
        connection.execute("CREATE ROLE doctored LOGIN")
        try:
            connection.execute("GRANT USAGE ON SCHEMA noetl TO doctored")
            connection.execute("GRANT SELECT ON noetl.metrics_schema_migration TO doctored")
            url = make_conninfo(database, user="doctored")
            stranger = found_in(url)["role"]
            connection.execute("ALTER TABLE noetl.metric OWNER TO doctored")
            owner = found_in(url)["role"]
        finally:
            connection.execute("ALTER TABLE noetl.metric OWNER TO postgres")
            connection.execute("DROP OWNED BY doctored")
            connection.execute("DROP ROLE doctored")
    assert State.FAILURE == stranger.state
    assert "doctored does not own noetl.metric" in stranger.found
    assert State.WARNING == owner.state
    assert 'GRANT SET ON PARAMETER session_replication_role TO "doctored"' == owner.to_do


def test_settings_of_postgresql_are_looked_at(database):
    """The tests' PostgreSQL has fsync off; ten years need more locks than there are by default."""
    found = found_in(database, retention_days=3650)
    assert State.WARNING == found["fsync"].state
    assert "ALTER SYSTEM SET fsync = on" in found["fsync"].to_do
    assert State.WARNING == found["locks"].state
    assert "ALTER SYSTEM SET max_locks_per_transaction = " in found["locks"].to_do
    assert "shared_buffers is" in found["memory"].found


def test_a_transaction_that_holds_a_lock_is_named(database, monkeypatch):
    """The line has its process, and how to end it; the tests wait no minute for that."""
    monkeypatch.setattr(
        "noetl_metrics_cli.diagnosis.database.read_sql",
        lambda path: read_sql(path).replace("interval '1 minute'", "interval '0'"),
    )
    with psycopg.connect(database, application_name="report") as holder:
        holder.execute("SELECT count(*) FROM noetl.metric")
        finding = found_in(database)["retention's locks"]
        pid = holder.info.backend_pid
    assert State.WARNING == finding.state
    holding = rf"report \(process {pid}, idle in transaction\) has held one for \d+s"
    assert re.fullmatch(holding, finding.found)
    assert f"SELECT pg_terminate_backend({pid})" in finding.to_do
    assert State.OK == found_in(database)["retention's locks"].state


def test_a_database_that_is_not_there_is_a_failure(run):
    """The other checks go on, and the code is 1."""
    result = run("doctor", "--database-url=postgresql://localhost:1/x")
    assert 1 == result.code
    assert "FAIL\tdatabase\tthe database cannot be used: " in result.out


def test_it_fits_a_terminal(run):
    """What was found is beside the check, and what to do is below it."""
    with in_terminal(60, 40, "doctor", NOETL_SERVER_URL=run.url) as terminal:
        lines = terminal.read_to_end()
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("ok    server ") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--database-url=mysql://x"], "must be a URL like postgresql://user:password@host"),
        (["--server=x"], "give a URL like http://localhost:8082"),
        (["now"], "Got unexpected extra argument (now)"),
    ],
)
def test_a_bad_option_is_one_line(run, arguments, message):
    """The line says what a right value looks like."""
    result = run("doctor", *arguments)
    assert (2, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert message in result.err
