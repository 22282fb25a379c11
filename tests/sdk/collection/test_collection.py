"""The client adopts collectors of other authors, and keeps them from doing harm."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

import prometheus_client
import pytest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    SummaryMetricFamily,
    UntypedMetricFamily,
)

from noetl_metrics_sdk import (
    Counter,
    Gauge,
    MetricFamily,
    MetricsClient,
    MetricType,
    Registry,
    Sample,
    Series,
)
from noetl_metrics_sdk.clock import SystemClock
from noetl_metrics_sdk.collection.collection import Collection
from noetl_metrics_sdk.process.pacing import Pacer
from noetl_metrics_sdk.queue.buffer import SampleBuffer
from noetl_metrics_sdk.testing import InMemoryTransport, ManualClock
from tests.sdk.stamped import stamped

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def registry():
    return Registry()


def delivered(registry, flushes=1, clock=None):
    transport = InMemoryTransport()
    client = MetricsClient(
        component_name="pool", registry=registry, transport=transport, system_metrics=(),
        self_metrics=False,
        flush_interval=3600.0, random=lambda: 0.99, clock=clock,
    )  # fmt: skip
    with client:
        for _ in range(flushes):
            client.flush()
        stats = client.stats()
    return transport, stats


class Families:
    """A collector of prometheus_client's form."""

    def __init__(self, *families):
        self.families = families

    def collect(self):
        yield from self.families


def test_prometheus_clients_own_registry_is_reported(registry):
    """A whole registry of prometheus_client is a collector like any other."""
    theirs = prometheus_client.CollectorRegistry()
    counter = prometheus_client.Counter("seen", "Seen", ["kind"], registry=theirs)
    counter.labels("a").inc(3)
    prometheus_client.Histogram("took", "Took", registry=theirs, buckets=[1]).observe(0.5)
    prometheus_client.Info("build", "Build", registry=theirs).info({"version": "1"})
    registry.register(theirs)
    clock = ManualClock(time.time() + 10)
    transport, stats = delivered(registry, clock=clock)
    (created,) = transport.received("seen_created")
    assert [
        (0.0, "counter", "a", pytest.approx(created.value, abs=1e-5)),
        (3.0, "counter", "a", pytest.approx(clock.time(), abs=1e-5)),
    ] == [
        (seen.value, seen.metric_type, seen.labels["kind"], seen.timestamp)
        for seen in transport.received("seen_total")
    ]
    buckets = {s.labels["le"]: s.value for s in transport.received("took_bucket")}
    assert {"1.0": 1.0, "+Inf": 1.0} == buckets
    assert "histogram" == transport.received("took_sum")[0].metric_type
    assert "gauge" == transport.received("build_info")[0].metric_type
    assert "gauge" == created.metric_type
    assert 0 == stats.invalid_samples


def test_the_default_registry_of_prometheus_client_can_be_registered(registry):
    """The client adopts prometheus_client.REGISTRY with its process and platform collectors."""
    registry.register(prometheus_client.REGISTRY)
    transport, stats = delivered(registry)
    assert 1.0 == transport.received("python_info")[0].value
    assert (0, 0) == (stats.invalid_samples, stats.collect_errors)


@pytest.mark.parametrize(
    ("family", "name", "metric_type"),
    [
        (CounterMetricFamily("a", "A", value=1), "a_total", "counter"),
        (GaugeMetricFamily("a", "A", value=1), "a", "gauge"),
        (SummaryMetricFamily("a", "A", count_value=1, sum_value=1), "a_sum", "summary"),
        (HistogramMetricFamily("a", "A", buckets=[("+Inf", 1)], sum_value=1), "a_sum", "histogram"),
        (UntypedMetricFamily("a", "A", value=1), "a", "gauge"),
        (InfoMetricFamily("a", "A", value={"x": "y"}), "a_info", "gauge"),
    ],
)
def test_every_type_of_prometheus_client_has_its_place(registry, family, name, metric_type):
    """The client reports types that the table does not have as gauges."""
    registry.register(Families(family))
    transport, _ = delivered(registry)
    assert [sample.metric_type for sample in transport.received(name)] == [metric_type]


