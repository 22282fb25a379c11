"""What becomes of the metrics of a program that uses OpenTelemetry."""

from __future__ import annotations

import logging
import math
import time
from contextlib import ExitStack
from typing import cast

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    HistogramDataPoint,
    InMemoryMetricReader,
    Metric,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    PeriodicExportingMetricReader,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.metrics.view import (
    ExplicitBucketHistogramAggregation,
    ExponentialBucketHistogramAggregation,
    LastValueAggregation,
    View,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from noetl_metrics_sdk import ConfigurationError, MetricsClient, Registry
from noetl_metrics_sdk.otel import NoetlMetricExporter
from noetl_metrics_sdk.testing import InMemoryTransport, server_away

pytestmark = pytest.mark.once

MINUTES = 60_000
SCOPE = {"otel_scope_name": "orders"}


class Program:
    """A program with one meter, whose metrics arrive in memory."""

    def __init__(self, exporter_options=None, reader=None, transport=None, **options):
        self.transport = transport or InMemoryTransport()
        self.client = MetricsClient(
            component_name="otel", transport=self.transport, registry=Registry(),
            system_metrics=(), self_metrics=False, handle_sigterm=False, worker_id="w",
        )  # fmt: skip
        self.exporter = NoetlMetricExporter(self.client, **(exporter_options or {}))
        self.reader = reader or PeriodicExportingMetricReader(self.exporter, 10 * MINUTES)
        self.provider = MeterProvider([self.reader], shutdown_on_exit=False, **options)
        self.meter = self.provider.get_meter("orders")

    def samples(self):
        """Export and deliver; return all that has arrived: each name and labels with the value."""
        assert self.provider.force_flush()
        return {
            (
                sample.name,
                *sorted(set(sample.labels.items()) - {("worker_id", "w")}),
            ): sample.value
            for sample in self.transport.samples
        }


@pytest.fixture
def program():
    """Yield a function that makes programs, which end with the test."""
    with ExitStack() as stack:

        def make(**options):
            made = Program(**options)
            stack.callback(made.client.shutdown)
            stack.callback(made.provider.shutdown, 1_000)
            return made

        yield make


def series(name, **labels):
    return (name, *sorted({**SCOPE, **labels}.items()))


def test_each_kind_of_instrument_has_its_type(program):
    """Monotonic sums are counters and other sums gauges; names have units, counters `_total`."""
    running = program()
    meter = running.meter
    meter.create_counter("jobs.done", "{job}", "Jobs that are done").add(3)
    meter.create_up_down_counter("queue.size", "By").add(-2)
    meter.create_gauge("cpu.utilization", "1").set(0.25)
    meter.create_observable_counter("io", [lambda _: [Observation(7)]], "By")
    meter.create_observable_up_down_counter("open", [lambda _: [Observation(-1)]])
    meter.create_observable_gauge("heat", [lambda _: [Observation(21.5)]], "Cel")
    assert {
        series("jobs_done_total"): 3.0,
        series("queue_size_bytes"): -2.0,
        series("cpu_utilization_ratio"): 0.25,
        series("io_bytes_total"): 7.0,
        series("open"): -1.0,
        series("heat_celsius"): 21.5,
    } == running.samples()
    described = {(s.name, s.metric_type, s.unit, s.help_text) for s in running.transport.samples}
    assert {
        ("jobs_done_total", "counter", "", "Jobs that are done"),
        ("queue_size_bytes", "gauge", "bytes", ""),
        ("cpu_utilization_ratio", "gauge", "ratio", ""),
        ("io_bytes_total", "counter", "bytes", ""),
        ("open", "gauge", "", ""),
        ("heat_celsius", "gauge", "celsius", ""),
    } == described


def test_a_histogram_has_cumulative_buckets(program):
    """A bucket counts values up to its bound, infinity is last, and the sum is reported."""
    bounds = ExplicitBucketHistogramAggregation([0.5, 1])
    running = program(views=[View(instrument_name="wait", aggregation=bounds)])
    wait = running.meter.create_histogram("wait", "s")
    for seconds in (0.5, 0.75, 8):
        wait.record(seconds, {"le": "own", "exported_le": "other"})
    assert {
        series(
            "wait_seconds_bucket", le="0.5", exported_le="other", exported_exported_le="own"
        ): 1.0,
        series(
            "wait_seconds_bucket", le="1.0", exported_le="other", exported_exported_le="own"
        ): 2.0,
        series(
            "wait_seconds_bucket", le="+Inf", exported_le="other", exported_exported_le="own"
        ): 3.0,
        series("wait_seconds_count", exported_le="other", exported_exported_le="own"): 3.0,
        series("wait_seconds_sum", exported_le="other", exported_exported_le="own"): 9.25,
    } == running.samples()
    assert {"histogram"} == {sample.metric_type for sample in running.transport.samples}


def test_an_exponential_histogram_has_its_own_boundaries_as_buckets(program):
    """Zero and both signs are counted; a boundary is a power of the base."""
    running = program(views=[
        View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation(4, 0))
    ])  # fmt: skip
    change = running.meter.create_histogram("change")
    for amount in (0, 1.5, 3, 3.5):
        change.record(amount)
    assert {
        series("change_bucket", le="0.0"): 1.0,
        series("change_bucket", le="1.0"): 1.0,
        series("change_bucket", le="2.0"): 2.0,
        series("change_bucket", le="4.0"): 4.0,
        series("change_bucket", le="+Inf"): 4.0,
        series("change_count"): 4.0,
        series("change_sum"): 8.0,
    } == running.samples()


