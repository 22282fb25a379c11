"""What a job says of itself: how it ended, and under which type and labels."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

import pytest

from noetl_metrics_sdk import InvalidMetricError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from tests.sdk.jobs.tracked_jobs import Jobs


class JobError(Exception):
    """The error of the jobs in these tests."""


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        (("http_error",), "http_error"),
        ((), ""),
        ((JobError("no route"),), "JobError"),
        ((JobError,), "JobError"),
        ((404,), "404"),
        ((None,), "None"),
        (("a\x00",), "a\ufffd"),
    ],
)
def test_job_that_fails_without_raising(jobs: Jobs, kind: tuple[Any, ...], label: str) -> None:
    """`fail()` counts the job as failed, of a kind that may be any word or an exception."""
    with jobs.track("http") as job:
        jobs.work(2)
        job.fail(*kind)
    assert {("http", "failed", label): 1.0} == jobs.processed()
    assert (0.0, 2.0) == (jobs.running("http"), jobs.seconds("http"))


def test_job_that_swallows_its_exception(jobs: Jobs) -> None:
    """A job that handles its exception can give it to `fail()`, and goes on."""
    with jobs.track("sql") as job:
        try:
            raise JobError("no table")
        except JobError as error:
            job.fail(error)
    assert {("sql", "failed", "JobError"): 1.0} == jobs.processed()


def test_job_that_cancels_itself(jobs: Jobs) -> None:
    """`cancel()` counts the job as cancelled."""
    with jobs.track("sql") as job:
        job.cancel()
    assert {("sql", "cancelled", ""): 1.0} == jobs.processed()


def test_what_a_job_says_goes_before_what_it_raises(jobs: Jobs) -> None:
    """The kind that a job gives holds if the job then raises, and the exception passes."""
    with pytest.raises(JobError), jobs.track("sql") as job:  # noqa: PT012 - a job is a block
        job.fail("lost_connection")
        raise JobError
    assert {("sql", "failed", "lost_connection"): 1.0} == jobs.processed()


def test_the_last_word_of_a_job_counts(jobs: Jobs) -> None:
    """Of several calls of `fail()` and `cancel()` the last one holds."""
    with jobs.track("sql") as job:
        job.cancel()
        job.fail("a")
        job.fail("b")
    assert {("sql", "failed", "b"): 1.0} == jobs.processed()


def test_type_and_labels_may_be_set_until_the_end(jobs: Jobs) -> None:
    """A job ends under the type and labels that it has then, and was running under the first."""
    with jobs.track("?", pool="cpu", tenant="?") as job:
        job.job_type = "sql"
        job.set_labels(tenant="a")
        jobs.work(3)
        assert 1.0 == jobs.running("?", pool="cpu", tenant="?")
    assert {("sql", "completed", "", "cpu", "a"): 1.0} == jobs.processed()
    assert 0.0 == jobs.running("?", pool="cpu", tenant="?")
    assert (3.0, None) == (
        jobs.seconds("sql", pool="cpu", tenant="a"),
        jobs.running("sql", pool="cpu", tenant="a"),
    )


def test_label_that_becomes_known_in_the_job(jobs: Jobs) -> None:
    """`set_labels()` may add a label, and the gauge goes back to zero under the labels it had."""
    with jobs.track("http") as job:
        job.set_labels(host="example.org")
    assert {("http", "completed", "", "example.org"): 1.0} == jobs.processed()
    assert 0.0 == jobs.running("http")


@pytest.mark.parametrize("name", ["status", "job_type", "no-good"])
def test_label_name_that_is_not_valid_is_refused_in_the_job(jobs: Jobs, name: str) -> None:
    """A wrong label name raises where it is set, and the job ends under the labels it had."""
    with jobs.track("http") as job, pytest.raises(InvalidMetricError, match=name):
        job.set_labels(**{name: "x"})
    assert {("http", "completed", ""): 1.0} == jobs.processed()


def test_one_object_for_one_job_after_the_other(jobs: Jobs) -> None:
    """What one job said of itself does not hold for the next one of the same object."""
    track = jobs.track("sql")
    with track:
        track.fail("a")
    with track:
        pass
    assert {("sql", "failed", "a"): 1.0, ("sql", "completed", ""): 1.0} == jobs.processed()


def tool(result: object) -> Any:
    """Return a job of each kind of function that has a result, which is the given one."""

    def function() -> object:
        return result

    async def coroutine() -> object:
        return result

    def generator() -> Generator[int, None, object]:
        yield 1
        return result

    return function, coroutine, generator


RUNS: list[Callable[[Any], Any]] = [
    lambda call: call(),
    lambda call: asyncio.run(call()),
    lambda call: list(call()),
]


@pytest.mark.parametrize("kind", range(3), ids=["function", "coroutine", "generator"])
@pytest.mark.parametrize(
    ("result", "status"), [({"status": "error"}, "failed"), ({"status": "success"}, "completed")]
)
def test_result_says_how_the_job_ended(
    jobs: Jobs, kind: int, result: dict[str, str], status: str
) -> None:
    """An `outcome` tells a job that returned an error from one that returned a result."""
    track = jobs.track(
        "http", outcome=lambda result: "failed" if result["status"] == "error" else None
    )
    RUNS[kind](track(tool(result)[kind]))
    assert {("http", status, ""): 1.0} == jobs.processed()
    assert 0.0 == jobs.running("http")


@pytest.mark.parametrize(
    ("verdict", "end"),
    [
        (None, ("completed", "")),
        ("completed", ("completed", "")),
        ("cancelled", ("cancelled", "")),
        ("failed", ("failed", "")),
        (("failed", "timeout"), ("failed", "timeout")),
        (("failed", None), ("failed", "None")),
        (JobError(), ("failed", "JobError")),
        (asyncio.CancelledError(), ("cancelled", "")),
        (True, ("unknown", "InvalidMetricError")),
        ("error", ("unknown", "InvalidMetricError")),
        (("completed", "x"), ("unknown", "InvalidMetricError")),
    ],
)
def test_what_an_outcome_may_return(jobs: Jobs, verdict: Any, end: tuple[str, str]) -> None:
    """An `outcome` returns a status, a failure with its kind, or an exception."""
    function, *_ = tool(5)
    assert 5 == jobs.track("http", outcome=lambda _: verdict)(function)()
    assert {("http", *end): 1.0} == jobs.processed()


def test_outcome_that_raises(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    """It never raises into the job: the job counts as unknown, and the log has it once."""
    function, *_ = tool({})
    decorated = jobs.track("http", outcome=lambda result: result["status"])(function)
    with caplog.at_level(logging.ERROR, "noetl_metrics_sdk"):
        assert [{}, {}] == [decorated(), decorated()]
    assert {("http", "unknown", "KeyError"): 2.0} == jobs.processed()
    assert ["the outcome of a job of type 'http' is unknown, because outcome= raises"] == [
        record.getMessage() for record in caplog.records
    ]


def test_outcome_is_not_asked_about_a_job_that_raises(jobs: Jobs) -> None:
    """A job that raises has no result, and counts by its exception."""

    @jobs.track("http", outcome=lambda _: "completed")  # type: ignore[untyped-decorator]
    def job() -> None:
        raise JobError

    with pytest.raises(JobError):
        job()
    assert {("http", "failed", "JobError"): 1.0} == jobs.processed()


def test_outcome_of_a_block_is_refused(jobs: Jobs) -> None:
    """A block has no result, so an `outcome` is refused before the job begins."""
    with pytest.raises(InvalidMetricError, match=r"a block has none: call job\.fail"):
        jobs.track("http", outcome=lambda _: None).__enter__()
    assert (0.0, {}) == (jobs.running("http"), jobs.processed())


def test_outcome_of_an_async_generator_is_refused(jobs: Jobs) -> None:
    """An asynchronous generator has no result, so an `outcome` is refused when decorating."""

    async def items() -> AsyncGenerator[int, None]:
        yield 1

    with pytest.raises(TypeError, match="asynchronous generator function, without a result"):
        jobs.track("http", outcome=lambda _: None)(items)