def test_a_sample_with_a_time_of_its_own_keeps_it(registry):
    """The client sends the timestamp of a foreign sample unchanged."""
    family = GaugeMetricFamily("a", "A", labels=["x"])
    family.add_metric(["y"], 1.0, timestamp=1234.5)
    registry.register(Families(family))
    transport, _ = delivered(registry)
    assert 1234.5 == transport.received("a")[0].timestamp


def test_a_collector_that_raises_harms_no_other(registry, caplog):
    """The client counts a collector's failures, logs the first one, and collects the others."""

    class Broken:
        def collect(self):
            raise ZeroDivisionError("no figures today")

    registry.register(Broken())
    Counter("jobs", "Jobs", registry=registry).inc()
    transport, stats = delivered(registry, flushes=3)
    assert [0.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]
    assert stats.collect_errors >= 3
    assert 1 == caplog.text.count("raises; its metrics are missing")


def test_a_gauge_whose_function_raises_harms_no_other(registry, caplog):
    """A failing function leaves out its own series, and the client logs the failure once."""
    Gauge("broken", "Broken", registry=registry).set_function(lambda: 1 / 0)
    gauge = Gauge("kinds", "Kinds", ["kind"], registry=registry)
    gauge.labels("good").set(1)
    gauge.labels("bad").set_function(lambda: 1 / 0)
    transport, _ = delivered(registry, flushes=3)
    assert [] == transport.received("broken")
    assert ["good"] == [sample.labels["kind"] for sample in transport.received("kinds")]
    assert 2 == caplog.text.count("is left out while its function raises")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda family: family.add_sample("", {}, 1.0),
        lambda family: family.add_sample("a", {"": "y"}, 1.0),
        lambda family: family.add_sample("a", {"__x": "y"}, 1.0),
        lambda family: family.add_sample("a", {"x": "\x00"}, 1.0),
        lambda family: family.add_sample("a", {"x": 1}, 1.0),
        lambda family: family.add_sample("a", {}, "many"),
        lambda family: family.add_sample("a", {}, 1.0, float("nan")),
        lambda family: family.add_sample("a", None, 1.0),
    ],
)
def test_a_foreign_sample_that_is_not_valid_is_left_out_alone(registry, spoil, caplog):
    """The client counts and logs the invalid sample; the family's valid samples arrive."""
    family = GaugeMetricFamily("a", "A", value=2.0)
    spoil(family)
    registry.register(Families(family))
    transport, stats = delivered(registry)
    assert [2.0] == [sample.value for sample in transport.received("a")]
    assert stats.invalid_samples >= 1
    assert "samples of a are left out" in caplog.text


def test_a_family_of_an_unknown_type_is_left_out(registry):
    """The client counts a family of an unknown type, and does not guess the type."""
    family = GaugeMetricFamily("a", "A", value=2.0)
    family.type = "thermometer"
    registry.register(Families(family))
    transport, stats = delivered(registry)
    assert [] == transport.received("a")
    assert stats.invalid_samples >= 1


@pytest.mark.parametrize(
    "sample",
    [
        Sample(Series("own", MetricType.GAUGE, {"x": "\ud800"}), 1.0),
        Sample(Series("o w n", MetricType.GAUGE, {}), 1.0),
        Sample(Series("own", MetricType.GAUGE, {"__x": "y"}), 1.0),
        Sample(Series("own", MetricType.GAUGE, {}, help_text="\x00"), 1.0),
        Sample(Series("own", MetricType.GAUGE, {}), 1.0, float("nan")),
        Sample(Series("own", MetricType.GAUGE, {}), "many"),  # type: ignore[arg-type] # the point
    ],
)
def test_a_collector_that_builds_its_own_samples_is_checked_too(registry, sample):
    """The client leaves out a sample that would spoil a batch; the others arrive."""
    good = Sample(Series("good", MetricType.GAUGE, {}), 2.0, 3.0)
    registry.register(
        Families(MetricFamily("own", "Own", MetricType.GAUGE, samples=[sample, good]))
    )
    transport, stats = delivered(registry)
    assert [(2.0, 3.0)] == [(one.value, one.timestamp) for one in transport.received("good")]
    assert 1 == len(transport.samples)
    assert stats.invalid_samples >= 1


