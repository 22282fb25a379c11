"""Have a small fleet report for twenty minutes of its own clock, by the real SDK and server."""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from noetl_metrics_sdk import MetricsClient, Registry
from noetl_metrics_sdk.jobs.collector import job_collector_of
from noetl_metrics_sdk.testing import ManualClock
from server_stub.statistics import Statistics
from tests.grafana import TimeRange

if TYPE_CHECKING:
    from collections.abc import Callable

POOL, SERVER = "chart's pool", "chart-server"
WORKERS, SERVER_ID = ("chart-a", "chart-b"), "chart-s"
STEP_SECONDS = 15
STEPS = 80


class Process:
    """A process of the fleet: a client with a registry and a clock."""

    def __init__(self, url: str, clock: ManualClock, registry: Registry, **options: str) -> None:
        self.clock = clock
        self.registry = registry
        self.client = MetricsClient(
            url,
            registry=registry,
            clock=clock,
            # No collection comes by itself: the first one is an hour away.
            random=lambda: 1.0,
            flush_interval=3_600,
            system_interval=3_600,
            system_metrics=["cpu", "memory", "process"],
            handle_sigterm=False,
            **options,  # type: ignore[arg-type]  # names of settings that are texts
        ).start()

    def report(self) -> None:
        system = self.client._engine.system
        assert system is not None
        system.run_now(self.clock.monotonic() + 60, self.clock)
        assert 0 == self.client.flush(60).pending


def worker(process: Process, dice: random.Random) -> Callable[[], None]:
    """Return the function that does a step of a worker."""
    instruments = job_collector_of(process.registry).instruments(())

    def step() -> None:
        for _ in range(dice.randint(0, 20)):
            instruments.duration.labels("sql").observe(dice.lognormvariate(-2, 1.5))
            outcome = ("failed", "OSError") if dice.random() < 0.2 else ("completed", "")
            instruments.processed.labels("sql", *outcome).inc()
        instruments.in_progress.labels("sql").set(dice.choice([1, 1, 1, 2, 5]))
        if dice.random() < 0.5:
            # No server takes a sample of 1970: the server drops it and counts it.
            process.client.record("ancient", 1, timestamp=1.0)
        process.report()

    return step


def server(process: Process, statistics: Statistics, dice: random.Random) -> Callable[[], None]:
    """Return the function that counts a step of a server."""

    def step() -> None:
        statistics.samples_inserted.inc(dice.randint(100, 200))
        statistics.samples_rejected.labels("invalid_name").inc(dice.randint(0, 3))
        if dice.random() < 0.1:
            statistics.partitions_created.inc()
            statistics.partitions_dropped.inc()
        process.report()

    return step


def observe(url: str) -> TimeRange:
    """Have the fleet report; return the time of its reports, in whole buckets of two minutes."""
    dice = random.Random(20_251_125)
    end = int(time.time()) // 120 * 120
    start = end - STEPS * STEP_SECONDS
    clock = ManualClock(start + 0.25)
    with ExitStack() as stack:

        def started(registry: Registry, name: str, **options: str) -> Process:
            process = Process(url, clock, registry, component_name=name, **options)
            stack.callback(process.client.shutdown)
            return process

        first, second = (started(Registry(), POOL, worker_id=name) for name in WORKERS)
        statistics = Statistics()
        serving = started(
            statistics.registry, SERVER, component_type="server_api", worker_id=SERVER_ID
        )
        steps = [worker(first, dice), worker(second, dice), server(serving, statistics, dice)]
        for number in range(STEPS):
            if number == STEPS // 2:
                # The worker starts anew under its old id: its counters begin at 0.
                second.client.shutdown()
                clock.advance(1)
                steps[1] = worker(started(Registry(), POOL, worker_id=WORKERS[1]), dice)
            for step in steps:
                step()
            clock.advance(STEP_SECONDS)
    return TimeRange(start, end)
