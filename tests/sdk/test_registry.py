"""The registry: names that clash, collectors of all kinds, and finding a value."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from noetl_metrics_sdk import (
    REGISTRY,
    Counter,
    DuplicateMetricError,
    Gauge,
    Histogram,
    InvalidMetricError,
    MetricFamily,
    MetricType,
    Registry,
    Summary,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@pytest.fixture
def registry() -> Registry:
    return Registry()


class Collector:
    """A collector that yields given families."""

    def __init__(self, *families: Any) -> None:
        self._families = families

    def collect(self) -> Iterable[Any]:
        return iter(self._families)


class DescribedCollector(Collector):
    """A collector that says beforehand what it yields."""

    def describe(self) -> Iterable[Any]:
        return iter(self._families)


def names(registry: Registry) -> list[str]:
    return [family.name for family in registry.collect()]


def test_instruments_register_themselves(registry: Registry) -> None:
    """Instruments are collected in the order in which they were made."""
    Counter("b", "d", registry=registry)
    Gauge("a", "d", registry=registry)
    Histogram("d", "d", registry=registry)
    Summary("c", "d", registry=registry)
    assert ["b", "a", "d", "c"] == names(registry)


def test_instrument_without_registry_is_in_none() -> None:
    """With `registry=None` an instrument is in no registry."""
    before = len(REGISTRY.collectors())
    counter = Counter("nowhere", "d", registry=None)
    counter.inc()
    assert before == len(REGISTRY.collectors())


def test_default_registry_is_the_root_one() -> None:
    """By default an instrument is in `REGISTRY`."""
    gauge = Gauge("of_test_default_registry", "d")
    try:
        gauge.set(3)
        assert 3.0 == REGISTRY.get_sample_value("of_test_default_registry")
    finally:
        REGISTRY.unregister(gauge)


CLASHES = [
    (Counter, "jobs", Counter, "jobs"),
    (Counter, "jobs", Counter, "jobs_total"),
    (Counter, "jobs", Gauge, "jobs"),
    (Counter, "jobs", Gauge, "jobs_total"),
    (Counter, "jobs", Gauge, "jobs_created"),
    (Gauge, "jobs_total", Counter, "jobs"),
    (Gauge, "jobs_count", Summary, "jobs"),
    (Gauge, "jobs_sum", Histogram, "jobs"),
    (Histogram, "jobs", Gauge, "jobs_bucket"),
    (Histogram, "jobs", Summary, "jobs"),
]


@pytest.mark.parametrize(("first", "name", "second", "other_name"), CLASHES)
def test_clashing_names_are_refused(
    registry: Registry, first: Any, name: str, second: Any, other_name: str
) -> None:
    """Two instruments whose samples could have one name cannot both be registered."""
    instrument = first(name, "d", registry=registry)
    with pytest.raises(DuplicateMetricError, match=r"already has jobs.*: make each instrument"):
        second(other_name, "d", registry=registry)
    assert [instrument] == registry.collectors()


def test_instrument_that_is_made_again_is_the_same(registry: Registry) -> None:
    """`get_or_create()` makes an instrument once, however often its code runs."""
    cell = "registry.get_or_create(Counter, 'rows', 'Rows', ['source']).labels('a').inc()"
    for _ in range(3):
        exec(cell, {"registry": registry, "Counter": Counter})
    assert 3.0 == registry.get_sample_value("rows_total", {"source": "a"})
    assert 1 == len(registry.collectors())


@pytest.mark.parametrize(
    ("kind", "arguments", "again"),
    [
        (Counter, {}, {}),
        (Counter, {"name": "jobs_total"}, {}),
        (Counter, {"name": "jobs", "namespace": "app"}, {"name": "app_jobs"}),
        (Gauge, {"labelnames": ["a"]}, {"labelnames": ("a",)}),
        (Histogram, {"buckets": [1, 2]}, {"buckets": (1.0, "2", "+Inf")}),
        (Summary, {"quantiles": [0.9, 0.5]}, {"quantiles": (0.5, 0.9)}),
        (Counter, {"documentation": "first"}, {"documentation": "second"}),
    ],
)
def test_same_instrument_is_found(
    registry: Registry, kind: Any, arguments: dict[str, Any], again: dict[str, Any]
) -> None:
    """The instrument is the same if it would count the same, however it is written."""
    common = {"name": "jobs", "documentation": "d"}
    made = kind(**{**common, **arguments}, registry=registry)
    assert made is registry.get_or_create(kind, **{**common, **again})


@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        ((Counter, {}), (Gauge, {}), "one is a Counter, the other a Gauge"),
        (
            (Gauge, {"labelnames": ["a"]}),
            (Gauge, {"labelnames": ["b"]}),
            "labels is ['a'] in the registry and ['b'] here",
        ),
        (
            (Gauge, {"unit": "bytes"}),
            (Gauge, {}),
            "unit is 'bytes' in the registry and '' here",
        ),
        (
            (Histogram, {"buckets": [1]}),
            (Histogram, {"buckets": [2]}),
            "buckets is [1.0, inf] in the registry and [2.0, inf] here",
        ),
        (
            (Summary, {"quantiles": [0.5]}),
            (Summary, {"quantiles": []}),
            "quantiles is (0.5,) in the registry and () here",
        ),
        (
            (Summary, {"max_age_seconds": 60.0}),
            (Summary, {}),
            "max_age_seconds is 60.0 in the registry and 600.0 here",
        ),
        (
            (Counter, {"max_series": 5}),
            (Counter, {}),
            "max_series is 5 in the registry and 2000 here",
        ),
    ],
)
def test_instrument_that_differs_is_refused(
    registry: Registry, first: Any, second: Any, difference: str
) -> None:
    """Under one name there is one instrument, and the error says how the two differ."""
    made = first[0]("jobs", "d", **first[1], registry=registry)
    with pytest.raises(DuplicateMetricError) as refused:
        registry.get_or_create(second[0], "jobs", "d", **second[1])
    kinds = first[0].__name__, second[0].__name__
    assert str(refused.value) == (
        f"the registry has {kinds[0]}('jobs'), which is not the same as {kinds[1]}('jobs'): "
        f"{difference}"
    )
    assert [made] == registry.collectors()


def test_name_that_only_overlaps_is_refused(registry: Registry) -> None:
    """A sample's name that another instrument has is refused as in its constructor."""
    Gauge("jobs_total", "d", registry=registry)
    with pytest.raises(DuplicateMetricError, match="already has jobs_total: make each"):
        registry.get_or_create(Counter, "jobs", "d")


