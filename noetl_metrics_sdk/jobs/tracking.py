"""`track_job`: measures how many jobs run, how long they take, and how they end.

The metrics are in `collector.py`. `status` is `completed`, `failed`, `cancelled` or `unknown`.
`exception` is the kind of a failure: the name of the exception class that a job raised, or what the
job says. It is empty otherwise.

Why so: docs/decisions/jobs.md.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.decoration import Function, decorate
from noetl_metrics_sdk.jobs.collector import job_collector_of
from noetl_metrics_sdk.jobs.outcome import (
    CANCELLED,
    Outcome,
    failed,
    outcome_of_exception,
    outcome_of_verdict,
)
from noetl_metrics_sdk.registry import REGISTRY, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from noetl_metrics_sdk.instruments.gauge import Gauge
    from noetl_metrics_sdk.jobs.collector import JobCollector
    from noetl_metrics_sdk.jobs.outcome import Verdict

_OWN_LABELS = ("job_type", "status", "exception")


class track_job:  # noqa: N801 - used like a function, as contextlib's classes are
    """Track one job, as a context manager, as an asynchronous one, or as a decorator.

    It decorates functions, coroutine functions, generators and asynchronous generators. Each call
    is a job. Write `with track_job(…)` anew for each job, because one object holds the time of one
    job.

    In a `with` block, the job itself may say how it ended and what it was, until its end::

        with track_job("http") as job:
            answer = fetch(url)
            job.set_labels(host=answer.host)
            if answer.error:
                job.fail("http_error")

    Args:
        job_type: the kind of the job: `http`, `sql`, `python`. Any value becomes its text, as a
            label value does.
        registry: the registry with which the metrics are registered.
        outcome: for a decorator, a function that gets the result of a job that returned, and says
            how it ended. It returns None or "completed", "failed", "cancelled", a pair of "failed"
            and a kind, or an exception. If it raises or returns something else, the job's status is
            `unknown`, `exception` names the error, and the log has the first one.
        labels: further labels. Use the same names wherever possible, because each set of names
            costs three instruments.

    Raises:
        InvalidMetricError: a label's name is not valid, or the metrics have a label of this name
            themselves; or the decorator has no brackets.
    """

    __slots__ = (
        "_collector",
        "_has_logged",
        "_in_progress",
        "_judge",
        "_label_names",
        "_label_values",
        "_said",
        "_started_at",
        "job_type",
    )

    job_type: object
    """The kind of the job. It may be set until the job ends."""

    def __init__(
        self,
        job_type: object,
        *,
        registry: Registry = REGISTRY,
        outcome: Callable[[Any], Verdict] | None = None,
        **labels: object,
    ) -> None:
        if callable(job_type):
            raise InvalidMetricError(
                f"job_type is {job_type!r}: give a string, as in @track_job(job_type='sql')"
            )
        _check_label_names(labels)
        self.job_type = job_type
        self._collector: JobCollector = job_collector_of(registry)
        self._label_names: tuple[str, ...] = tuple(sorted(labels))
        self._label_values: tuple[object, ...] = tuple(labels[name] for name in self._label_names)
        self._judge = outcome
        self._has_logged = False
        self._said: Outcome | None = None
        self._started_at = 0.0
        # A label name that is not valid raises here, before the job begins.
        self._in_progress = self._find_in_progress()

    @classmethod
    def use_buckets(cls, buckets: Sequence[float], *, registry: Registry = REGISTRY) -> None:
        """Choose the buckets of the duration, for all jobs that a registry counts.

        Call it when the program starts, before the first job ends.

        Args:
            buckets: the upper bounds in ascending order, in seconds.
            registry: the registry of the jobs.

        Raises:
            InvalidMetricError: a job has ended already, and other buckets have counted it.
        """
        job_collector_of(registry).use_buckets(buckets)

    def set_labels(self, **labels: object) -> None:
        """Set further labels, or other values for them, until the job ends.

        While the job runs, `noetl_jobs_in_progress` counts it under the labels with which it began.

        Raises:
            InvalidMetricError: a label's name is not valid, or is one of track_job's own.
        """
        _check_label_names(labels)
        together = {**dict(zip(self._label_names, self._label_values, strict=True)), **labels}
        names = tuple(sorted(together))
        self._collector.instruments(names)
        self._label_names = names
        self._label_values = tuple(together[name] for name in names)

    def fail(self, kind: object = "") -> None:
        """Say that the job has failed, although it may raise nothing.

        This holds however the block ends; the last of `fail()` and `cancel()` counts.

        Args:
            kind: the value of the label `exception`: a word of a small set, or an exception, whose
                class is taken. Each kind is a series of its own.
        """
        self._said = failed(kind)

    def cancel(self) -> None:
        """Say that the job was cancelled. This holds however the block ends."""
        self._said = CANCELLED

    def __enter__(self) -> Self:
        if self._judge is not None:
            raise InvalidMetricError(
                "outcome= gets the result of a decorated function, and a block has none: "
                "call job.fail() in the block"
            )
        # Kept, so the end lowers what this raises, whatever labels the job gets meanwhile.
        self._in_progress = self._find_in_progress()
        self._in_progress.inc()
        self._said = None
        self._started_at = perf_counter()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        duration_seconds = perf_counter() - self._started_at
        status, kind = self._said or outcome_of_exception(exception)
        job_type, others = self.job_type, self._label_values
        instruments = self._collector.instruments(self._label_names)
        self._in_progress.dec()
        instruments.duration.labels(job_type, *others).observe(duration_seconds)
        instruments.processed.labels(job_type, status, kind, *others).inc()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(exception_type, exception, traceback)

    def __call__(self, function: Function) -> Function:
        """Decorate a function, coroutine function or (asynchronous) generator function.

        Raises:
            TypeError: it cannot be called, or it is an asynchronous generator function, which has
                no result, and there is an `outcome`.
        """
        return decorate(function, self._another, None if self._judge is None else self._judge_job)

    def _another(self) -> track_job:
        job = object.__new__(track_job)
        job.job_type = self.job_type
        job._collector = self._collector
        job._label_names = self._label_names
        job._label_values = self._label_values
        job._judge = None
        return job

    def _find_in_progress(self) -> Gauge:
        gauge = self._collector.instruments(self._label_names).in_progress
        return gauge.labels(self.job_type, *self._label_values)

    def _judge_job(self, job: AbstractContextManager[Any], result: object) -> None:
        assert isinstance(job, track_job)
        assert self._judge is not None
        job._said = self._outcome_of(self._judge, result)  # noqa: SLF001 - of the same class

    def _outcome_of(self, judge: Callable[[Any], Verdict], result: object) -> Outcome:
        try:
            return outcome_of_verdict(judge(result))
        except Exception as error:  # noqa: BLE001 - the worker's own code, whatever it raises
            if not self._has_logged:
                self._has_logged = True
                _log_failing_outcome(self.job_type, error)
            return Outcome("unknown", type(error).__name__)


def _check_label_names(labels: Mapping[str, object]) -> None:
    clash = sorted(set(labels) & set(_OWN_LABELS))
    if clash:
        raise InvalidMetricError(f"label {clash[0]!r} is track_job's own: give yours another name")


def _log_failing_outcome(job_type: object, error: Exception) -> None:
    import logging  # noqa: PLC0415 - tracking jobs does not load it

    logging.getLogger("noetl_metrics_sdk").error(
        "the outcome of a job of type %r is unknown, because outcome= raises", job_type,
        exc_info=error,
    )  # fmt: skip
