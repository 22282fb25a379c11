"""What a client reports on itself: `stats()`, and its own metrics at every refresh interval."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from noetl_metrics_sdk import ClientStats, Counter, MetricsClient, MetricType, Registry
from noetl_metrics_sdk.client.statistics import families_of
from noetl_metrics_sdk.queue.buffer import Ledger
from noetl_metrics_sdk.queue.spool import SpoolStats
from noetl_metrics_sdk.testing import InMemoryTransport, ManualClock, server_away
from tests.sdk.idle_delivery import wait_until_idle

CLIENT_DOCUMENT = Path(__file__).parents[3] / "docs" / "client.md"

STATS = ClientStats(
    runtime_id="7",
    samples=Ledger(added=100, sent=60, pending=30, dropped={"buffer_full": 4, "rejected": 6}),
    invalid_samples=1,
    collect_errors=2,
    batches_sent=3,
    batches_retried={"503": 4, "no_answer": 5},
    bytes_sent=6_000,
    buffer_bytes=700,
    flush_seconds=0.8,
    spool=SpoolStats(batches=9, samples=10, size_bytes=1_100, adopted=12, is_available=False),
    series={"jobs": 13, "seconds": 1},
    overflowed={"jobs": 14},
    amounts_left_out={"seconds": 15},
    label_values_replaced={"jobs": 16},
    last_error="the server is away",
    unexpected_errors={"delivery": 17, "logging": 18},
)


def values_of(stats):
    return {
        (sample.name.removeprefix("noetl_metrics_sdk_"), *sample.labels.values()): sample.value
        for family in families_of(stats)
        for sample in family.samples
    }


def test_everything_that_is_counted_is_a_metric():
    """The client reports each figure of `stats()`, by reason, cause or instrument as there."""
    assert {
        ("samples_collected_total",): 100.0,
        ("samples_sent_total",): 60.0,
        ("samples_pending",): 30.0,
        ("samples_dropped_total", "buffer_full"): 4.0,
        ("samples_dropped_total", "rejected"): 6.0,
        ("samples_invalid_total",): 1.0,
        ("collect_errors_total",): 2.0,
        ("batches_sent_total",): 3.0,
        ("batches_retried_total", "503"): 4.0,
        ("batches_retried_total", "no_answer"): 5.0,
        ("bytes_sent_total",): 6_000.0,
        ("buffer_bytes",): 700.0,
        ("flush_duration_seconds",): 0.8,
        ("series", "jobs"): 13.0,
        ("series", "seconds"): 1.0,
        ("series_overflowed_total", "jobs"): 14.0,
        ("amounts_left_out_total", "seconds"): 15.0,
        ("label_values_replaced_total", "jobs"): 16.0,
        ("unexpected_errors_total", "delivery"): 17.0,
        ("unexpected_errors_total", "logging"): 18.0,
        ("spool_bytes",): 1_100.0,
        ("spool_samples",): 10.0,
        ("spool_available",): 0.0,
        ("spool_samples_adopted_total",): 12.0,
    } == values_of(STATS)


def test_without_a_spool_nothing_is_said_of_one():
    """Without a spool the client leaves out the spool's metrics."""
    names = {name for name, *_ in values_of(STATS._replace(spool=None))}
    assert set() == {name for name in names if name.startswith("spool")}


