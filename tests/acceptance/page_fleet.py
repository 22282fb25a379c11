"""Have worker pools report half an hour of their own clock, by the real SDK, for the page."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import NamedTuple

from noetl_metrics_sdk import MetricsClient, Registry, track_job
from noetl_metrics_sdk.jobs.collector import job_collector_of
from noetl_metrics_sdk.testing import ManualClock

STEP_SECONDS = 60
STEPS = 30

POOLS = {"orders-pool": ("orders-1", "orders-2"), "reports-pool": ("reports-1",)}


class Kind(NamedTuple):
    """A type of jobs: how many run in a step, how long they take, and why they fail."""

    name: str
    per_step: int
    seconds: float
    exceptions: tuple[str, ...]


KINDS = (
    Kind("sql", 24, 0.08, ("OperationalError", "TimeoutError")),
    Kind("http", 12, 0.4, ("ConnectionError", "TimeoutError")),
    Kind("python", 6, 3.0, ("ValueError",)),
)


class Worker:
    """A process of a pool: a client with a registry and a clock of its own."""

    def __init__(self, url: str, clock: ManualClock, pool: str, worker_id: str) -> None:
        self.registry = Registry()
        self.clock = clock
        self.client = MetricsClient(
            url,
            pool,
            worker_id=worker_id,
            registry=self.registry,
            clock=clock,
            # No collection comes by itself: the first one is an hour away.
            random=lambda: 1.0,
            flush_interval=3_600,
            system_interval=3_600,
            system_metrics=["cpu", "memory", "process"],
            handle_sigterm=False,
        ).start()

    def work(self, dice: random.Random) -> None:
        """Count the jobs of a step as `track_job` counts them, but without their time."""
        instruments = job_collector_of(self.registry).instruments(())
        for kind in KINDS:
            for _ in range(dice.randint(kind.per_step // 2, kind.per_step)):
                instruments.duration.labels(kind.name).observe(
                    kind.seconds * dice.lognormvariate(0, 0.7)
                )
                outcome = ("completed", "")
                if dice.random() < 0.1:
                    outcome = ("failed", dice.choice(kind.exceptions))
                instruments.processed.labels(kind.name, *outcome).inc()
            instruments.in_progress.labels(kind.name).set(dice.randint(0, 4))
        if dice.random() < 0.3:
            # No server takes a sample of 1970: the client counts that it was refused.
            self.client.record("ancient", 1, timestamp=1.0)

    def report(self) -> None:
        system = self.client._engine.system
        assert system is not None
        system.run_now(self.clock.monotonic() + 60, self.clock)
        assert 0 == self.client.flush(60).pending


def report_fleet(url: str) -> None:
    """Have the pools report for the last half an hour; end one of their workers in order."""
    dice = random.Random(20_261_126)
    clock = ManualClock(time.time() - STEPS * STEP_SECONDS)
    with ExitStack() as stack:
        workers = []
        for pool, worker_ids in POOLS.items():
            for worker_id in worker_ids:
                worker = Worker(url, clock, pool, worker_id)
                stack.callback(worker.client.shutdown)
                workers.append(worker)
        for _ in range(STEPS):
            for worker in workers:
                worker.work(dice)
                worker.report()
            clock.advance(STEP_SECONDS)
        for worker in workers:
            with track_job("sql", registry=worker.registry):
                pass
            worker.report()
