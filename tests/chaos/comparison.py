"""Compare the ledgers with the table: what is missing, doubled, torn, or made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString, NamedTuple

import psycopg

from tests.chaos.numbered import (
    IS_AS_RECORDED,
    IS_OF_AN_INSTRUMENT,
    IS_OF_ITS_TIME,
    NUMBER_OF_ROW,
    OBSERVATION,
    SECONDS,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg import Connection

ARCHIVE = "public.archived_metric"
"""Where a test keeps the rows of a runtime that it deletes: they have been in the table."""


class Comparison(NamedTuple):
    """The result of a comparison of the ledgers with the table.

    | field | meaning |
    |---|---|
    | `recorded` | numbered samples that were recorded, as far as the test knows |
    | `promised` | those of them that must be in the table, or counted as dropped |
    | `in_table` | rows of numbered samples |
    | `missing` | samples that must be in the table and are not |
    | `twice` | rows too many |
    | `torn` | rows that are not what was recorded, and half-seen observations |
    | `unrecorded` | rows of samples that no worker has recorded |
    """

    recorded: int
    promised: int
    in_table: int
    missing: int
    twice: int
    torn: int
    unrecorded: int

    @property
    def faults(self) -> dict[str, int]:
        """Return the figures of what is wrong: all are zero if each sample is in the table once,
        whole."""
        return {
            "missing": self.missing,
            "twice": self.twice,
            "torn": self.torn,
            "unrecorded": self.unrecorded,
        }


NOTHING_WRONG = {"missing": 0, "twice": 0, "torn": 0, "unrecorded": 0}


def compare(
    database_url: str, must: Iterable[range], may: Iterable[range], *, own_times: bool = True
) -> Comparison:
    """Compare numbered samples with the table.

    Args:
        database_url: the database.
        must: the samples that have to be in the table.
        may: the samples that may be in it: a process was about to record them when it died.
        own_times: whether each sample was recorded with the time that belongs to its number.
    """
    with psycopg.connect(database_url) as connection:
        _make_delivered(connection)
        connection.execute("CREATE TEMP TABLE must (n bigint NOT NULL) ON COMMIT DROP")
        connection.execute("CREATE TEMP TABLE may (n bigint NOT NULL) ON COMMIT DROP")
        _fill(connection, "must", must)
        _fill(connection, "may", may)
        _find(connection, own_times=own_times)
        in_table, twice, torn = _row(
            connection,
            "SELECT coalesce(sum(times), 0)::bigint, coalesce(sum(times - 1), 0)::bigint, "
            "coalesce(sum(torn), 0)::bigint FROM found",
        )
        return Comparison(
            recorded=_number(connection, "SELECT count(*) FROM may"),
            promised=_number(connection, "SELECT count(*) FROM must"),
            in_table=in_table,
            missing=_number(
                connection,
                "SELECT count(*) FROM must "
                "WHERE NOT EXISTS (SELECT FROM found WHERE found.n = must.n)",
            ),
            twice=twice + _number(connection, INSTRUMENT_ROWS_TWICE),
            torn=torn + _number(connection, OBSERVATIONS_TORN),
            unrecorded=_number(
                connection,
                "SELECT coalesce(sum(times), 0) FROM found "
                "WHERE NOT EXISTS (SELECT FROM may WHERE may.n = found.n)",
            ),
        )


def rows_by_worker(database_url: str) -> dict[str, int]:
    """Return how many rows each process has in the table, with the rows of its instruments."""
    with psycopg.connect(database_url) as connection:
        _make_delivered(connection)
        found = connection.execute(
            "SELECT labels->>'worker_id', count(*) FROM delivered GROUP BY 1"
        )
        return dict(found.fetchall())


def totals_by_worker(database_url: str, name: str) -> dict[str, float]:
    """Return the total of each process's cumulative series of a name."""
    with psycopg.connect(database_url) as connection:
        _make_delivered(connection)
        found = connection.execute(
            "SELECT labels->>'worker_id', max(metric_value) FROM delivered WHERE metric_name = %s "
            "GROUP BY 1",
            [name],
        )
        return dict(found.fetchall())


def joined(ranges: Iterable[range]) -> list[range]:
    """Return the same numbers in as few ranges as possible."""
    found: list[range] = []
    for each in sorted(ranges, key=lambda numbers: numbers.start):
        if found and each.start == found[-1].stop:
            found[-1] = range(found[-1].start, each.stop)
        else:
            found.append(each)
    return found


INSTRUMENT_ROWS_TWICE = f"""
    SELECT coalesce(sum(times - 1), 0) FROM (
        SELECT count(*) AS times FROM delivered WHERE {IS_OF_AN_INSTRUMENT}
        GROUP BY metric_name, labels, timestamp
    ) AS each
"""
OBSERVATIONS_TORN = f"""
    SELECT count(*) FROM (
        SELECT
            max(metric_value) FILTER (WHERE metric_name = '{SECONDS}_count') AS observed,
            max(metric_value) FILTER (WHERE metric_name = '{SECONDS}_sum') AS total,
            max(metric_value) FILTER (WHERE labels->>'le' = '+Inf') AS in_all,
            max(metric_value) FILTER (WHERE labels->>'le' = '{OBSERVATION}') AS in_its_own,
            max(metric_value) FILTER (WHERE labels->>'le' = '0.25') AS below
        FROM delivered WHERE starts_with(metric_name, '{SECONDS}_')
        GROUP BY labels->>'worker_id', timestamp
    ) AS collected
    WHERE total <> observed * {OBSERVATION} OR in_all <> observed OR in_its_own <> observed
        OR below <> 0
"""


def _make_delivered(connection: Connection) -> None:
    """Make the view `delivered`: all rows that workers delivered, also rows deleted since."""
    select = "SELECT m.* FROM noetl.metric AS m JOIN noetl.runtime AS r USING (runtime_id) "
    select += "WHERE r.component_type = 'worker_pool'"
    if _row(connection, "SELECT to_regclass(%s)", ARCHIVE) != (None,):
        select += f" UNION ALL SELECT * FROM {ARCHIVE}"
    connection.execute(f"CREATE TEMP VIEW delivered AS {select}")


def _fill(connection: Connection, table: LiteralString, ranges: Iterable[range]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} SELECT generate_series(%s::bigint, %s)",
            [(numbers.start, numbers.stop - 1) for numbers in joined(ranges)],
        )


def _find(connection: Connection, *, own_times: bool) -> None:
    """Make the table `found`: how often each number is in the table, and how often it is torn."""
    as_recorded = f"{IS_AS_RECORDED} AND {IS_OF_ITS_TIME}" if own_times else IS_AS_RECORDED
    connection.execute(
        f"""
        CREATE TEMP TABLE found ON COMMIT DROP AS
        SELECT n, count(*)::bigint AS times,
            (count(*) FILTER (WHERE ({as_recorded}) IS NOT TRUE))::bigint AS torn
        FROM (SELECT {NUMBER_OF_ROW} AS n, delivered.* FROM delivered) AS numbered
        WHERE NOT {IS_OF_AN_INSTRUMENT}
        GROUP BY n
        """,
    )


def _row(connection: Connection, query: LiteralString, *parameters: object) -> tuple[Any, ...]:
    found = connection.execute(query, parameters or None).fetchone()
    assert found is not None
    return tuple(found)


def _number(connection: Connection, query: LiteralString) -> int:
    return int(_row(connection, query)[0])