def test_every_metric_is_documented():
    """docs/client.md has each metric with its type, its label and its unit."""
    documented = {
        name: (metric_type, label, unit)
        for name, metric_type, label, unit in re.findall(
            r"^\| `(noetl_metrics_sdk_\w+)` \| (\w+) \| `?(\w*)`? ?\| ?(\w*) ?\|",
            CLIENT_DOCUMENT.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    }
    reported = {
        sample.name: (str(family.type), *(sample.labels or [""]), family.unit)
        for family in families_of(STATS)
        for sample in family.samples
    }
    assert reported == documented


def test_every_field_of_the_stats_is_documented():
    """The table of `stats()` in docs/client.md has every field."""
    document = CLIENT_DOCUMENT.read_text(encoding="utf-8")
    fields = set(re.findall(r"^\| `(\w+)(?:\.\w+)?` \|", document, re.MULTILINE))
    assert set() == set(ClientStats._fields) - fields


@pytest.fixture
def transport():
    return InMemoryTransport()


def make_client(transport, **settings):
    return MetricsClient(
        component_name="pool", transport=transport, system_metrics=(), flush_interval=3600.0,
        **{"registry": Registry(), "random": lambda: 0.99, **settings},
    )  # fmt: skip


def test_a_client_reports_what_it_does(transport):
    """The first collection has the client's own metrics, with its labels like all others."""
    registry = Registry()
    Counter("jobs", "Jobs", ["kind"], registry=registry).labels("sql").inc()
    with make_client(transport, registry=registry, labels={"site": "a"}) as client:
        client.flush()
    (series,) = transport.received("noetl_metrics_sdk_series")
    assert (1.0, "jobs", "a") == (series.value, series.labels["instrument"], series.labels["site"])
    assert client.worker_id == series.labels["worker_id"]


def test_a_client_reports_on_itself_only_every_so_often(transport):
    """Its figures change with every report, so the client reads them once per refresh interval."""
    clock = ManualClock()
    with make_client(transport, clock=clock, refresh_interval=60.0) as client:
        client.flush()
        client.flush()
        assert 1 == len(transport.received("noetl_metrics_sdk_batches_sent_total"))
        clock.advance(60.0)
        client.flush()
        assert 2 == len(transport.received("noetl_metrics_sdk_batches_sent_total"))


def test_a_count_that_appears_later_was_zero_in_the_report_before(transport):
    """It begins with a sample of 0 with the time of that report, once; other counts need none."""
    clock = ManualClock()
    started_at = clock.time()
    with make_client(transport, clock=clock, refresh_interval=60.0, random=lambda: 0.0) as client:
        client.flush()
        transport.fail_next(server_away())
        for _ in range(3):
            clock.advance(60.0)
            client.flush()

    def reported(name):
        return [
            (sample.value, sample.timestamp - started_at)
            for sample in transport.received(f"noetl_metrics_sdk_{name}_total")
        ]

    # The attempt fails after the second report.
    assert [(0.0, 60.0), (1.0, 120.0), (1.0, 180.0)] == reported("batches_retried")[:3]
    assert [(0.0, 0.0), (1.0, 60.0), (2.0, 120.0), (3.0, 180.0)] == reported("batches_sent")[:4]


def test_a_client_reports_on_itself_at_the_end(transport):
    """The last collection of a worker has the figures up to then."""
    client = make_client(transport).start()
    client.flush()
    wait_until_idle(client)
    sent = client.stats().samples.sent
    client.record("value", 1)
    client.shutdown()
    last = transport.received("noetl_metrics_sdk_samples_sent_total")[-1]
    assert (sent, MetricType.COUNTER) == (last.value, last.metric_type)


def test_a_client_that_is_not_to_does_not_report_on_itself(transport):
    """`self_metrics=False` leaves the metrics out; `stats()` still has all of the figures."""
    with make_client(transport, self_metrics=False) as client:
        client.record("value", 1)
        client.flush()
    assert {"value"} == {sample.name for sample in transport.samples}
    assert 1 == client.stats().samples.sent


def test_failed_attempts_are_counted_by_cause(transport):
    """A status counts under its number; an attempt without an answer counts under that name."""
    transport.fail_next(server_away(), server_away(), server_away())
    transport._failures[1][0].status = None
    client = MetricsClient(
        component_name="pool", transport=transport, registry=Registry(), system_metrics=(),
        random=lambda: 0.0, self_metrics=False,
    )  # fmt: skip
    with client:
        client.record("value", 1)
        client.flush()
    assert {"503": 2, "no_answer": 1} == client.stats().batches_retried
