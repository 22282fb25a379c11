"""Ask the server for charts, as a page for operators would."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

STEP_SECONDS = 5
LABELS = ("job_type", "status", "exception")
ANSWER_SECONDS = 30.0


def increases(
    server_url: str,
    component: str,
    metric_names: Sequence[str],
    worker_ids: Collection[str],
    began_at: float,
) -> dict[str, float]:
    """Return the sum of all points of charts of the increase, by job type and outcome.

    Args:
        server_url: the server's address.
        component: the worker pool's name.
        metric_names: the metrics, a chart for each.
        worker_ids: the `worker_id` of each process whose curves are added up.
        began_at: where the charts begin, in seconds since the epoch.
    """
    found: dict[str, float] = defaultdict(float)
    with httpx.Client(base_url=server_url, timeout=ANSWER_SECONDS) as client:
        for metric_name in metric_names:
            chart = client.get(
                "/api/metrics/series",
                params={
                    "metric_name": metric_name,
                    "component_name": component,
                    "aggregation": "increase",
                    "group_by": ",".join(("worker_id", *LABELS)),
                    "start_time": began_at,
                    "end_time": time.time() + STEP_SECONDS,
                    "step": STEP_SECONDS,
                },
            ).raise_for_status()
            for curve in chart.json()["series"]:
                labels = curve["labels"]
                if labels["worker_id"] in worker_ids:
                    key = "/".join([metric_name, *[labels.get(label, "") for label in LABELS]])
                    found[key] += sum(value for _, value in curve["points"])
    return dict(found)
