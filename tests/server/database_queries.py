"""Questions that tests ask a database directly, on one connection or on many at once."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import psycopg

from tests.postgresql import with_options

if TYPE_CHECKING:
    from collections.abc import Callable


def query(url: str, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []


def scalar(url: str, sql: str, *parameters: object) -> Any:
    return query(url, sql, *parameters)[0][0]


def partitions(url: str) -> dict[str, str]:
    """Return each partition's bounds, in UTC."""
    return dict(
        query(
            with_options(url, "-c timezone=UTC"),
            "SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits AS i "
            "INNER JOIN pg_class AS c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'noetl.metric'::regclass ORDER BY 1",
        )
    )


def today() -> date:
    return datetime.now(UTC).date()


def partition_name(day: date) -> str:
    return f"metric_{day:%Y_%m_%d}"


def at_once(count: int, work: Callable[[], object]) -> list[object]:
    """Run `work` in several threads at the same moment; return what each returned or raised."""
    barrier = threading.Barrier(count)
    outcomes: list[object] = []

    def run() -> None:
        barrier.wait()
        try:
            outcomes.append(work())
        except Exception as error:  # noqa: BLE001 - the test compares it
            outcomes.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes
