"""Lives of workers on a clock that the test moves, and the ledger of what they have counted."""

from __future__ import annotations

from collections import Counter as Tally
from typing import TYPE_CHECKING, Any, NamedTuple

from noetl_metrics_sdk import Counter, Histogram, MetricsClient, Registry, Summary
from noetl_metrics_sdk.model.numbers import format_bound
from noetl_metrics_sdk.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

BOUNDS = (1.0, 2.0, 4.0)
FLUSH_SECONDS = 60.0

Series = tuple[str, str, str, str]
"""The name of the samples, `worker_id`, `kind` and `le`; empty if the series has no such label."""

Ledger = Tally[Series]
"""What the workers have counted, by series."""


class Step(NamedTuple):
    """What a worker does after some seconds: it counts, collects, resets or removes a series."""

    seconds: float
    action: str
    kind: str
    amount: float


class Life(NamedTuple):
    """A worker from its start to its end in order; `pause` is the time since the life before."""

    worker_id: str
    pause: float
    steps: Sequence[Step]


class Instruments:
    """The instruments of a worker, which count in a ledger of their own, too."""

    def __init__(self, registry: Registry, worker_id: str) -> None:
        self._worker_id = worker_id
        self._jobs = Counter("counted_jobs", "Jobs", ["kind"], registry=registry)
        self._took = Histogram("counted_took", "Time", ["kind"], registry=registry, buckets=BOUNDS)
        self._sizes = Summary("counted_sizes", "Sizes", ["kind"], registry=registry)
        self.collected: Ledger = Tally()
        self._since_collection: Ledger = Tally()

    def do(self, step: Step) -> None:
        """Do what a step says; `collect` is the client's."""
        if step.action == "count":
            self._count(step.kind, step.amount)
        elif step.action == "reset":
            for instrument in (self._jobs, self._took, self._sizes):
                instrument.labels(step.kind).reset()
            self._forget(step.kind)
        elif step.action == "remove":
            for instrument in (self._jobs, self._took, self._sizes):
                instrument.remove(step.kind)
            self._forget(step.kind)

    def note_collection(self) -> None:
        """Note that the client has collected what was counted so far."""
        self.collected += self._since_collection
        self._since_collection = Tally()

    def _count(self, kind: str, amount: float) -> None:
        self._jobs.labels(kind).inc(amount)
        self._took.labels(kind).observe(amount)
        self._sizes.labels(kind).observe(amount)
        self._add("counted_jobs_total", kind, amount)
        for name in ("counted_took", "counted_sizes"):
            self._add(f"{name}_sum", kind, amount)
            self._add(f"{name}_count", kind, 1)
        for bound in (*BOUNDS, float("inf")):
            if amount <= bound:
                self._add("counted_took_bucket", kind, 1, format_bound(bound))

    def _add(self, name: str, kind: str, amount: float, le: str = "") -> None:
        # The ledger has numbers that binary fractions hold, so sums of them are exact.
        self._since_collection[name, self._worker_id, kind, le] += amount  # type: ignore[assignment]

    def _forget(self, kind: str) -> None:
        """Forget what was counted of a kind since the collection: no collection will see it."""
        for series in [series for series in self._since_collection if series[2] == kind]:
            del self._since_collection[series]


def live(
    lives: Iterable[Life], started_at: float, **settings: Any
) -> Iterator[tuple[float, Ledger]]:
    """Let workers live, one after the other; yield the end and the ledger of each life.

    Args:
        lives: the lives; those of one `worker_id` go on with the same series.
        started_at: when the first one starts, in seconds since the epoch.
        settings: the server's address and the component, as `MetricsClient` takes them.
    """
    clock = ManualClock(started_at)
    for life in lives:
        clock.advance(life.pause)
        registry = Registry()
        instruments = Instruments(registry, life.worker_id)
        client = MetricsClient(
            registry=registry, clock=clock, worker_id=life.worker_id, flush_interval=3_600.0,
            system_metrics=(), self_metrics=False, handle_sigterm=False, **settings,
        )  # fmt: skip
        with client:
            for step in life.steps:
                clock.advance(step.seconds)
                if step.action == "collect":
                    result = client.flush(FLUSH_SECONDS)
                    assert not result.timed_out, result
                    assert not result.dropped, result
                    instruments.note_collection()
                else:
                    instruments.do(step)
            result = client.shutdown(FLUSH_SECONDS)
        assert not result.pending, result
        assert not result.dropped, result
        instruments.note_collection()
        yield clock.time(), instruments.collected
