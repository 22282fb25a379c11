"""What a session of the server is, and what the operator may choose of it."""

from __future__ import annotations

import psycopg
import pytest

from server_stub.postgresql.session import CONNECT_SECONDS, TimeOuts, begin, connection_parameters

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

URL = "postgresql://somebody@/metrics"


@pytest.mark.parametrize(
    ("url", "variables", "expected"),
    [
        (URL, {}, CONNECT_SECONDS),
        (URL + "?connect_timeout=20", {}, None),
        ("dbname=metrics connect_timeout=20", {}, None),
        (URL, {"PGCONNECT_TIMEOUT": "20"}, None),
    ],
)
def test_an_operator_may_choose_how_long_connecting_takes(
    monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], expected: int | None
) -> None:
    """Without a time-out of the URL or the environment, the server has its own."""
    monkeypatch.delenv("PGCONNECT_TIMEOUT", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert expected == connection_parameters(url).get("connect_timeout")


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_transaction_says_its_isolation(each_database_url: str, level: str) -> None:
    """A transaction sees what others commit meanwhile, whatever the default is."""
    with psycopg.connect(each_database_url, autocommit=True) as connection:
        connection.execute(f"SET default_transaction_isolation = '{level}'")
        connection.execute(begin(TimeOuts()))
        shown = connection.execute("SHOW transaction_isolation").fetchone()
        connection.execute("COMMIT")
    assert ("read committed",) == shown
