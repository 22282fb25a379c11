"""`noetl-metrics migrate`."""

from __future__ import annotations

import psycopg
import pytest

from server_stub.postgresql.sql_files import migration_names

pytestmark = pytest.mark.once


@pytest.fixture
def database(database_url, monkeypatch):
    """An empty database, which the server's environment variable names."""
    monkeypatch.setenv("NOETL_METRICS_SERVER_DATABASE_URL", database_url)
    return database_url


def test_a_check_changes_nothing_and_its_code_says_what_is_missing(run, database):
    """A check ends with 1 before the schema is there, and with 0 afterwards."""
    before = run("migrate", "--check")
    assert (1, "there is no schema yet: noetl-metrics migrate makes it\n") == before[:2]
    with psycopg.connect(database) as connection:
        assert (None,) == connection.execute("SELECT to_regnamespace('noetl')").fetchone()
    assert (0, "made the schema\n") == run("migrate")[:2]
    assert (0, "the schema is up to date\n") == run("migrate", "--check")[:2]
    assert (0, "the schema is up to date\n") == run("migrate")[:2]


def test_a_missing_migration_is_named_and_applied(run, database):
    """So is one of a newer server, which this command does not know."""
    run("migrate")
    last = migration_names()[-1]
    with psycopg.connect(database) as connection:
        connection.execute("DELETE FROM noetl.metrics_schema_migration WHERE name = %s", [last])
        connection.execute("INSERT INTO noetl.metrics_schema_migration (name) VALUES ('9999.sql')")
    checked = run("migrate", "--check")
    name = last.removesuffix(".sql")
    assert (1, f"missing: {name}: noetl-metrics migrate applies them\n") == checked[:2]
    assert "noetl-metrics: a newer server has applied 9999.sql: that is fine\n" == checked.err
    expected = {"exists": True, "missing": [], "applied": [last], "unknown": ["9999.sql"]}
    assert expected == run("migrate", "--json").json
    assert 0 == run("migrate", "--check").code


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give --database-url URL, or NOETL_METRICS_SERVER_DATABASE_URL"),
        (["--database-url=mysql://x"], 2, "must be a URL like postgresql://user:password@host"),
        (["--database-url=postgresql://localhost:1/x"], 3, "the database cannot be used: "),
        (["--chek"], 2, "No such option '--chek'. (Did you mean one of: '--check', '--help'?)"),
    ],
)
def test_what_cannot_be_done_is_one_line(run, arguments, code, message):
    """The line says what is right, and the code whether to try again."""
    result = run("migrate", *arguments)
    assert (code, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert message in result.err


def test_a_database_that_is_away_is_one_line_with_what_to_do(run):
    """The code is 3: the same command may work later."""
    result = run("migrate", "--check", "--database-url=postgresql://127.0.0.1:1/metrics")
    assert (3, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert "refused: Is the server running" in result.err
    assert result.err.endswith("?: start the database, or name another one by --database-url\n"), (
        result.err
    )
