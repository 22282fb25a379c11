"""The job metrics of a registry: the buckets of the duration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from noetl_metrics_sdk import InvalidMetricError, MetricsClient, Registry, track_job
from noetl_metrics_sdk.testing import InMemoryTransport

if TYPE_CHECKING:
    from tests.sdk.jobs.tracked_jobs import Jobs


def bounds(jobs: Jobs) -> set[tuple[str, ...]]:
    """Return the different sets of buckets of all jobs."""
    by_labels: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for family in jobs.registry.collect():
        for sample in family.samples:
            if sample.name == "noetl_job_duration_seconds_bucket":
                labels = {**sample.labels}
                bound = labels.pop("le")
                by_labels.setdefault(tuple(sorted(labels.items())), []).append(bound)
    return {tuple(found) for found in by_labels.values()}


def test_buckets_of_the_duration_can_be_chosen(jobs: Jobs) -> None:
    """All jobs of a registry have the chosen buckets, whatever their labels."""
    decorated = jobs.track("decorated", tenant="a")(lambda: None)
    track_job.use_buckets([1, 60], registry=jobs.registry)
    decorated()
    with jobs.track("sql"), jobs.track("sql", queue="b"):
        pass
    assert {("1.0", "60.0", "+Inf")} == bounds(jobs)


def test_buckets_of_other_registries_stay(jobs: Jobs) -> None:
    """A choice is for the jobs of one registry only."""
    track_job.use_buckets([1, 60], registry=Registry())
    with jobs.track("sql"):
        pass
    ((*_, hour, _),) = bounds(jobs)
    assert "3600.0" == hour


def test_buckets_that_are_not_valid_are_refused(jobs: Jobs) -> None:
    """They are checked like those of any histogram, and those that were there stay."""
    with pytest.raises(InvalidMetricError, match="must ascend"):
        track_job.use_buckets([2, 1], registry=jobs.registry)
    with jobs.track("sql"):
        pass
    assert 1 == len(bounds(jobs))


def test_same_buckets_may_be_chosen_again(jobs: Jobs) -> None:
    """Code that runs again and again may choose the same buckets each time."""
    for _ in range(2):
        track_job.use_buckets([1, 60], registry=jobs.registry)
        with jobs.track("sql"):
            pass
    assert {("sql", "completed", ""): 2.0} == jobs.processed()


def test_other_buckets_after_a_job_are_refused(jobs: Jobs) -> None:
    """Series with different buckets would not add up, and the error names both sets."""
    track_job.use_buckets([1, 60], registry=jobs.registry)
    with jobs.track("sql", tenant="a"):
        pass
    with pytest.raises(InvalidMetricError, match=r"\[1.0, 60.0, inf\].*choose \[1.0, 90.0, inf\]"):
        track_job.use_buckets([1, 90], registry=jobs.registry)
    assert {("1.0", "60.0", "+Inf")} == bounds(jobs)


def test_chosen_buckets_are_delivered(jobs: Jobs) -> None:
    """A client that was running before the choice delivers the chosen buckets."""
    transport = InMemoryTransport()
    with MetricsClient(
        component_name="test", registry=jobs.registry, transport=transport, system_metrics=[]
    ) as client:
        job = jobs.track("sql")
        client.flush()
        track_job.use_buckets([60], registry=jobs.registry)
        with job:
            pass
        client.flush()
    found = transport.received("noetl_job_duration_seconds_bucket")
    assert {"60.0", "+Inf"} == {sample.labels["le"] for sample in found}
