"""What goes on right now: jobs, who runs them, and what is lost on the way."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from noetl_metrics_cli.api.series import read_chart

if TYPE_CHECKING:
    from noetl_metrics_cli.api.connection import Connection
    from noetl_metrics_cli.api.series import Chart

DROPS_SECONDS = 3600.0
"""How far back losses are shown: they are rare, and an operator should see them later, too."""

_LOOKBACK_SECONDS = 60.0
"""The length of the bucket of what is counted at one moment; a sum reaches further back."""

_QUANTILE = 0.95

_LOSSES = {
    "noetl_metrics_sdk_samples_dropped_total": "dropped by the worker",
    "noetl_metrics_sdk_samples_invalid_total": "invalid, in the worker",
    "noetl_api_samples_rejected_total": "rejected by the server",
    "noetl_api_export_samples_dropped_total": "dropped by the export",
}


@dataclass(slots=True)
class JobType:
    """The jobs of one type: how many run, and how many have ended by the second.

    `seconds` is how long all but the slowest twentieth of them took, or None.
    """

    job_type: str
    running: float = 0.0
    completed_per_second: float = 0.0
    failed_per_second: float = 0.0
    seconds: float | None = None


@dataclass(slots=True)
class Worker:
    """A component: its processes, its jobs that run, and its samples that wait."""

    name: str
    kind: str
    status: str
    processes: dict[str, int]
    silent_seconds: float | None
    jobs_running: float = 0.0
    samples_waiting: float = 0.0


@dataclass(slots=True)
class Loss:
    """Samples that were lost on the way."""

    component: str
    what: str
    reason: str
    samples: float


@dataclass(slots=True)
class Overview:
    """What goes on, as of `time`; rates are of the last `window_seconds`."""

    time: str
    window_seconds: float
    jobs: list[JobType] = field(default_factory=list[JobType])
    workers: list[Worker] = field(default_factory=list[Worker])
    losses: list[Loss] = field(default_factory=list[Loss])


def read_overview(server: Connection, window_seconds: float) -> Overview:
    """Return what goes on right now.

    Args:
        server: the server.
        window_seconds: of how long the rates and durations are.

    Raises:
        CommandError: the server does not answer, or answers with an error.
    """
    now = datetime.now(UTC)
    reader = _Reader(server, now.timestamp(), window_seconds)
    running = reader.latest("noetl_jobs_in_progress", "job_type,component_name")
    return Overview(
        now.isoformat(timespec="seconds"),
        window_seconds,
        reader.jobs(running),
        reader.workers(running),
        reader.losses(),
    )


def _busiest_first(job: JobType) -> tuple[float, str]:
    return -job.completed_per_second - job.failed_per_second, job.job_type


class _Reader:
    def __init__(self, server: Connection, now: float, window_seconds: float) -> None:
        self._server = server
        self._now = now
        self._window_seconds = window_seconds

    def jobs(self, running: Chart) -> list[JobType]:
        by_type: defaultdict[str, JobType] = defaultdict(lambda: JobType(""))
        for curve in running.curves:
            by_type[curve.labels.get("job_type", "")].running += curve.points[-1][1]
        ended = self._chart(
            "noetl_jobs_processed_total", "increase", "job_type,status", self._window_seconds
        )
        for curve in ended.curves:
            rate = sum(value for _, value in curve.points) / self._window_seconds
            job = by_type[curve.labels.get("job_type", "")]
            if curve.labels.get("status") == "completed":
                job.completed_per_second += rate
            else:
                job.failed_per_second += rate
        durations = self._chart(
            "noetl_job_duration_seconds", "quantile", "job_type", self._window_seconds,
            quantile=_QUANTILE,
        )  # fmt: skip
        for curve in durations.curves:
            if curve.points:
                by_type[curve.labels.get("job_type", "")].seconds = curve.points[-1][1]
        for name, job in by_type.items():
            job.job_type = name
        return sorted(by_type.values(), key=_busiest_first)

    def workers(self, running: Chart) -> list[Worker]:
        listed: list[dict[str, Any]] = self._server.get("/api/runtime")["components"]
        jobs: defaultdict[str, float] = defaultdict(float)
        for curve in running.curves:
            jobs[curve.labels.get("component_name", "")] += curve.points[-1][1]
        pending = self.latest("noetl_metrics_sdk_samples_pending", "component_name")
        waiting = {
            curve.labels.get("component_name", ""): curve.points[-1][1] for curve in pending.curves
        }
        return [
            Worker(
                one["name"],
                one["component_type"],
                one["status"],
                one["process_counts"],
                self._silence(one["last_heartbeat"]),
                jobs[one["name"]],
                waiting.get(one["name"], 0.0),
            )
            for one in listed
        ]

    def losses(self) -> list[Loss]:
        found = [
            Loss(
                curve.labels.get("component_name", ""),
                what,
                curve.labels.get("reason", ""),
                sum(value for _, value in curve.points),
            )
            for metric, what in _LOSSES.items()
            for curve in self._chart(
                metric, "increase", "component_name,reason", DROPS_SECONDS
            ).curves
        ]
        return sorted((one for one in found if one.samples), key=lambda one: -one.samples)

    def latest(self, metric_name: str, group_by: str) -> Chart:
        chart = self._chart(metric_name, "sum", group_by, _LOOKBACK_SECONDS)
        return chart._replace(curves=[curve for curve in chart.curves if curve.points])

    def _chart(
        self, metric_name: str, aggregation: str, group_by: str, seconds: float, **more: object
    ) -> Chart:
        start = self._now - seconds
        # The server widens the range to whole buckets: short ones keep it near to what is asked.
        step = seconds if aggregation == "quantile" else max(seconds / 12, 1.0)
        return read_chart(
            self._server,
            {
                "metric_name": metric_name, "aggregation": aggregation, "group_by": group_by,
                "start_time": start, "end_time": self._now, "step": step, **more,
            },
        )  # fmt: skip

    def _silence(self, last_heartbeat: str | None) -> float | None:
        if last_heartbeat is None:
            return None
        return self._now - datetime.fromisoformat(last_heartbeat).timestamp()