def test_name_of_a_foreign_collector_is_refused(registry: Registry) -> None:
    """The registry does not take another library's metric for an instrument of its own."""
    registry.register(DescribedCollector(CounterMetricFamily("jobs", "d")))
    with pytest.raises(DuplicateMetricError, match="one is a DescribedCollector, the other a Cou"):
        registry.get_or_create(Counter, "jobs", "d")


def test_get_or_create_has_its_own_registry(registry: Registry) -> None:
    """An instrument cannot be asked for in one registry and made in another."""
    with pytest.raises(TypeError, match="leave registry= out"):
        registry.get_or_create(Counter, "jobs", "d", registry=Registry())
    assert [] == registry.collectors()


def test_wrong_arguments_are_refused_where_the_instrument_is_made(registry: Registry) -> None:
    """`get_or_create()` checks its arguments also if the instrument is there."""
    Counter("jobs", "d", registry=registry)
    with pytest.raises(InvalidMetricError, match="label name"):
        registry.get_or_create(Counter, "jobs", "d", ["no-good"])


def test_one_instrument_for_many_threads(registry: Registry) -> None:
    """Threads that ask for one name at the same time get the same instrument."""
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: registry.get_or_create(Counter, "jobs", "d"), range(200)))
    assert 1 == len(made)


def test_names_that_only_look_alike_are_free(registry: Registry) -> None:
    """A gauge may have a suffix that no other instrument adds to its name."""
    for name in ("jobs", "jobs_bucket", "jobs_sum", "jobs_total"):
        Gauge(name, "d", registry=registry)
    assert ["jobs", "jobs_bucket", "jobs_sum", "jobs_total"] == names(registry)


def test_refused_name_claims_nothing(registry: Registry) -> None:
    """A collector that was refused for one name does not claim its other names."""
    Gauge("a", "d", registry=registry)
    families = [MetricFamily(name, "d", MetricType.GAUGE) for name in ("b", "a")]
    with pytest.raises(DuplicateMetricError):
        registry.register(DescribedCollector(*families))
    assert "b" == Gauge("b", "d", registry=registry).name


def test_unregister_frees_the_names(registry: Registry) -> None:
    """After `unregister()` an instrument is not collected and its name is free again."""
    first = Counter("jobs", "d", registry=registry)
    registry.unregister(first)
    second = Counter("jobs", "d", registry=registry)
    assert [second] == registry.collectors()


def test_unregister_of_a_stranger_is_refused(registry: Registry) -> None:
    """Only a registered collector can be unregistered; the message shows the other one."""
    counter = Counter("jobs", "d", registry=None)
    with pytest.raises(InvalidMetricError, match=r"Counter\('jobs'\) is not registered in this"):
        registry.unregister(counter)