def test_a_boundary_of_an_exponential_histogram_stays_when_the_scale_falls(program):
    """A wider range halves the number of boundaries; the remaining ones keep counting."""
    running = program(views=[
        View(instrument_name="*", aggregation=ExponentialBucketHistogramAggregation(4, 20))
    ])  # fmt: skip
    size = running.meter.create_histogram("size")
    size.record(1.1)
    size.record(1.9)
    before = running.samples()
    size.record(100)
    after = running.samples()
    assert 3.0 == after[series("size_bucket", le="+Inf")]
    assert 2.0 == after[series("size_bucket", le="16.0")]
    bounds = [[float(dict(key[1:])["le"]) for key in found if key[0] == "size_bucket"]
              for found in (before, after)]  # fmt: skip
    assert {2.0, math.inf} <= set(bounds[0]) & set(bounds[1])


def test_views_rename_and_drop_attributes(program):
    """The table has what a View makes of an instrument."""
    running = program(views=[
        View(instrument_name="reads", name="orders.read", attribute_keys={"http.method"}),
        View(instrument_name="level", aggregation=LastValueAggregation()),
    ])  # fmt: skip
    running.meter.create_counter("reads").add(2, {"http.method": "GET", "user": "x"})
    level = running.meter.create_counter("level")
    level.add(4)
    level.add(5)
    assert {
        series("orders_read_total", http_method="GET"): 2.0,
        series("level"): 5.0,
    } == running.samples()


def test_attributes_become_labels(program):
    """Values become text; a label with the name of a scope's label gets another name."""
    running = program()
    attributes = {"a.b": True, "n": 3, "list": ("x", "y"), "otel.scope.name": "mine"}
    running.meter.create_counter("reads").add(1, attributes)
    labels = {"a_b": "true", "n": "3", "list": '["x","y"]', "exported_otel_scope_name": "mine"}
    assert {series("reads_total", **labels): 1.0} == running.samples()


def test_scope_and_resource_become_labels(program):
    """The scope's name, version and attributes always become labels, the resource's on request."""
    running = program(
        exporter_options={"resource_labels": ("service.name", "absent")},
        resource=Resource({"service.name": "shop", "service.version": "2"}),
    )
    meter = running.provider.get_meter("lib", "1.2", attributes={"short.name": "l"})
    meter.create_counter("reads").add(1)
    labels = {
        "otel_scope_name": "lib", "otel_scope_version": "1.2", "otel_scope_short_name": "l",
        "service_name": "shop",
    }  # fmt: skip
    assert {series("reads_total", **labels): 1.0} == running.samples()