class Odd:
    """A collector that yields anything."""

    def __init__(self, family):
        self.family = family

    def collect(self):
        yield self.family


class Exploding:
    """A family whose samples cannot be read."""

    name = "exploding"

    @property
    def samples(self):
        raise RuntimeError("no samples today")


@pytest.mark.parametrize(
    "family",
    [
        None,
        Exploding(),
        # A natural mistake for a user of prometheus_client.
        MetricFamily("odd", "d", "gauge", samples=[Sample(Series("odd", "gauge", {}), 1.0)]),  # type: ignore[arg-type]
        MetricFamily(
            "odd", "d", MetricType.GAUGE,
            samples=[Sample(Series("odd", MetricType.GAUGE, {}), 10**400)],
        ),
    ],
)  # fmt: skip
def test_a_family_of_no_form_costs_no_other(registry, family):
    """The client counts a family without the right form, and reports the collectors around it."""
    Counter("before", "Before", registry=registry).inc()
    registry.register(Odd(family))
    Counter("after", "After", registry=registry).inc()
    transport, stats = delivered(registry)
    assert [
        ("before_total", 0.0), ("before_total", 1.0), ("after_total", 0.0), ("after_total", 1.0),
    ] == [(sample.name, sample.value) for sample in transport.samples]  # fmt: skip
    assert stats.invalid_samples >= 1
    assert (0, {}) == (stats.samples.pending, stats.samples.dropped)


def collection_of(registry, buffer, clock):
    return Collection(registry, buffer, clock, 60.0, Pacer(SystemClock().monotonic, time.sleep))


def taken(buffer, name, started_at):
    """Take all samples from the buffer; return value and seconds since the start of a name's."""
    return [
        (sample.value, sample.timestamp - started_at)
        for sample in buffer.take(100)
        if sample.name == name
    ]


class Jobs:
    """A collector that tells when its counter was zero."""

    def __init__(self, began_at):
        self.began_at = began_at
        self.count = 0

    def inc(self, amount=1):
        self.count += amount

    def collect(self):
        family = MetricFamily("jobs", "Jobs", MetricType.COUNTER)
        family.add("_total", {}, self.count, self.began_at)
        return [family]


@pytest.mark.parametrize("is_instrument", [True, False])
def test_a_beginning_that_a_full_buffer_drops_is_sent_again(registry, is_instrument):
    """A dropped sample of 0 comes with its own time before the next report, and only once."""
    clock, buffer = ManualClock(), SampleBuffer(2)
    started_at = clock.time()
    collection = collection_of(registry, buffer, clock)
    jobs = Counter("jobs", "Jobs", registry=registry) if is_instrument else Jobs(started_at)
    jobs.inc(3)
    if isinstance(jobs, Jobs):
        registry.register(jobs)
    level = Gauge("level", "Level", registry=registry)
    level.set(1)
    found = []
    for _ in range(3):
        clock.advance(5)
        collection.collect()
        found.append(taken(buffer, "jobs_total", started_at))
    jobs.inc()
    clock.advance(5)
    collection.collect()
    found.append(taken(buffer, "jobs_total", started_at))
    # The oldest of three samples, which is the sample of 0, has no room in the first collection.
    assert [[(3.0, 5.0)], [(0.0, 0.0), (3.0, 10.0)], [], [(4.0, 20.0)]] == found
    assert {"buffer_full": 1} == buffer.ledger().dropped


