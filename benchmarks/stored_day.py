"""A day of samples in the table, as thousands of series report them; PostgreSQL makes the rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import psycopg

RUNTIMES, NAMES, LABEL_SETS = 100, 50, 2
SERIES_OF_A_RUNTIME = NAMES * LABEL_SETS
SERIES = RUNTIMES * SERIES_OF_A_RUNTIME
RUNTIME_ID, METRIC_NAME, LABEL_SET = 50, "noetl_worker_metric_25_total", 1
"""The series whose page is asked for; the chart is of the metric."""

LABELS = {
    "job_type": f"type-{LABEL_SET}", "queue": f"queue-{LABEL_SET}", "status": "ok",
    "worker_id": f"worker-{RUNTIME_ID}-4711",
}  # fmt: skip

# Every component reports its series one after the other, all components in turn. The series of the
# chosen metric have all of their turns, and the rest has every `rest`th turn.
_FILL = """
INSERT INTO noetl.metric (
    runtime_id, metric_name, metric_type, metric_value, labels, help_text, unit, timestamp,
    created_at, expires_at
)
SELECT
    s.runtime_id, s.metric_name, 'counter', turn * 7 + s.label_set, s.labels,
    'Jobs that were done', 'jobs', t.at, t.at + interval '1 s', t.at + interval '1 day'
FROM generate_series(%(first_turn)s::bigint, %(last_turn)s::bigint) AS turn
CROSS JOIN LATERAL (
    SELECT %(end)s::timestamptz - make_interval(secs => turn * %(pause_seconds)s::float8) AS at
) AS t
CROSS JOIN (
    SELECT
        runtime_id,
        label_set,
        'noetl_worker_metric_' || name || '_total' AS metric_name,
        jsonb_build_object(
            'job_type', 'type-' || label_set, 'queue', 'queue-' || label_set, 'status', 'ok',
            'worker_id', 'worker-' || runtime_id || '-4711'
        ) AS labels
    FROM generate_series(1, %(runtimes)s::int) AS runtime_id
    CROSS JOIN generate_series(0, %(names)s::int - 1) AS name
    CROSS JOIN generate_series(0, %(label_sets)s::int - 1) AS label_set
) AS s
WHERE turn %% %(rest)s = 0
    OR t.at > %(end)s::timestamptz - interval '5 minutes'
    OR s.metric_name = %(metric_name)s
ORDER BY turn DESC, s.runtime_id
"""


class Stored(NamedTuple):
    """How many rows the table has, and how many of them each question is about."""

    rows: int
    within_lookback: int
    of_the_series: int
    of_the_hour: int
    of_the_day: int


def store_day(
    database: psycopg.Connection[Any],
    rows: int,
    rest: int,
    runtimes: int = RUNTIMES,
    last_turns: int | None = None,
) -> Stored:
    """Fill an empty table with the samples of the last 23 hours; return how many there are.

    Args:
        database: a connection in autocommit, of a superuser, to a database with this project's
            schema.
        rows: how many rows there would be if the rest had all of its turns.
        rest: series that no question is about have one of so many turns.
        runtimes: how many components there are, of 100 series each.
        last_turns: how many turns are stored, the last ones; by default all.
    """
    database.execute("TRUNCATE noetl.metric, noetl.runtime CASCADE")
    database.execute(
        "INSERT INTO noetl.runtime (runtime_id, name, component_type, status) "
        "SELECT i, 'pool-' || i, 'worker_pool', 'ready' FROM generate_series(1, %s::int) AS i",
        (runtimes,),
    )
    turns = max(2, rows // (runtimes * SERIES_OF_A_RUNTIME))
    pause_seconds = 23 * 3600 / turns
    first_stored = min(turns, last_turns or turns) - 1
    turns_of_last_hour = min(first_stored, int(3600 / pause_seconds))
    indexes = _drop_indexes(database)
    # The foreign key holds by construction.
    database.execute("SET session_replication_role = replica")
    _fill(database, turns_of_last_hour + 1, first_stored, pause_seconds, rest, runtimes)
    for definition in indexes:
        database.execute(definition.encode())
    database.execute("VACUUM noetl.metric")
    # The last hour comes last; otherwise it would be older than the lookback before a question.
    _fill(database, 0, turns_of_last_hour, pause_seconds, rest, runtimes)
    database.execute("SET session_replication_role = origin")
    database.execute("ANALYZE noetl.metric")
    row = database.execute(
        """
        SELECT
            count(*),
            count(*) FILTER (WHERE timestamp > now() - interval '5 minutes'),
            count(*) FILTER (
                WHERE metric_name = %(metric_name)s AND runtime_id = %(runtime_id)s
                AND labels @> %(labels)s
            ),
            count(*) FILTER (
                WHERE metric_name = %(metric_name)s AND timestamp > now() - interval '65 minutes'
            ),
            count(*) FILTER (WHERE metric_name = %(metric_name)s)
        FROM noetl.metric
        """,
        _chosen(),
    ).fetchone()
    assert row is not None
    return Stored(*row)


def _drop_indexes(database: psycopg.Connection[Any]) -> list[str]:
    """Drop the indexes that are slow to fill row by row; return their definitions for later."""
    found = database.execute(
        """
        SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
        FROM pg_index AS i
        WHERE i.indrelid = 'noetl.metric'::regclass AND NOT i.indisprimary
        """
    ).fetchall()
    for name, _ in found:
        database.execute(f"DROP INDEX {name}".encode())
    # ON ONLY would leave the partitions without indexes.
    return [definition.replace(" ON ONLY ", " ON ") for _, definition in found]


def _chosen() -> dict[str, Any]:
    return {
        "metric_name": METRIC_NAME,
        "runtime_id": RUNTIME_ID,
        "labels": json.dumps(LABELS),
    }


def _fill(
    database: psycopg.Connection[Any],
    first_turn: int,
    last_turn: int,
    pause_seconds: float,
    rest: int,
    runtimes: int,
) -> None:
    """Insert turns, counted back from now."""
    sizes = {"runtimes": runtimes, "names": NAMES, "label_sets": LABEL_SETS, "rest": rest}
    turns = {"first_turn": first_turn, "last_turn": last_turn, "pause_seconds": pause_seconds}
    row = database.execute("SELECT now()").fetchone()
    assert row is not None
    database.execute(_FILL, _chosen() | sizes | turns | {"end": row[0]})
