"""What `record()` costs with room in the buffer, and when the buffer is full.

Usage: ./scripts/bench record [--rounds N] [--calls N] [--series N] [--json FILE]
"""

from __future__ import annotations

import logging
from functools import partial
from itertools import repeat
from time import perf_counter

from rounds import medians
from tables import OURS, Report, arguments, introduce, publish

from noetl_metrics_sdk import Counter, MetricsClient, Registry
from noetl_metrics_sdk.testing import InMemoryTransport

INSTRUMENTS = 300
FULL = {"full, drop_oldest": "drop_oldest", "full, drop_newest": "drop_newest"}


def main() -> None:
    """Measure and publish the table."""
    chosen = arguments(__doc__, rounds=15, calls=10_000, series=40_000)
    introduce()
    logging.getLogger("noetl_metrics_sdk").setLevel(logging.ERROR)
    report = Report("record() with room, and into a full buffer", "ns")
    for series in (INSTRUMENTS, chosen.series):
        registry = registry_with(series)
        contenders = {OURS: partial(with_room, client_of(registry, chosen.calls), chosen.calls)}
        for name, overflow in FULL.items():
            client = client_of(registry, 1_000, overflow)
            record(client, 1_000)
            contenders[name] = partial(record, client, chosen.calls)
        report.add(f"{series:,} series", medians(contenders, chosen.rounds))
    publish([report], chosen.json)


def registry_with(series: int) -> Registry:
    """Return a registry of counters that have so many series in all."""
    registry = Registry()
    for number in range(INSTRUMENTS):
        counter = Counter(f"jobs_{number}", "Jobs", ["kind"], registry=registry)
        for kind in range(series // INSTRUMENTS):
            counter.labels(str(kind)).inc()
    return registry


def client_of(registry: Registry, samples_max: int, overflow: str = "drop_oldest") -> MetricsClient:
    """Return a client that has collected once, with an empty buffer, and delivers nothing.

    It is not started, of which it would warn.
    """
    client = MetricsClient(
        component_name="bench", registry=registry, transport=InMemoryTransport(),
        buffer_samples_max=samples_max, buffer_overflow=overflow,
    )  # fmt: skip
    engine = client._engine  # noqa: SLF001 - collects without a thread
    engine.collection.collect()
    engine.buffer.take(samples_max)
    return client


def with_room(client: MetricsClient, calls: int) -> float:
    """Return the nanoseconds of a call, beginning with an empty buffer."""
    client._engine.buffer.take(calls)  # noqa: SLF001 - empties it
    return record(client, calls)


def record(client: MetricsClient, calls: int) -> float:
    """Return the nanoseconds of a call."""
    began_at = perf_counter()
    for _ in repeat(None, calls):
        client.record("value", 0.5)
    return (perf_counter() - began_at) / calls * 1e9


if __name__ == "__main__":
    main()
