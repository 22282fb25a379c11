"""Servers that export to a real time-series database and read from it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.prometheus import needs_prometheus, running_prometheus
from tests.server.application import running_api
from tests.victoria_metrics import needs_victoria_metrics, running_victoria_metrics

if TYPE_CHECKING:
    from tests.server.application import Api

RECEIVERS = [
    pytest.param(running_victoria_metrics, marks=needs_victoria_metrics, id="victoria-metrics"),
    pytest.param(
        partial(running_prometheus, out_of_order_time_window="10d"),
        marks=needs_prometheus,
        id="prometheus",
    ),
]


def exporting_api(url: str, receiver: Any, **settings: Any) -> Any:
    return running_api(
        url,
        remote_write_url=receiver.write_url,
        history_url=receiver.url,
        export_interval_seconds=0.05,
        **settings,
    )


def all_pages(api: Api, **parameters: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the rows of all pages, and the sources that the pages name."""
    rows: list[dict[str, Any]] = []
    sources = []
    cursor = None
    while True:
        asked = parameters if cursor is None else parameters | {"cursor": cursor}
        answer = api.get("/api/metrics", params=asked)
        assert 200 == answer.status_code, answer.text
        page = answer.json()
        rows += page["metrics"]
        sources.append(page["sources"])
        cursor = page["next_cursor"]
        if cursor is None:
            return rows, sources
