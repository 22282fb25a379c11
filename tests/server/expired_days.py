"""Days of samples that have expired, and the rules that keep some names longer."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.server.database_queries import partition_name, query, today

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME = (
    "INSERT INTO noetl.runtime (runtime_id, name, component_type, status)"
    " VALUES (1, 'a', 'broker', 'ready'), (2, 'b', 'broker', 'ready') ON CONFLICT DO NOTHING"
)

INSERT = (
    "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, labels, unit,"
    " timestamp, created_at, expires_at)"
    " SELECT 1 + n % 2, name, 'gauge', n, jsonb_build_object('a', 'b'), 'jobs',"
    " moment - interval '1 h', moment, moment + retention FROM noetl.metric_retention,"
    " unnest({names}::text[]) AS name, generate_series(1, {count}) AS n,"
    " LATERAL (SELECT {moment}::timestamptz AS moment) AS t"
)

LEFTOVERS = "SELECT count(*) FROM pg_class WHERE relname ~ 'rebuilt'"

CLEANUP = "SELECT noetl.cleanup_expired_metrics()"

RULES = {"jobs_total": 30, "billing_*": 365, "billing_test_*": 7}


def set_rules(url: str, rules: Mapping[str, int], default_days: int = 1) -> None:
    query(url, "SELECT noetl.set_metric_retention(%s)", timedelta(days=default_days))
    pairs = ", ".join(f"'{pattern}', {days}" for pattern, days in rules.items())
    query(url, f"SELECT noetl.set_metric_retention_by_name(jsonb_build_object({pairs}))")


def store(url: str, age_days: int, *names: str, count: int = 2) -> str:
    """Store rows of these names in a past day; return the name of its partition."""
    day = today() - timedelta(age_days)
    query(url, "SELECT noetl.create_metric_partition(%s)", day)
    query(url, RUNTIME)
    listed = "ARRAY[" + ", ".join(f"'{name}'" for name in names) + "]"
    query(url, INSERT.format(names=listed, count=count, moment=f"'{day} 12:00Z'"))
    return partition_name(day)


def names_in(url: str, table: str = "metric") -> set[str]:
    return {name for (name,) in query(url, f"SELECT DISTINCT metric_name FROM noetl.{table}")}


def expire(url: str, condition: str = "true") -> None:
    """Make rows older than a retention of one day."""
    for offset in (1, 2):
        query(url, "SELECT noetl.create_metric_partition(%s)", today() - timedelta(offset))
    query(
        url,
        "UPDATE noetl.metric SET created_at = created_at - interval '25 hours' WHERE " + condition,
    )
