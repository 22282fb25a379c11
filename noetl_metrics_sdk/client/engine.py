"""The parts that run inside a client: collection, buffer, batches and delivery, wired together.

All of them have threads, locks, files or counts. So a forked child makes them anew.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from noetl_metrics_sdk.client.identity import identity_of_series
from noetl_metrics_sdk.client.statistics import Statistics
from noetl_metrics_sdk.collection.collection import Collection
from noetl_metrics_sdk.delivery.thread import DeliveryThread
from noetl_metrics_sdk.process.pacing import Pacer
from noetl_metrics_sdk.process.periodic_thread import PeriodicThread
from noetl_metrics_sdk.queue.batch_queue import BatchQueue
from noetl_metrics_sdk.queue.buffer import SampleBuffer
from noetl_metrics_sdk.queue.spool import Spool
from noetl_metrics_sdk.queue.wire import SampleEncoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from noetl_metrics_sdk.client.config import Config
    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.model.stamped_sample import StampedSample
    from noetl_metrics_sdk.registry import Registry
    from noetl_metrics_sdk.transport.protocol import Registration, Transport

_FOLDER_NAME_MAX = 200


class Engine(NamedTuple):
    """The parts of a running client."""

    collection: Collection
    buffer: SampleBuffer
    batches: BatchQueue
    delivery_thread: DeliveryThread
    statistics: Statistics
    turn: CollectingTurn
    collector: PeriodicThread
    system: PeriodicThread | None

    def start_threads(self) -> None:
        """Start the threads: delivery, collection, and the system metrics if they are wanted.

        Threads that have been started already stay as they are.

        Raises:
            RuntimeError: the process can have no more threads.
        """
        self.delivery_thread.start()
        for source in self.sources():
            source.start()

    def sources(self) -> list[PeriodicThread]:
        """Return the threads that put samples into the buffer."""
        return [self.collector, *([self.system] if self.system is not None else [])]

    def record(self, sample: StampedSample) -> None:
        """Buffer a sample that a caller has recorded, from whichever thread.

        A handler of the worker's may record what it finds in this package's log, and is then called
        by a thread of the package. The delivery thread would wait for itself if it waited for room,
        and would log each request that such a sample causes, which would be recorded again. So it
        records nothing, which is counted, and the other two threads wait for no room.
        """
        caller = threading.get_ident()
        if caller == self.delivery_thread.ident:
            self.buffer.refuse(1, "own_log")
            return
        sources = (self.collector, self.system)
        waits = all(caller != source.ident for source in sources if source is not None)
        self.collection.add([sample], None if waits else 0.0)
        self.delivery_thread.wake_for_full_batch()


@dataclass
class CollectingTurn:
    """One turn of the collecting thread.

    Args:
        collection: collects.
        batches: puts the collected samples on disk, if the client has a spool.
        delivery_thread: delivers the samples.
        statistics: the client's metrics about itself, which a turn collects after each
            `refresh_interval`; None if they are not wanted.
        clock: the monotonic clock.
        refresh_interval: the seconds between two reports of the client about itself. They are that
            rare because these metrics change with every report.
    """

    collection: Collection
    batches: BatchQueue
    delivery_thread: DeliveryThread
    statistics: Statistics | None
    clock: Clock
    refresh_interval: float
    is_last: bool = False
    _report_due_at: float = 0.0

    def __post_init__(self) -> None:
        """Make the first turn report the client's metrics about itself."""
        self._report_due_at = self.clock.monotonic()

    def __call__(self) -> None:
        """Collect, put the samples on disk if that is wanted, and wake the delivery thread."""
        self.collection.collect()
        now = self.clock.monotonic()
        if self.statistics is not None and (self.is_last or now >= self._report_due_at):
            self._report_due_at = now + self.refresh_interval
            self.collection.collect_from(self.statistics)
        self.batches.secure()
        self.delivery_thread.wake()


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
        registry: the registry whose collectors are asked.
        transport: sends the batches.
        registration: the component to register and keep alive; None if the client does neither.
        runtime_id: the component's id, if it is known already.
        worker_id: the label that tells this process from the others of its component.
        clock: the time.
        random: returns a number from 0 up to 1.
    """
    buffer = SampleBuffer(
        config.buffer_samples_max,
        config.buffer_bytes_max,
        config.buffer_overflow,
        config.buffer_block_timeout,
    )
    batches = _batch_queue(config, buffer, worker_id, clock)
    delivery_thread = DeliveryThread(
        transport=transport,
        buffer=buffer,
        batches=batches,
        registration=registration,
        runtime_id=runtime_id,
        clock=clock,
        random=random,
        heartbeat_interval=config.heartbeat_interval,
        request_timeout=config.request_timeout,
        backoff_max=config.backoff_max,
    )
    pacer = Pacer(clock.monotonic, time.sleep)
    collection = Collection(
        registry,
        buffer,
        clock,
        config.refresh_interval,
        pacer,
        delivery_thread.wake,
        identity_of_series(config, transport, worker_id),
    )
    periodic_threads: dict[str, PeriodicThread] = {}
    statistics = Statistics(
        registry, collection, buffer, batches, delivery_thread, clock, periodic_threads
    )
    reported = statistics if config.self_metrics else None
    turn = CollectingTurn(
        collection, batches, delivery_thread, reported, clock, config.refresh_interval
    )
    collector = _collecting_thread(config, turn, random)
    periodic_threads["collection"] = collector
    system = _system_thread(config, collection, random)
    if system is not None:
        periodic_threads["system"] = system
    return Engine(collection, buffer, batches, delivery_thread, statistics, turn, collector, system)


def _collecting_thread(
    config: Config, turn: CollectingTurn, random: Callable[[], float]
) -> PeriodicThread:
    return PeriodicThread(
        "noetl-metrics-collector",
        config.flush_interval,
        turn,
        random,
        # Spread over the interval, because the workers of a pool all start at once.
        first_delay=config.flush_interval * random(),
    )


def _batch_queue(config: Config, buffer: SampleBuffer, worker_id: str, clock: Clock) -> BatchQueue:
    boot_id = uuid.uuid4().hex
    return BatchQueue(
        buffer,
        SampleEncoder(config.labels, {"worker_id": worker_id}),
        boot_id,
        config.batch_samples_max,
        config.batch_bytes_max,
        Pacer(clock.monotonic, time.sleep),
        _spool(config, boot_id, clock, buffer),
    )


def _spool(config: Config, boot_id: str, clock: Clock, buffer: SampleBuffer) -> Spool | None:
    if config.spool_directory is None or config.disabled:
        return None
    if config.runtime_id is not None:
        component = f"runtime-{config.runtime_id}"
    else:
        assert config.component_name is not None
        # Only processes of the same component may take each other's batches over.
        component = f"{config.component_type}-{quote(config.component_name, safe='')}"
    if len(component) > _FOLDER_NAME_MAX:
        # A hash of the name: each component still has a name of its own, and always the same one.
        component = str(uuid.uuid5(uuid.NAMESPACE_URL, component))
    return Spool(
        # Absolute, because the process may change its working directory later.
        Path(config.spool_directory).absolute() / component,
        boot_id,
        bytes_max=config.spool_bytes_max,
        age_max=config.spool_age_max,
        clock=clock,
        adopt=buffer.adopt,
        drop=buffer.settle_dropped,
    )


def _system_thread(
    config: Config, collection: Collection, random: Callable[[], float]
) -> PeriodicThread | None:
    if not config.system_metrics:
        return None
    from noetl_metrics_sdk.system.collector import SystemCollector  # noqa: PLC0415 - loads psutil

    system = SystemCollector(config.system_metrics)
    return PeriodicThread(
        "noetl-metrics-system",
        config.system_interval,
        lambda: collection.collect_from(system),
        random,
        first_delay=0.0,
    )