def test_a_data_point_keeps_its_time(program):
    """The time of a sample is the time at which OpenTelemetry collected it."""
    running = program(reader=InMemoryMetricReader())
    running.meter.create_gauge("level").set(1)
    data = collected(running.reader)
    (point,) = data.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert MetricExportResult.SUCCESS is running.exporter.export(data)
    assert running.exporter.force_flush()
    (sample,) = running.transport.samples
    assert point.time_unix_nano / 1e9 == pytest.approx(sample.timestamp, abs=1e-6)


STARTED_AT, TAKEN_AT = 1_764_000_000, 1_764_000_010


def exported(running, *metrics):
    """Export metrics; return name, value and time of each sample that has arrived."""
    assert MetricExportResult.SUCCESS is running.exporter.export(of_scope(*metrics))
    assert running.exporter.force_flush()
    return [(s.name, s.value, s.timestamp) for s in running.transport.samples]


def sum_of(value, *, taken_at=TAKEN_AT, started_at=STARTED_AT, is_monotonic=True):
    point = NumberDataPoint({}, started_at * 10**9, taken_at * 10**9, value)
    data = Sum([point], AggregationTemporality.CUMULATIVE, is_monotonic=is_monotonic)
    return Metric("reads", "", "", data)


def test_a_count_was_zero_at_the_start_time_of_its_data_point(program):
    """A sample of 0 with that time precedes the first report, and the first after a restart."""
    running = program(reader=InMemoryMetricReader())
    for data in (
        sum_of(3),
        sum_of(4, taken_at=TAKEN_AT + 10),
        sum_of(5, taken_at=TAKEN_AT + 20, started_at=TAKEN_AT + 15),
    ):
        samples = exported(running, data)
    # The client's clock is not the data points', which it does not touch.
    assert [
        ("reads_total", 0.0, STARTED_AT), ("reads_total", 3.0, TAKEN_AT),
        ("reads_total", 4.0, TAKEN_AT + 10),
        ("reads_total", 0.0, TAKEN_AT + 15), ("reads_total", 5.0, TAKEN_AT + 20),
    ] == samples  # fmt: skip


def test_the_parts_of_a_histogram_were_zero_at_its_start_time(program):
    """Buckets that have counted, the sum and the count do have samples of 0."""
    running = program(reader=InMemoryMetricReader())
    point = HistogramDataPoint(
        {}, STARTED_AT * 10**9, TAKEN_AT * 10**9, 1, 0.5, [0, 1], [0.25], 0.5, 0.5
    )
    data = HistogramData([point], AggregationTemporality.CUMULATIVE)
    assert [
        ("wait_bucket", 0.0, TAKEN_AT),
        ("wait_bucket", 0.0, STARTED_AT), ("wait_bucket", 1.0, TAKEN_AT),
        ("wait_count", 0.0, STARTED_AT), ("wait_count", 1.0, TAKEN_AT),
        ("wait_sum", 0.0, STARTED_AT), ("wait_sum", 0.5, TAKEN_AT),
    ] == exported(running, Metric("wait", "", "", data))  # fmt: skip


def test_what_does_not_count_from_zero_has_no_start_time(program):
    """Neither a sum that may fall nor a gauge was zero, and a start time of 0 is not known."""
    running = program(reader=InMemoryMetricReader())
    point = NumberDataPoint({}, STARTED_AT * 10**9, TAKEN_AT * 10**9, 2)
    assert [("reads", 1.0, TAKEN_AT), ("level", 2.0, TAKEN_AT)] == exported(
        running, sum_of(1, is_monotonic=False), Metric("level", "", "", Gauge([point]))
    )
    unknown = program(reader=InMemoryMetricReader())
    assert [("reads_total", 1.0, TAKEN_AT)] == exported(unknown, sum_of(1, started_at=0))


