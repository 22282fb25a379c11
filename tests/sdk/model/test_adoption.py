"""Samples of other libraries' collectors, and when their series were zero."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import prometheus_client
import pytest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    SummaryMetricFamily,
)

from noetl_metrics_sdk.model.adoption import adopt, told_beginnings

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = 1_700_000_000.0
BEGAN_AT = NOW - 60.0


def adopted(*families: Any) -> dict[tuple[str, ...], float | None]:
    """Return the time at which each series was zero, by the sample's name and label values."""
    found: dict[tuple[str, ...], float | None] = {}
    for family in families:
        beginnings = told_beginnings(family.samples)
        for sample in family.samples:
            one = adopt(family, sample, NOW, beginnings)
            found[one.name, *one.labels.values()] = one.created_at
    return found


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> prometheus_client.CollectorRegistry:
    """Return a registry whose instruments begin one second after another."""
    seconds = iter(range(100))
    monkeypatch.setattr("prometheus_client.metrics.time.time", lambda: BEGAN_AT + next(seconds))
    return prometheus_client.CollectorRegistry()


def test_every_instrument_of_prometheus_client_tells_its_beginning(
    theirs: prometheus_client.CollectorRegistry,
) -> None:
    """All samples of a label set have the time of its own `_created`; gauges have none."""
    seen = prometheus_client.Counter("seen", "Seen", ["kind"], registry=theirs)
    seen.labels("a").inc(3)
    seen.labels("b").inc()
    took = prometheus_client.Histogram("took", "Took", ["kind"], registry=theirs, buckets=[1])
    took.labels("a").observe(0.5)
    prometheus_client.Summary("sizes", "Sizes", registry=theirs).observe(1)
    prometheus_client.Gauge("load", "Load", registry=theirs).set(1)
    prometheus_client.Info("build", "Build", registry=theirs).info({"version": "1"})
    created = {
        (sample.name.removesuffix("_created"), *sample.labels.values()): sample.value
        for family in theirs.collect()
        for sample in family.samples
        if sample.name.endswith("_created")
    }
    assert len(created) == len(set(created.values())) == 4
    assert {
        ("seen_total", "a"): created["seen", "a"],
        ("seen_total", "b"): created["seen", "b"],
        ("took_bucket", "a", "1.0"): created["took", "a"],
        ("took_bucket", "a", "+Inf"): created["took", "a"],
        ("took_count", "a"): created["took", "a"],
        ("took_sum", "a"): created["took", "a"],
        ("sizes_count",): created["sizes",],
        ("sizes_sum",): created["sizes",],
        ("load",): None,
        ("build_info", "1"): None,
        # The times themselves are gauges.
        ("seen_created", "a"): None,
        ("seen_created", "b"): None,
        ("took_created", "a"): None,
        ("sizes_created",): None,
    } == adopted(*theirs.collect())


def test_a_family_without_times_tells_no_beginning() -> None:
    """A collector of its own may make families, which need not say when they were zero."""
    counter = CounterMetricFamily("seen", "Seen", value=3)
    assert {} == told_beginnings(counter.samples)
    assert {("seen_total",): None} == adopted(counter)
    with_time = CounterMetricFamily("seen", "Seen", value=3, created=BEGAN_AT)
    assert {("seen_total",): BEGAN_AT, ("seen_created",): None} == adopted(with_time)


def test_quantiles_and_gauges_do_not_begin_at_zero() -> None:
    """A `_created` of their family says nothing about them."""
    summary = SummaryMetricFamily("sizes", "Sizes", count_value=2, sum_value=3.0)
    summary.add_sample("sizes", {"quantile": "0.5"}, 1.0)
    summary.add_sample("sizes_created", {}, BEGAN_AT)
    gauge = GaugeMetricFamily("load", "Load", value=1)
    gauge.add_sample("load_created", {}, BEGAN_AT)
    waiting = GaugeHistogramMetricFamily("waiting", "W", buckets=[("+Inf", 1)], gsum_value=1)
    waiting.add_sample("waiting_created", {}, BEGAN_AT)
    assert {
        ("sizes", "0.5"): None,
        ("sizes_count",): BEGAN_AT,
        ("sizes_sum",): BEGAN_AT,
        ("load",): None,
        ("waiting_bucket", "+Inf"): None,
        ("waiting_gcount",): None,
        ("waiting_gsum",): None,
    } == {key: at for key, at in adopted(summary, gauge, waiting).items() if "_cr" not in key[0]}


class Odd(NamedTuple):
    """A sample whose parts may be of any type."""

    name: Any = "seen_created"
    labels: Any = {}  # noqa: RUF012 - no test changes it
    value: Any = BEGAN_AT


@pytest.mark.parametrize(
    "odd",
    [
        None,
        object(),
        Odd(name=b"seen_created"),
        Odd(labels=None),
        Odd(labels={"kind": ["a"]}),
        Odd(value="yesterday"),
        Odd(value=None),
    ],
)
def test_a_sample_without_the_right_shape_tells_no_beginning(odd: Any) -> None:
    """It costs neither the family nor the beginnings that other samples tell."""
    good = Odd(labels={"kind": "a"})
    expected: Mapping[Any, float] = {("seen", frozenset({("kind", "a")})): BEGAN_AT}
    assert expected == told_beginnings([odd, good])


def test_a_time_that_is_no_number_is_told_as_it_is() -> None:
    """Whether a time is of use is for the collection to say."""
    (told,) = told_beginnings([Odd(value=math.nan)]).values()
    assert math.isnan(told)


def test_names_of_any_characters_become_names_of_the_table(
    theirs: prometheus_client.CollectorRegistry,
) -> None:
    """prometheus_client takes UTF-8 names; they are converted as OpenTelemetry's dotted ones."""
    seconds = prometheus_client.Histogram(
        "http.server.duration", "d", ["http.route"], buckets=[1], registry=theirs
    )
    seconds.labels("/a").observe(0.5)
    prometheus_client.Counter("größe", "d", registry=theirs).inc()
    prometheus_client.Gauge("1st-place", "d", ["a_b", "a-b"], registry=theirs).labels(1, 2).set(3)
    prometheus_client.Gauge("kept__as:it_is", "d", ["__x"[1:]], registry=theirs).labels("y").set(4)
    found = [
        adopt(family, sample, 5.0, told_beginnings(family.samples))
        for family in theirs.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    ]
    assert [
        ("http_server_duration_bucket", {"http_route": "/a", "le": "1.0"}, 1.0),
        ("http_server_duration_bucket", {"http_route": "/a", "le": "+Inf"}, 1.0),
        ("http_server_duration_count", {"http_route": "/a"}, 1.0),
        ("http_server_duration_sum", {"http_route": "/a"}, 0.5),
        ("gr_e_total", {}, 1.0),
        ("_1st_place", {"a_b": "2;1"}, 3.0),
        ("kept__as:it_is", {"_x": "y"}, 4.0),
    ] == [(sample.name, dict(sample.labels), sample.value) for sample in found]
    assert [True] * 5 + [False] * 2 == [sample.created_at is not None for sample in found]
