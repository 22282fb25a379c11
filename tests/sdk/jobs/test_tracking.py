"""`track_job`: how it counts jobs, in every way of writing it and for every end of a job."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from typing import TYPE_CHECKING, Any

import pytest

from noetl_metrics_sdk import (
    REGISTRY,
    Counter,
    DuplicateMetricError,
    InvalidMetricError,
    MetricType,
    track_job,
)
from noetl_metrics_sdk.jobs.collector import JOB_DURATION_BUCKETS_SECONDS, JobCollector
from noetl_metrics_sdk.model.names import storable
from tests.sdk.jobs.tracked_jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator


class JobError(Exception):
    """The error of the jobs in these tests."""


def test_completed_job(jobs: Jobs) -> None:
    """A job that ends is counted with its duration, and as in progress while it runs."""
    with jobs.track("sql"):
        during = (jobs.running("sql"), jobs.processed())
        jobs.work(2.5)
    assert (1.0, {}) == during
    assert (0.0, 2.5) == (jobs.running("sql"), jobs.seconds("sql"))
    assert {("sql", "completed", ""): 1.0} == jobs.processed()


def test_failed_job(jobs: Jobs) -> None:
    """A job that raises is counted with the exception's class; the exception passes through."""
    raised = JobError("no such table")
    with pytest.raises(JobError) as caught, jobs.track("sql"):  # noqa: PT012 - a job is a block
        jobs.work(1)
        raise raised
    assert caught.value is raised
    assert (0.0, 1.0) == (jobs.running("sql"), jobs.seconds("sql"))
    assert {("sql", "failed", "JobError"): 1.0} == jobs.processed()


@pytest.mark.parametrize(
    ("error", "status", "exception"),
    [
        (asyncio.CancelledError(), "cancelled", ""),
        (concurrent.futures.CancelledError(), "cancelled", ""),
        (GeneratorExit(), "cancelled", ""),
        (KeyboardInterrupt(), "failed", "KeyboardInterrupt"),
        (SystemExit(1), "failed", "SystemExit"),
        (SystemExit(0), "completed", ""),
        (TimeoutError(), "failed", "TimeoutError"),
        (StopIteration(), "failed", "StopIteration"),
    ],
)
def test_outcome(jobs: Jobs, error: BaseException, status: str, exception: str) -> None:
    """The exception that leaves a job says how it ended, and passes; every end is counted."""
    with pytest.raises(type(error)), jobs.track("python"):
        raise error
    assert {("python", status, exception): 1.0} == jobs.processed()
    assert 0.0 == jobs.running("python")


def test_async_with(jobs: Jobs) -> None:
    """`async with` tracks a job like `with`."""

    async def main() -> float | None:
        async with jobs.track("http") as job:
            await asyncio.sleep(0)
            jobs.work(3)
            assert isinstance(job, track_job)
            return jobs.running("http")

    assert 1.0 == asyncio.run(main())
    assert (0.0, 3.0) == (jobs.running("http"), jobs.seconds("http"))
    assert {("http", "completed", ""): 1.0} == jobs.processed()


def test_async_with_that_fails(jobs: Jobs) -> None:
    """`async with` lets an exception pass, and counts it."""

    async def main() -> None:
        async with jobs.track("http"):
            raise JobError

    with pytest.raises(JobError):
        asyncio.run(main())
    assert {("http", "failed", "JobError"): 1.0} == jobs.processed()


def test_cancelled_task(jobs: Jobs) -> None:
    """A job whose task is cancelled while it awaits is counted as cancelled."""

    async def wait() -> None:
        async with jobs.track("http"):
            jobs.work(2)
            await asyncio.Event().wait()

    async def main() -> list[float | None]:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        during = jobs.running("http")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [during, jobs.running("http")]

    assert [1.0, 0.0] == asyncio.run(main())
    assert {("http", "cancelled", ""): 1.0} == jobs.processed()
    assert 2.0 == jobs.seconds("http")


def test_cancelled_future(jobs: Jobs) -> None:
    """A job that waits for a cancelled future is counted as cancelled."""
    future: concurrent.futures.Future[None] = concurrent.futures.Future()
    future.cancel()
    with pytest.raises(concurrent.futures.CancelledError), jobs.track("python"):
        future.result()
    assert {("python", "cancelled", ""): 1.0} == jobs.processed()


class Work:
    """The four kinds of function that can be jobs; each works for a second, and may raise."""

    def __init__(self, jobs: Jobs) -> None:
        self.jobs = jobs

    def function(self, error: BaseException | None) -> str:
        self.jobs.work(1)
        if error:
            raise error
        return "done"

    async def coroutine(self, error: BaseException | None) -> str:
        await asyncio.sleep(0)
        return self.function(error)

    def generator(self, error: BaseException | None) -> Generator[int, None, str]:
        yield 1
        return self.function(error)

    async def async_generator(self, error: BaseException | None) -> AsyncGenerator[int, None]:
        await asyncio.sleep(0)
        yield 1
        self.function(error)