def test_all_instruments_are_cumulative():
    """For every kind of instrument, the exporter asks its reader for cumulative values."""
    client = MetricsClient(
        component_name="otel", transport=InMemoryTransport(), registry=Registry()
    )
    with client:
        preferred = NoetlMetricExporter(client)._preferred_temporality
    assert preferred is not None
    assert {AggregationTemporality.CUMULATIVE} == set(preferred.values())
    assert {Counter, Histogram, UpDownCounter} < set(preferred)


def test_a_delta_is_refused_counted_and_logged_once(program, caplog):
    """The exporter refuses deltas from a reader, as it does not know their sum."""
    deltas = InMemoryMetricReader({Counter: AggregationTemporality.DELTA})
    running = program(reader=deltas)
    reads = running.meter.create_counter("reads")
    level = running.meter.create_up_down_counter("level")
    for _ in range(2):
        reads.add(1, {"a": 1})
        reads.add(1, {"a": 2})
        level.add(1)
        assert MetricExportResult.FAILURE is running.exporter.export(collected(deltas))
    assert running.exporter.force_flush()
    assert [1.0, 2.0] == [sample.value for sample in running.transport.samples]
    assert 4 == running.client.stats().invalid_samples
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert 1 == len(warnings)
    assert "samples of reads are left out: its temporality is DELTA" in warnings[0]
    assert "prefer AggregationTemporality.CUMULATIVE, which is the default" in warnings[0]


def test_two_instruments_of_one_name_do_not_mix(program, caplog):
    """A second instrument's series, or a second type, under one name is refused and counted."""
    running = program()
    running.meter.create_counter("reads.a").add(1)
    running.meter.create_counter("reads/a").add(2)
    running.meter.create_counter("reads-a").add(3, {"own": "label"})
    running.meter.create_gauge("size").set(1)
    running.meter.create_histogram("size/").record(1)
    assert {
        series("reads_a_total"): 1.0, series("reads_a_total", own="label"): 3.0, series("size"): 1.0
    } == running.samples()  # fmt: skip
    assert 2 == running.client.stats().invalid_samples
    assert "another instrument has the series 'reads_a'" in caplog.text
    assert "'size' is a gauge already" in caplog.text


def collected(reader):
    data = reader.get_metrics_data()
    assert data is not None
    return data


def of_scope(*metrics):
    scope = InstrumentationScope("orders")
    return MetricsData([ResourceMetrics(Resource({}), [ScopeMetrics(scope, metrics, "")], "")])


def test_nan_poisons_no_counter(program):
    """A counter that is NaN is refused; a gauge may be NaN; a histogram loses its sum.

    The SDK of OpenTelemetry does not let a program add or record NaN, but a data point may
    have it.
    """
    running = program(reader=InMemoryMetricReader())
    points = [NumberDataPoint({}, 0, 1_764_000_000 * 10**9, math.nan)]
    wait = HistogramDataPoint({}, 0, 1_764_000_000 * 10**9, 1, math.nan, [1], [], 0, 0)
    cumulative = AggregationTemporality.CUMULATIVE
    data = of_scope(
        Metric("reads", "", "", Sum(points, cumulative, is_monotonic=True)),
        Metric("level", "", "", Gauge(points)),
        Metric("wait", "", "", HistogramData([wait], cumulative)),
    )
    assert MetricExportResult.FAILURE is running.exporter.export(data)
    assert running.exporter.force_flush()
    values = {sample.name: sample.value for sample in running.transport.samples}
    assert math.isnan(values.pop("level"))
    assert {"wait_bucket": 1.0, "wait_count": 1.0} == values
    assert 2 == running.client.stats().invalid_samples


def test_a_sum_that_can_fall_is_left_out(program):
    """A histogram with negative observations has no sum: a drop would look like a restart."""
    buckets = ExplicitBucketHistogramAggregation([0])
    running = program(views=[View(instrument_name="change", aggregation=buckets)])
    running.meter.create_up_down_counter("change").add(-1)
    assert {
        series("change_bucket", le="0.0"): 1.0,
        series("change_bucket", le="+Inf"): 1.0,
        series("change_count"): 1.0,
    } == running.samples()