def test_a_full_buffer_does_not_look_at_the_instruments(registry):
    """While other threads register and collect, `record()` into a full buffer never raises."""
    buffer = SampleBuffer(10)
    collection = collection_of(registry, buffer, SystemClock())
    for number in range(300):
        Counter(f"jobs_{number}", "Jobs", registry=registry).inc()
    collection.collect()
    done = threading.Event()
    errors = []

    def record():
        try:
            while not done.is_set():
                collection.add([stamped(Series("value", MetricType.GAUGE, {}), 1.0, 1.0)])
        except Exception as error:  # noqa: BLE001 - whatever it is, a job would see it
            errors.append(error)

    threads = [threading.Thread(target=record) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(300, 700):
        Counter(f"jobs_{number}", "Jobs", registry=registry).inc()
        if number % 40 == 0:
            collection.collect()
    done.set()
    for thread in threads:
        thread.join()
    assert [] == errors


class Untouchable:
    """Stands for the collections of series, which a drop must not go through."""

    def __getattr__(self, name):
        raise AssertionError(name)


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest", "block"])
def test_a_drop_goes_through_no_list_of_series(registry, overflow):
    """What a drop costs does not grow with the series: only the next collection looks at them."""
    buffer = SampleBuffer(1, overflow=overflow)
    collection = collection_of(registry, buffer, ManualClock())
    Counter("jobs", "Jobs", registry=registry).inc()
    collection.collect()
    trackers, collection._trackers = collection._trackers, Untouchable()
    series, collection._change_filter = collection._change_filter, Untouchable()
    for _ in range(2):
        collection.add([stamped(Series("value", MetricType.GAUGE, {}), 1.0, 1.0)])
    collection._trackers, collection._change_filter = trackers, series
    assert buffer.ledger().dropped["buffer_full"] > 0


class Room:
    """A buffer that is full, on a clock that moves by what a caller waits for."""

    def __init__(self, clock, block_timeout=1.0):
        self.clock, self.block_timeout = clock, block_timeout
        self.waits = []

    def add(self, samples, when_full, wait_seconds):
        self.waits.append(wait_seconds)
        self.clock.advance(min(wait_seconds, 0.4))
        return list(samples)


def test_all_instruments_of_a_collection_have_one_time_out(registry):
    """What one of them has waited is missing to the next; another collection begins anew."""
    clock = ManualClock()
    room = Room(clock)
    collection = collection_of(registry, room, clock)
    for number in range(4):
        Counter(f"jobs_{number}", "Jobs", registry=registry).inc()
    collection.collect()
    collection.collect()
    assert [1.0, 0.6, 0.2, 0.0] * 2 == [round(seconds, 6) for seconds in room.waits]
    collection.collect_from(Families(GaugeMetricFamily("a", "A", value=1.0)))
    assert 1.0 == room.waits[-1]


class Streamed(NamedTuple):
    """A family of prometheus_client's form, whose samples can be read once."""

    name: str
    type: str
    documentation: str
    unit: str
    samples: Iterator[object]


def test_a_family_may_have_an_iterator_of_samples(registry):
    """The client reads a family's samples once, so an iterator gives all of them."""
    samples = GaugeMetricFamily("a", "A", value=2.0).samples
    registry.register(Families(Streamed("a", "gauge", "A", "", iter(samples))))
    transport, stats = delivered(registry)
    assert [2.0] == [sample.value for sample in transport.received("a")]
    assert 0 == stats.invalid_samples


def test_two_metrics_that_get_the_same_series_do_not_mix(registry, caplog):
    """Names that are converted may meet; the first metric counts, and the other is counted."""
    theirs = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("queue.length", "Q", ["k"], registry=theirs).labels("a").set(1)
    prometheus_client.Gauge("queue_length", "Q", ["k"], registry=theirs).labels("a").set(2)
    prometheus_client.Gauge("queue-length", "Q", ["k"], registry=theirs).labels("b").set(3)
    registry.register(theirs)
    transport, stats = delivered(registry)
    found = [(sample.labels["k"], sample.value) for sample in transport.received("queue_length")]
    assert [("a", 1.0), ("b", 3.0)] == found
    assert 1 == stats.invalid_samples
    assert "another metric of this collector has the series" in caplog.text