async def exhausted(items: AsyncGenerator[int, None]) -> list[int]:
    return [item async for item in items]


# How to run a function of each kind to its end, and what it returns.
RUNS: list[tuple[str, Callable[[Any], object], object]] = [
    ("function", lambda result: result, "done"),
    ("coroutine", asyncio.run, "done"),
    ("generator", list, [1]),
    ("async_generator", lambda items: asyncio.run(exhausted(items)), [1]),
]


@pytest.mark.parametrize(("kind", "run", "result"), RUNS)
def test_decorator(jobs: Jobs, kind: str, run: Callable[[Any], object], result: object) -> None:
    """As a decorator, `track_job` makes a job of every call, for any kind of function."""
    decorated = jobs.track("python")(getattr(Work(jobs), kind))
    assert [result, result] == [run(decorated(None)), run(decorated(None))]
    assert {("python", "completed", ""): 2.0} == jobs.processed()
    assert (0.0, 2.0) == (jobs.running("python"), jobs.seconds("python"))


@pytest.mark.parametrize(("kind", "run", "_result"), RUNS)
def test_decorated_job_that_fails(
    jobs: Jobs, kind: str, run: Callable[[Any], object], _result: object
) -> None:
    """For any kind of function, the exception is counted and passes through unchanged."""
    raised = JobError()
    decorated = jobs.track("python")(getattr(Work(jobs), kind))
    with pytest.raises(JobError) as caught:
        run(decorated(raised))
    assert caught.value is raised
    assert {("python", "failed", "JobError"): 1.0} == jobs.processed()
    assert (0.0, 1.0) == (jobs.running("python"), jobs.seconds("python"))


def test_generator_closed_early_is_cancelled(jobs: Jobs) -> None:
    """A generator job that is not read to its end counts as cancelled."""
    generator = jobs.track("python")(Work(jobs).generator)(None)
    next(generator)
    during = jobs.running("python")
    generator.close()
    assert (1.0, 0.0) == (during, jobs.running("python"))
    assert {("python", "cancelled", ""): 1.0} == jobs.processed()


def test_generator_never_started_is_no_job(jobs: Jobs) -> None:
    """A generator that is never read, or a coroutine that is never awaited, is no job."""
    jobs.track("python")(Work(jobs).generator)(None).close()
    jobs.track("python")(Work(jobs).coroutine)(None).close()
    assert ({}, 0.0) == (jobs.processed(), jobs.running("python"))


def test_async_generator_closed_early_is_cancelled(jobs: Jobs) -> None:
    """An asynchronous generator that is closed early counts as cancelled."""

    async def main() -> None:
        generator = jobs.track("python")(Work(jobs).async_generator)(None)
        await anext(generator)
        await generator.aclose()

    asyncio.run(main())
    assert {("python", "cancelled", ""): 1.0} == jobs.processed()


def test_nested_jobs(jobs: Jobs) -> None:
    """A job within a job is a job of its own, with its own duration."""
    with jobs.track("outer"):
        jobs.work(1)
        with jobs.track("inner"), jobs.track("inner"):
            jobs.work(2)
            during = (jobs.running("outer"), jobs.running("inner"))
    assert (1.0, 2.0) == during
    assert (3.0, 4.0) == (jobs.seconds("outer"), jobs.seconds("inner"))
    assert {("outer", "completed", ""): 1.0, ("inner", "completed", ""): 2.0} == jobs.processed()


def test_recursive_and_concurrent_calls_are_jobs_of_their_own(jobs: Jobs) -> None:
    """Every call of a decorated function has its own start, also while other calls run."""

    @jobs.track("python")  # type: ignore[untyped-decorator] # a partial, which takes bad input too
    async def job(depth: int) -> None:
        await asyncio.sleep(0)
        jobs.work(1)
        if depth:
            await job(depth - 1)

    asyncio.run(job(2))
    assert ({("python", "completed", ""): 3.0}, 6.0) == (jobs.processed(), jobs.seconds("python"))


def test_more_labels(jobs: Jobs) -> None:
    """All three metrics have the caller's labels, in whatever order the caller gives them."""
    with jobs.track("sql", tenant="a", queue=7):
        pass
    with jobs.track("sql", queue="7", tenant="a"):
        pass
    assert {("sql", "completed", "", "7", "a"): 2.0} == jobs.processed()
    assert 0.0 == jobs.running("sql", tenant="a", queue="7")
    assert 0.0 == jobs.seconds("sql", tenant="a", queue="7")