def test_one_bad_metric_costs_no_other(program):
    """Data of an unknown form and labels that cannot be stored are refused, and nothing else."""
    running = program(reader=InMemoryMetricReader())
    running.meter.create_gauge("level").set(1)
    running.meter.create_counter("writes").add(1, {"path": "\x00"})
    (resource,) = collected(running.reader).resource_metrics
    (scope,) = resource.scope_metrics
    data = of_scope(Metric("odd", "", "", cast("Sum", None)), *scope.metrics)
    assert MetricExportResult.FAILURE is running.exporter.export(data)
    assert running.exporter.force_flush()
    assert ["level"] == [sample.name for sample in running.transport.samples]
    assert 2 == running.client.stats().invalid_samples


def test_an_idle_series_is_not_sent_again(program):
    """As with other collectors, an unchanged series waits for the refresh interval."""
    running = program()
    running.meter.create_up_down_counter("open").add(1)
    running.meter.create_up_down_counter("idle").add(1)
    running.samples()
    running.meter.create_up_down_counter("open").add(1)
    running.samples()
    assert [1.0, 2.0] == [s.value for s in running.transport.received("open")]
    assert [1.0] == [s.value for s in running.transport.received("idle")]


def test_a_full_buffer_is_a_failed_export():
    """An export without room in the buffer fails, and the ledger counts the dropped samples."""
    client = MetricsClient(
        component_name="otel", transport=InMemoryTransport(), registry=Registry(),
        system_metrics=(), self_metrics=False, buffer_samples_max=1, buffer_overflow="drop_newest",
    )  # fmt: skip
    with client:
        exporter = NoetlMetricExporter(client)
        reader = InMemoryMetricReader()
        meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("orders")
        for number in range(3):
            meter.create_gauge(f"level{number}").set(1)
        assert MetricExportResult.FAILURE is exporter.export(collected(reader))
        assert {"buffer_full": 2} == client.stats().samples.dropped


def test_after_the_shutdown_an_export_fails(program, caplog):
    """A late export is refused and logged once; a second shutdown does nothing."""
    running = program(reader=InMemoryMetricReader())
    running.meter.create_counter("reads").add(1)
    data = collected(running.reader)
    running.exporter.shutdown()
    running.exporter.shutdown()
    results = [running.exporter.export(data) for _ in range(2)]
    assert [MetricExportResult.FAILURE] * 2 == results
    assert 1 == caplog.text.count("an export after the shutdown is refused")


def test_a_client_that_was_shut_down_fails_exports(program):
    """Without a client that delivers, no export succeeds."""
    running = program(reader=InMemoryMetricReader())
    running.client.shutdown()
    running.meter.create_counter("reads").add(1)
    data = collected(running.reader)
    assert MetricExportResult.FAILURE is running.exporter.export(data)
    with pytest.raises(ConfigurationError, match="was shut down"):
        NoetlMetricExporter(running.client)


def test_the_last_collection_is_delivered_by_the_shutdown(program):
    """Shutting the provider down exports and delivers; a client that it was given goes on."""
    running = program()
    running.meter.create_up_down_counter("open").add(5)
    running.provider.shutdown()
    assert [5.0] == [sample.value for sample in running.transport.samples]
    running.client.record("more", 1)
    assert 0 == running.client.flush().pending


def test_deadlines_are_obeyed_with_no_server():
    """Flushing and shutting down return in time, and say that the time was not enough."""
    transport = InMemoryTransport()
    transport.fail_next(*[server_away()] * 1_000)
    running = Program(transport=transport)
    running.meter.create_up_down_counter("open").add(1)
    started_at = time.monotonic()
    running.reader.collect()
    assert not running.exporter.force_flush(timeout_millis=300)
    running.provider.shutdown(timeout_millis=700)
    assert time.monotonic() - started_at < 10  # both would take 30 by default
    assert 1 == running.client.shutdown(0).pending
