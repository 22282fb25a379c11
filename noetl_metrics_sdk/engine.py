"""What runs inside a client: collection, buffer, batches and delivery, wired together.

Everything in it has threads, locks or counts, and is made anew in a forked child.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.batching import BatchQueue
from noetl_metrics_sdk.buffer import SampleBuffer
from noetl_metrics_sdk.collection import Collection
from noetl_metrics_sdk.exporter import Exporter
from noetl_metrics_sdk.pacing import Pacer
from noetl_metrics_sdk.periodic import PeriodicThread
from noetl_metrics_sdk.wire import SampleEncoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.config import Config
    from noetl_metrics_sdk.registry import Registry
    from noetl_metrics_sdk.transport import Registration, Transport


class Engine(NamedTuple):
    """The parts of a running client."""

    collection: Collection
    buffer: SampleBuffer
    exporter: Exporter
    collector: PeriodicThread
    system: PeriodicThread | None

    def start_threads(self) -> None:
        """Start the two or three threads."""
        for thread in (self.exporter, self.collector, self.system):
            if thread is not None:
                thread.start()


def build_engine(
    config: Config,
    *,
    registry: Registry,
    transport: Transport,
    registration: Registration | None,
    runtime_id: str | None,
    worker_id: str,
    clock: Clock,
    random: Callable[[], float],
) -> Engine:
    """Return an engine that is ready to be started.

    Args:
        config: the settings.
        registry: whose collectors are asked.
        transport: where batches go.
        registration: the component to register and keep alive; None to leave both alone.
        runtime_id: the component's id, if it is known already.
        worker_id: what tells this process apart.
        clock: the time.
        random: returns a number from 0 up to 1.
    """
    buffer = SampleBuffer(config.buffer_samples_max)
    collection = Collection(
        registry, buffer, clock, config.refresh_interval, Pacer(clock.monotonic, time.sleep)
    )
    encoder = SampleEncoder(config.labels, {"worker_id": worker_id})
    boot_id = uuid.uuid4().hex
    exporter = Exporter(
        transport=transport,
        buffer=buffer,
        batches=BatchQueue(
            buffer,
            encoder,
            boot_id,
            config.batch_samples_max,
            config.batch_bytes_max,
            Pacer(clock.monotonic, time.sleep),
        ),
        registration=registration,
        runtime_id=runtime_id,
        clock=clock,
        random=random,
        heartbeat_interval=config.heartbeat_interval,
        request_timeout=config.request_timeout,
        backoff_max=config.backoff_max,
    )

    def collect_and_deliver() -> None:
        collection.collect()
        exporter.wake()

    collector = PeriodicThread(
        "noetl-metrics-collector",
        config.flush_interval,
        collect_and_deliver,
        random,
        # Spread over the interval: the workers of a pool all start at once.
        first_delay=config.flush_interval * random(),
    )
    return Engine(
        collection, buffer, exporter, collector, _system_thread(config, collection, random)
    )


def _system_thread(
    config: Config, collection: Collection, random: Callable[[], float]
) -> PeriodicThread | None:
    if not config.system_metrics:
        return None
    from noetl_metrics_sdk.system import SystemCollector  # noqa: PLC0415 - loads psutil

    system = SystemCollector(config.system_metrics)
    return PeriodicThread(
        "noetl-metrics-system",
        config.system_interval,
        lambda: collection.collect_from(system),
        random,
        first_delay=0.0,
    )