def test_two_sets_of_labels_share_the_families(jobs: Jobs) -> None:
    """Jobs with other labels are series of the same three families, described once."""
    with jobs.track("sql"), jobs.track("sql", tenant="a"):
        pass
    families = {family.name: family for family in jobs.registry.collect()}
    described = [(family.name, family.type, family.unit) for family in jobs.registry.collect()]
    assert [
        ("noetl_jobs_in_progress", MetricType.GAUGE, "jobs"),
        ("noetl_job_duration_seconds", MetricType.HISTOGRAM, "seconds"),
        ("noetl_jobs_processed", MetricType.COUNTER, "jobs"),
    ] == described
    assert [{"job_type": "sql"}, {"job_type": "sql", "tenant": "a"}] == [
        sample.labels for sample in families["noetl_jobs_in_progress"].samples
    ]
    assert {("sql", "completed", ""): 1.0, ("sql", "completed", "", "a"): 1.0} == jobs.processed()


@pytest.mark.parametrize("name", ["status", "exception"])
def test_own_labels_are_refused(jobs: Jobs, name: str) -> None:
    """A caller cannot give a label that the metrics have already."""
    with pytest.raises(InvalidMetricError, match=f"label '{name}' is track_job's own"):
        jobs.track("sql", **{name: "x"})
    assert [] == jobs.registry.collectors()


@pytest.mark.parametrize("name", ["no-good", "__x", "le", "", "9"])
def test_bad_label_name_is_refused(jobs: Jobs, name: str) -> None:
    """An invalid label name is refused before the job, and leaves nothing behind."""
    with pytest.raises(InvalidMetricError, match="label name "):
        jobs.track("sql", **{name: "x"})
    assert [] == [sample for family in jobs.registry.collect() for sample in family.samples]


@pytest.mark.parametrize("job_type", [None, 3, b"sql", ["sql"], "a\x00", os.fsdecode(b"r\xff.csv")])
def test_any_job_type_is_counted(jobs: Jobs, job_type: Any) -> None:
    """A job type that is no text, or none that can be stored, becomes one and stops no job."""
    with jobs.track(job_type):
        jobs.work(1)
    text = storable(str(job_type))
    assert {(text, "completed", ""): 1.0} == jobs.processed()
    assert (0.0, 1.0) == (jobs.running(text), jobs.seconds(text))


def test_label_value_that_cannot_be_stored_is_counted(jobs: Jobs) -> None:
    """A label value with a lone surrogate stops no job; each instrument counts and logs it."""
    with jobs.track("a", path="\ud800"):
        pass
    assert {("a", "completed", "", "\ufffd"): 1.0} == jobs.processed()
    (collector,) = jobs.registry.collectors()
    assert isinstance(collector, JobCollector)
    replaced = [one.label_values_replaced > 0 for one in collector.all_instruments()]
    assert [False] * 3 + [True] * 3 == replaced


@pytest.mark.parametrize("job_type", [len, lambda: 5, JobError])
def test_decorator_without_brackets_is_refused(job_type: Any) -> None:
    """`@track_job` without parentheses is refused at once; the error says how to write it."""
    with pytest.raises(InvalidMetricError, match=r"give a string, as in @track_job"):
        track_job(job_type)


def test_job_type_is_needed(jobs: Jobs) -> None:
    """A job has a type."""
    with pytest.raises(TypeError, match="job_type"):
        jobs.track()


def test_name_that_is_taken_is_refused(jobs: Jobs) -> None:
    """An instrument under one of the three names is refused like any other duplicate."""
    Counter("noetl_jobs_processed", "mine", registry=jobs.registry)
    with pytest.raises(DuplicateMetricError, match="already has noetl_jobs_processed"):
        jobs.track("sql")


def test_registries_are_apart(jobs: Jobs) -> None:
    """A job counts only in the registry that it was given."""
    other = Jobs()
    with jobs.track("sql"):
        pass
    with other.track("http"):
        pass
    assert [{("sql", "completed", ""): 1.0}, {("http", "completed", ""): 1.0}] == [
        jobs.processed(), other.processed(),
    ]  # fmt: skip


def test_default_registry() -> None:
    """By default jobs count in `REGISTRY`."""
    labels = {"job_type": "of test_default_registry", "status": "completed", "exception": ""}
    with track_job(labels["job_type"]):
        pass
    assert 1.0 == REGISTRY.get_sample_value("noetl_jobs_processed_total", labels)


def test_durations_reach_from_a_millisecond_to_an_hour(jobs: Jobs) -> None:
    """The buckets suit jobs, and each job falls into the right one."""
    with jobs.track("sql"):
        jobs.work(45)
    name = "noetl_job_duration_seconds_bucket"
    value = jobs.registry.get_sample_value
    assert (0.001, 3600.0) == (JOB_DURATION_BUCKETS_SECONDS[0], JOB_DURATION_BUCKETS_SECONDS[-1])
    assert [0.0, 1.0] == [value(name, {"job_type": "sql", "le": le}) for le in ("30.0", "60.0")]


def test_overflow_of_all_jobs_is_counted(jobs: Jobs) -> None:
    """Job types beyond the cap share a series, and the collector counts them."""
    for number in range(2_001):
        jobs.track(f"type {number}")
    (collector,) = jobs.registry.collectors()
    assert isinstance(collector, JobCollector)
    assert 1 == collector.overflowed
    assert 0.0 == jobs.running("__overflow__")
