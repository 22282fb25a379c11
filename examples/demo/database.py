"""The demo's questions to the database: each is a file in questions/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import psycopg

QUESTIONS = Path(__file__).parent / "questions"


class Answer(NamedTuple):
    """A table: the names of its columns, and its rows."""

    columns: list[str]
    rows: list[tuple[object, ...]]


def ask(connection: psycopg.Connection, question: str, **parameters: object) -> Answer:
    """Return the answer to a question.

    Args:
        connection: a connection to the database, in autocommit mode.
        question: the name of a file in questions/, without its suffix.
        parameters: the parameters of the query in that file.
    """
    cursor = connection.execute((QUESTIONS / f"{question}.sql").read_bytes(), parameters)
    assert cursor.description is not None
    return Answer([column.name for column in cursor.description], cursor.fetchall())


def rows_of(connection: psycopg.Connection, component: str) -> int:
    """Return how many rows of a component are in the table."""
    ((rows,),) = ask(connection, "row_count", component=component).rows
    return int(str(rows))
