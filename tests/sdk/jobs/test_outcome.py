"""How a job ended, by what left it: exceptions of many libraries, and groups of them."""

from __future__ import annotations

import asyncio
import concurrent.futures
from typing import TYPE_CHECKING, Any

import pytest

from noetl_metrics_sdk.jobs.outcome import outcome_of_exception

if TYPE_CHECKING:
    from tests.sdk.jobs.tracked_jobs import Jobs

CANCELLED = asyncio.CancelledError()


@pytest.mark.parametrize(
    ("exception", "outcome"),
    [
        (None, ("completed", "")),
        (SystemExit(), ("completed", "")),
        (SystemExit(None), ("completed", "")),
        (SystemExit(0), ("completed", "")),
        (SystemExit(1), ("failed", "SystemExit")),
        (SystemExit("no file"), ("failed", "SystemExit")),
        (SystemExit(""), ("failed", "SystemExit")),
        (GeneratorExit(), ("cancelled", "")),
        (CANCELLED, ("cancelled", "")),
        (concurrent.futures.CancelledError(), ("cancelled", "")),
        (BaseExceptionGroup("both", [CANCELLED, CANCELLED]), ("cancelled", "")),
        (
            BaseExceptionGroup("deep", [BaseExceptionGroup("in", [CANCELLED]), GeneratorExit()]),
            ("cancelled", ""),
        ),
        (
            BaseExceptionGroup("one failed", [CANCELLED, KeyError()]),
            ("failed", "BaseExceptionGroup"),
        ),
        (ExceptionGroup("all failed", [KeyError()]), ("failed", "ExceptionGroup")),
        (KeyboardInterrupt(), ("failed", "KeyboardInterrupt")),
        (TimeoutError(), ("failed", "TimeoutError")),
    ],
)
def test_outcome_of_an_exception(exception: BaseException | None, outcome: tuple[str, str]) -> None:
    """A cancellation is no failure, and a program that exits with success has not failed."""
    assert outcome == outcome_of_exception(exception)


def test_job_whose_greenlet_is_killed(jobs: Jobs) -> None:
    """A job that gevent kills counts as cancelled."""
    gevent = pytest.importorskip("gevent", reason="gevent is not installed")

    @jobs.track("greenlet")  # type: ignore[untyped-decorator] # a partial, which takes bad input too
    def job() -> None:
        gevent.sleep(600)

    greenlet = gevent.spawn(job)
    gevent.sleep(0)
    during = jobs.running("greenlet")
    greenlet.kill()
    assert (1.0, 0.0) == (during, jobs.running("greenlet"))
    assert {("greenlet", "cancelled", ""): 1.0} == jobs.processed()


def test_job_that_a_gevent_timeout_ends(jobs: Jobs) -> None:
    """A job that takes too long has failed: gevent's Timeout is no cancellation."""
    gevent = pytest.importorskip("gevent", reason="gevent is not installed")
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.001), jobs.track("greenlet"):
        gevent.sleep(600)
    assert {("greenlet", "failed", "Timeout"): 1.0} == jobs.processed()


def test_job_that_trio_cancels(jobs: Jobs) -> None:
    """Jobs in a nursery whose scope trio cancels count as cancelled, the one around them too."""
    trio = pytest.importorskip("trio", reason="trio is not installed")

    @jobs.track("inner")  # type: ignore[untyped-decorator] # a partial, which takes bad input too
    async def inner(started: Any) -> None:
        started.set()
        await trio.sleep_forever()

    async def main() -> None:
        with trio.CancelScope() as scope:
            async with jobs.track("outer"), trio.open_nursery() as nursery:
                for _ in range(2):
                    started = trio.Event()
                    nursery.start_soon(inner, started)
                    await started.wait()
                scope.cancel()

    trio.run(main)
    assert {("inner", "cancelled", ""): 2.0, ("outer", "cancelled", ""): 1.0} == jobs.processed()