def test_unregistered_instrument_is_let_go(registry: Registry) -> None:
    """Neither the registry nor the fork hook keeps an instrument alive."""
    counter = Counter("jobs", "d", registry=registry)
    reference = weakref.ref(counter.definition.fork_handle)
    registry.unregister(counter)
    del counter
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("collector", [None, 5, object(), MetricType.GAUGE, len])
def test_what_cannot_collect_is_refused(registry: Registry, collector: Any) -> None:
    """A collector needs `collect()`, and the message says so."""
    with pytest.raises(InvalidMetricError, match=r"has no collect\(\) method: register an instr"):
        registry.register(collector)
    assert [] == registry.collectors()


def test_collector_is_registered_once(registry: Registry) -> None:
    """The same collector cannot be registered twice, with or without a description."""
    for collector in (Collector(), Gauge("a", "d", registry=None)):
        registry.register(collector)
        with pytest.raises(DuplicateMetricError):
            registry.register(collector)


def test_collectors_without_description_may_share_names(registry: Registry) -> None:
    """Without `describe()` the registry cannot know the names, and does not collect for them."""

    class Untouchable(Collector):
        def collect(self) -> Iterable[Any]:
            raise AssertionError

    registry.register(Untouchable())
    registry.register(Untouchable())
    assert 2 == len(registry.collectors())


def test_described_collector_claims_its_names(registry: Registry) -> None:
    """A foreign collector with `describe()` is protected like an instrument."""
    registry.register(DescribedCollector(CounterMetricFamily("jobs", "d")))
    with pytest.raises(DuplicateMetricError, match="already has jobs, jobs_created, jobs_total"):
        Counter("jobs", "d", registry=registry)


def test_collect_passes_errors_through(registry: Registry) -> None:
    """A caller that collects from the registry gets what a collector raises."""
    raised = OSError("gone")

    class Failing:
        def collect(self) -> Iterable[Any]:
            raise raised

    registry.register(Failing())
    with pytest.raises(OSError, match="gone") as caught:
        list(registry.collect())
    assert caught.value is raised


def test_collecting_may_register(registry: Registry) -> None:
    """During a collection, a collector may register another one without harm."""

    class Growing(Collector):
        def collect(self) -> Iterable[Any]:
            Gauge(f"grown_{len(registry.collectors())}", "d", registry=registry)
            return iter(())

    registry.register(Growing())
    assert [[], ["grown_1"]] == [names(registry), names(registry)[:1]]


def test_sample_value(registry: Registry) -> None:
    """`get_sample_value()` finds a series by its name and all of its labels."""
    counter = Counter("jobs", "d", ["pool", "status"], registry=registry)
    counter.labels("cpu", "ok").inc(3)
    value = registry.get_sample_value
    assert 3.0 == value("jobs_total", {"pool": "cpu", "status": "ok"})
    assert 3.0 == value("jobs_total", {"status": "ok", "pool": "cpu"})


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("jobs", {"pool": "cpu"}),
        ("jobs_total", None),
        ("jobs_total", {}),
        ("jobs_total", {"pool": "gpu"}),
        ("jobs_total", {"pool": "cpu", "more": "x"}),
    ],
)
def test_missing_sample_is_none(
    registry: Registry, name: str, labels: dict[str, str] | None
) -> None:
    """A family's name, some of the labels, or other labels give no value."""
    Counter("jobs", "d", ["pool"], registry=registry).labels("cpu")
    assert registry.get_sample_value(name, labels) is None


def test_foreign_collector(registry: Registry) -> None:
    """Families and samples of prometheus_client pass through unchanged."""
    family = GaugeMetricFamily("queue", "d", labels=["pool"])
    family.add_metric(["cpu"], 7)
    registry.register(Collector(family))
    assert [family] == list(registry.collect())
    assert 7.0 == registry.get_sample_value("queue", {"pool": "cpu"})


def test_registry_of_prometheus_client(registry: Registry) -> None:
    """`prometheus_client.REGISTRY` can be registered, and its instruments are found."""
    counter = prometheus_client.Counter("of_test_registry", "d")
    try:
        counter.inc(4)
        registry.register(prometheus_client.REGISTRY)
        assert 4.0 == registry.get_sample_value("of_test_registry_total")
        assert {"python_info", "process_cpu_seconds"} <= set(names(registry))
    finally:
        prometheus_client.REGISTRY.unregister(counter)


def test_instruments_in_the_registry_of_prometheus_client() -> None:
    """A registry of prometheus_client can hold an instrument too, with its description."""
    theirs = prometheus_client.CollectorRegistry(auto_describe=True)
    counter = Counter("jobs", "d", registry=None)
    counter.inc(2)
    theirs.register(counter)  # type: ignore[arg-type] # its shape is enough, not its class
    assert 2.0 == theirs.get_sample_value("jobs_total")
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        prometheus_client.Gauge("jobs_total", "d", registry=theirs)
