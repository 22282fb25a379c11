"""A server is away for an hour, and then gets all the samples; on simulated time."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from noetl_metrics_sdk import MetricType, Series
from noetl_metrics_sdk.collection.change_filter import parts_of
from noetl_metrics_sdk.delivery.thread import DeliveryThread
from noetl_metrics_sdk.errors import RecoverableError
from noetl_metrics_sdk.model.stamped_sample import StampedSample
from noetl_metrics_sdk.process.pacing import Pacer
from noetl_metrics_sdk.queue.batch_queue import BatchQueue
from noetl_metrics_sdk.queue.buffer import SampleBuffer
from noetl_metrics_sdk.queue.spool import Spool
from noetl_metrics_sdk.queue.wire import SampleEncoder
from noetl_metrics_sdk.transport.protocol import Receipt, Registration
from tests.simulation import Simulation

HOUR = 3_600.0
INTERVAL = 10.0
BACKOFF_MAX = 60.0


class Server:
    """Takes one batch at a time for each of its connections, and refuses further ones.

    Args:
        simulation: the clock.
        back_at: the time until which it cannot be reached.
        connections: how many requests it works on at once; it refuses a further one.
        seconds_per_sample: how long it works on a sample, with nothing else to do.
    """

    def __init__(self, simulation, back_at, connections=1_000, seconds_per_sample=0.0001):
        self.simulation = simulation
        self.back_at = back_at
        self.connections = connections
        self.seconds_per_sample = seconds_per_sample
        self.at_work = 0
        self.attempts_away = 0
        self.arrivals = []
        self.refused = 0
        self.values = []
        self.keys = set()
        self.last_at = 0.0

    def register(self, registration, timeout):
        self.must_be_there()
        return "1"

    def heartbeat(self, registration, timeout):
        self.must_be_there()

    def goodbye(self, registration, timeout):
        self.must_be_there()

    def send(self, batch, runtime_id, timeout):
        self.must_be_there()
        self.arrivals.append(self.simulation.monotonic())
        if self.at_work >= self.connections:
            self.refused += 1
            raise RecoverableError("too much at once", 503, retry_after=5.0)
        self.at_work += 1
        # The requests under way share the server's capacity.
        self.simulation.sleep(len(batch.items) * self.seconds_per_sample * self.at_work)
        self.at_work -= 1
        assert batch.key not in self.keys
        self.keys.add(batch.key)
        self.values += [json.loads(item)["metric_value"] for item in batch.items]
        self.last_at = self.simulation.monotonic()
        return Receipt(len(batch.items))

    def close(self):
        pass

    def must_be_there(self):
        if self.simulation.monotonic() < self.back_at:
            self.attempts_away += 1
            raise RecoverableError("connection refused")


class Worker:
    """A worker's delivery, which gets some samples every ten seconds."""

    def __init__(self, simulation, server, number, spool_folder=None, series=50):
        self.simulation = simulation
        self.buffer = SampleBuffer(100_000)
        self.parts = [
            parts_of(Series("value", MetricType.GAUGE, {"n": str(n)})) for n in range(series)
        ]
        self.recorded = 0
        self.number = number
        chance = random.Random(number)
        boot_id = f"boot-{number}"
        spool = None
        if spool_folder is not None:
            spool = Spool(
                spool_folder, boot_id, bytes_max=2**30, age_max=86_400.0, clock=simulation,
                adopt=self.buffer.adopt, drop=self.buffer.settle_dropped,
            )  # fmt: skip
        self.batches = BatchQueue(
            self.buffer, SampleEncoder({}), boot_id, 5_000, 2**20,
            Pacer(simulation.monotonic, lambda _: None), spool,
        )  # fmt: skip
        self.exporter = DeliveryThread(
            transport=server, buffer=self.buffer, batches=self.batches,
            registration=Registration("pool"), runtime_id=None, clock=simulation,
            random=chance.random, heartbeat_interval=30.0, request_timeout=10.0,
            backoff_max=BACKOFF_MAX, wait=simulation.wait,
        )  # fmt: skip
        simulation.start(self.exporter.run)
        simulation.at(chance.random() * INTERVAL, self.collect)

    def collect(self):
        for form, label_set in self.parts:
            value = float(self.number * 1_000_000 + self.recorded)
            self.buffer.add([StampedSample(form, label_set, value, self.simulation.time())])
            self.recorded += 1
        self.batches.secure()
        self.exporter.wake()
        self.simulation.at(self.simulation.monotonic() + INTERVAL, self.collect)


@pytest.mark.parametrize("is_spooled", [False, True])
def test_an_hour_without_a_server_loses_nothing(tmp_path, is_spooled):
    """The samples of the hour arrive afterwards, once, in order and within the bounds."""
    simulation = Simulation()
    server = Server(simulation, back_at=HOUR)
    worker = Worker(simulation, server, 0, tmp_path / "pool" if is_spooled else None)
    simulation.run(HOUR - 1)
    in_buffer = len(worker.buffer)
    assert [] == server.values
    simulation.run(HOUR + 2 * BACKOFF_MAX)
    assert worker.recorded > 18_000
    assert list(range(worker.recorded)) == server.values
    assert (worker.recorded, worker.recorded, 0, {}) == tuple(worker.buffer.ledger())
    # With a spool, an outage takes disk and no memory.
    assert (in_buffer == 0) is is_spooled
    # Half of the longest wait on average, and shorter waits at the beginning.
    assert 60 <= server.attempts_away <= 180


def test_a_fleet_does_not_overload_the_server_that_is_back():
    """A hundred workers with a backlog come back one by one, and leave the server spare time."""
    simulation = Simulation()
    workers_count = 100
    back_at = HOUR / 4  # by then all of them wait for the longest time between two attempts
    server = Server(simulation, back_at, connections=8, seconds_per_sample=0.0008)
    workers = [Worker(simulation, server, number, series=10) for number in range(workers_count)]
    simulation.run(back_at + 300)
    recorded = sum(worker.recorded for worker in workers)
    assert recorded > 90_000
    settled = sum(worker.buffer.ledger().sent for worker in workers)
    # All but the samples collected at this moment.
    assert recorded - settled <= workers_count * 10
    assert [{}] * workers_count == [worker.buffer.ledger().dropped for worker in workers]
    assert len(set(server.values)) == len(server.values) == settled
    # The backlog is 72 seconds of the server's work. It arrives over the longest wait between two
    # attempts, and the server has to turn few batches away.
    a_second = Counter(int(at) for at in server.arrivals)
    assert max(a_second.values()) <= workers_count / 4
    assert server.refused <= len(server.arrivals) / 10
