"""Which samples are meant, and the server's pages of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from datetime import datetime

    from noetl_metrics_cli.api.connection import Connection

PAGE_SAMPLES_MAX = 10_000
"""The most that the server puts on a page."""


def filters_of(
    metric_name: str | None,
    component_name: str | None,
    runtime_id: str | None,
    labels: Sequence[tuple[str, str]],
    start: datetime | None,
    end: datetime | None,
    metric_type: str | None = None,
) -> dict[str, str]:
    """Return the parameters by which the server chooses samples, without what is not given."""
    given = {
        "metric_name": metric_name,
        "component_name": component_name,
        "runtime_id": runtime_id,
        "metric_type": metric_type,
        "labels": json.dumps(dict(labels)) if labels else None,
        "start_time": None if start is None else start.isoformat(),
        "end_time": None if end is None else end.isoformat(),
    }
    return {name: text for name, text in given.items() if text is not None}


def pages(
    server: Connection,
    filters: Mapping[str, str],
    order: str,
    limit: int | None = None,
    cursor: str | None = None,
) -> Generator[dict[str, Any]]:
    """Yield the pages of a query, one after the other.

    Args:
        server: the server.
        filters: which samples are meant.
        order: `asc` or `desc`.
        limit: how many samples are wanted, or None for all.
        cursor: where to begin: the `next_cursor` of a page of the same query.
    """
    wanted = PAGE_SAMPLES_MAX if limit is None else limit
    while True:
        page = server.get(
            "/api/metrics",
            **filters,
            order=order,
            limit=min(wanted, PAGE_SAMPLES_MAX),
            cursor=cursor,
        )
        yield page
        cursor = page["next_cursor"]
        if limit is not None:
            wanted -= len(page["metrics"])
        if cursor is None or wanted <= 0:
            return
