"""A server that is asked, beside the database behind it, which is asked the same."""

from __future__ import annotations

import http.client
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

from rounds import medians
from tables import LIMIT, OURS

from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

CONSTANT = "GET /healthz"
"""A constant that the same server answers: what a request costs without a query."""

STATEMENT = "PostgreSQL, as asked"
"""The limit, and what the server has PostgreSQL do beside the query itself."""

PAGES_IN_A_ROW = 20
"""One page takes too short to be measured by itself."""


class Question(NamedTuple):
    """A question that is asked over HTTP, and of PostgreSQL.

    Args:
        path: what the server is asked for.
        sql: the query alone.
        parameters: of the query, and of the statement.
        statement: the query with all that the server has PostgreSQL do beside it.
        plan: the settings with which the server has it planned.
        in_a_row: how often it is asked in one measurement.
    """

    path: str
    sql: str
    parameters: Mapping[str, Any]
    statement: str | None = None
    plan: LiteralString | None = None
    in_a_row: int = 1


class Measurement:
    """Asks a server, and the database behind it.

    Args:
        port: the port of the server.
        database: a connection in autocommit.
    """

    def __init__(self, port: int, database: psycopg.Connection[Any]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._database = database

    def over_http(self, path: str, in_a_row: int) -> float:
        """Return how many milliseconds pass until an answer's last byte, of so many in a row."""
        # The server may have closed the connection while PostgreSQL was asked for long.
        self._connection.close()
        self.answer("/healthz")
        started_at = time.perf_counter()
        for _ in range(in_a_row):
            self.answer(path)
        return (time.perf_counter() - started_at) * 1e3 / in_a_row

    def answer(self, path: str) -> bytes:
        """Return the answer to a GET."""
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != http.client.OK:
            raise RuntimeError(f"{path}: {answer.status} {content[:500]!r}")
        return content

    def in_postgresql(self, question: Question) -> float:
        """Return how many milliseconds the query's execution takes, by EXPLAIN ANALYZE."""
        return statistics.fmean(
            self._execution(question, question.sql, "") for _ in range(question.in_a_row)
        )

    def as_sent(self, question: Question) -> float:
        """Return the same of the statement that the server sends, with its rows made for it."""
        assert question.statement is not None
        return self._execution(question, question.statement, ", SERIALIZE BINARY")

    def _execution(self, question: Question, sql: str, serialized: str) -> float:
        with self._database.transaction():
            if question.plan is not None:
                self._database.execute(read_sql(question.plan))
            row = self._database.execute(
                f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON{serialized}) {sql}".encode(),
                question.parameters,
            ).fetchone()
        assert row is not None
        return float(row[0][0]["Execution Time"])


def ask(measurement: Measurement, question: Question, rounds: int) -> dict[str, float]:
    """Return what a question takes, in milliseconds, by whom it is asked."""
    contenders = {
        OURS: partial(measurement.over_http, question.path, question.in_a_row),
        CONSTANT: partial(measurement.over_http, "/healthz", PAGES_IN_A_ROW),
        LIMIT: partial(measurement.in_postgresql, question),
    }
    if question.statement is not None:
        contenders[STATEMENT] = partial(measurement.as_sent, question)
    return medians(contenders, rounds)
