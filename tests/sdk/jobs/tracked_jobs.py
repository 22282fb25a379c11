"""A registry of a test's own, and what it says about jobs."""

from __future__ import annotations

import functools
from typing import Any

from noetl_metrics_sdk import Registry, track_job

OWN_LABELS = ("job_type", "status", "exception")


class Jobs:
    """A registry of its own, what it says about jobs, and a clock that jobs move."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.track: Any = functools.partial(track_job, registry=self.registry)
        self.now = 1_000.0

    def work(self, seconds: float) -> None:
        self.now += seconds

    def processed(self) -> dict[tuple[str, ...], float]:
        """Return how many jobs ended, by the values of their labels; an empty label is no label."""
        return {
            tuple((dict.fromkeys(OWN_LABELS, "") | dict(sample.labels)).values()): sample.value
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == "noetl_jobs_processed_total"
        }

    def running(self, job_type: str, **labels: str) -> float | None:
        labels["job_type"] = job_type
        return self.registry.get_sample_value("noetl_jobs_in_progress", labels)

    def seconds(self, job_type: str, **labels: str) -> float | None:
        labels["job_type"] = job_type
        return self.registry.get_sample_value("noetl_job_duration_seconds_sum", labels)
