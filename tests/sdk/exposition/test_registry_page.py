"""A worker's page, from scrape to scrape: what is kept of its series never shows."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import prometheus_client
import pytest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from noetl_metrics_sdk import (
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    MetricFamily,
    MetricType,
    Registry,
    Summary,
)
from noetl_metrics_sdk.exposition.registry_page import RegistryPage
from noetl_metrics_sdk.exposition.samples import PageFormat
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from noetl_metrics_sdk.jobs.collector import job_collector_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

FORMATS = pytest.mark.parametrize("page_format", list(PageFormat), ids=lambda one: one.name)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each series begin at a time of its own, a quarter of a second after the one before."""
    seconds = itertools.count(0)
    monkeypatch.setattr(MEASURING_CLOCK, "epoch_offset", 1_700_000_000.0)
    monkeypatch.setattr(MEASURING_CLOCK, "perf_counter", lambda: next(seconds) / 4)


class Adopted:
    """A collector that has the families of a registry as another library would have them."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Any]:
        return self._registry.collect()


class Theirs:
    """A collector whose gauge lays claim to a name that an instrument has."""

    def __init__(self, name: str) -> None:
        self._name = name

    def collect(self) -> list[MetricFamily]:
        family = MetricFamily(self._name, "Theirs", MetricType.GAUGE)
        family.add("", {"queue": "a"}, 7.0)
        return [family]


def lines_of(page: RegistryPage, page_format: PageFormat) -> list[str]:
    """Return the lines of a page, without the page's metrics of itself."""
    lines = page.render(page_format).splitlines()
    return [line for line in lines if "noetl_metrics_sdk_page_" not in line]


def unusual() -> float:
    raise ValueError


def changes(registry: Registry) -> Generator[str]:
    """Change the registry in a way that a page shows, and say how, again and again."""
    jobs = Counter("jobs", 'Jobs \\ "done"\n', ["queue", "host"], registry=registry, max_series=4)
    level = Gauge("level_bytes", "", ["queue"], unit="bytes", registry=registry)
    took = Histogram("took_seconds", "How long", ["queue"], registry=registry, buckets=[0.5, 2e6])
    waited = Summary("waited", "x", ["queue"], registry=registry, quantiles=[0.00001, 0.5, 1])
    alone = Histogram("alone_seconds", "x", unit="seconds", registry=registry)
    yield "nothing has a series but the one without labels"
    for queue in ("b", "a", 'c"\\\n', "ü"):
        jobs.labels(queue, "h").inc(0.1)
        level.labels(queue).set(-1.5)
        took.labels(queue).observe(1)
        waited.labels(queue).observe(3)
    yield "there are series"
    jobs.labels("a", "h").inc(1e22)
    took.labels("a").observe(0.1)
    alone.observe(math.inf)
    yield "values have grown"
    jobs.labels("too many", "h").inc()
    yield "there is an overflow series"
    jobs.remove("b", "h")
    took.remove_by_labels({"queue": "a"})
    waited.clear()
    yield "series are gone"
    waited.labels("anew").observe(1)
    jobs.labels("a", "h").reset()
    level.labels("").set(math.nan)
    level.labels("b").set_function(unusual)
    level.labels("a").set_function(lambda: math.inf)
    yield "series are new, began anew, have no label, or cannot be read"
    jobs.clear()
    jobs.labels("a", "").inc()
    yield "a label has no value"
    took.labels("b").observe(-5)
    yield "a sum is negative, which OpenMetrics does not have"
    yield from other_changes(registry)
    registry.unregister(level)
    yield "a collector is gone"


def other_changes(registry: Registry) -> Generator[str]:
    """Change texts, jobs and the collectors of others."""
    info = Info("build", "Which", registry=registry)
    info.info({"version": "1"})
    Enum("state", "Which", ["queue"], states=["on", "off"], registry=registry).labels("a")
    yield "there are texts"
    info.info({"version": "2"})
    yield "a text has changed"
    for names, texts in (((), ("t",)), (("pool",), ("t", "x")), (("team",), ("t", "y"))):
        job_collector_of(registry).instruments(names).duration.labels(*texts).observe(0.2)
    yield "jobs have labels of several names"
    job_collector_of(registry).instruments(("pool",)).duration.labels("t", "").observe(0.2)
    yield "two label sets of jobs are the same on a page"
    theirs = prometheus_client.CollectorRegistry()
    prometheus_client.Gauge("reads", "Reads", ["a"], registry=theirs).labels("b").set(2)
    registry.register(theirs)
    yield "another library has a part in the page"
    contending = [Theirs("jobs_total"), Theirs("took_seconds_created"), Theirs("level_bytes")]
    for collector in contending:
        registry.register(collector)
    yield "other collectors lay claim to names"
    for collector in contending:
        registry.unregister(collector)
    yield "the others are gone"


@FORMATS
def test_a_page_is_what_its_samples_make(page_format: PageFormat) -> None:
    """After every change, a page has byte for byte what its samples make if nothing is kept."""
    registry, adopting = Registry(), Registry()
    adopting.register(Adopted(registry))
    page, reference = RegistryPage(registry), RegistryPage(adopting)
    for how in changes(registry):
        expected = lines_of(reference, page_format)
        assert (how, expected) == (how, lines_of(page, page_format))
        assert (how, expected) == (how, lines_of(page, page_format))
        assert (how, expected) == (how, lines_of(RegistryPage(registry), page_format))


def test_a_page_of_one_format_does_not_change_that_of_the_other() -> None:
    """A page has the same bytes whichever formats were asked for before."""
    registry = Registry()
    page = RegistryPage(registry)
    for how in changes(registry):
        for page_format in PageFormat:
            expected = lines_of(RegistryPage(registry), page_format)
            assert (how, expected) == (how, lines_of(page, page_format))


@FORMATS
def test_a_page_has_the_lines_of_prometheus_client(page_format: PageFormat) -> None:
    """Of the same series, prometheus_client writes the same lines, in another order."""
    theirs, ours = prometheus_client.CollectorRegistry(), Registry()
    makers: list[tuple[Any, Any]] = [(prometheus_client, theirs), (_Ours, ours)]
    for package, registry in makers:
        # prometheus_client writes labels in the order of their names.
        jobs = package.Counter("jobs", 'Jobs "done"', ["host", "queue"], registry=registry)
        for number in range(20):
            jobs.labels("h", f'queue "{number}"\\\n').inc(number / 8)
        took = package.Histogram("took_seconds", "How long", ["host"], registry=registry)
        for number in range(5):
            took.labels(str(number)).observe(number)
        package.Gauge("level", "Level", registry=registry).set(-math.inf)
    if page_format is PageFormat.TEXT:
        text = prometheus_client.generate_latest(theirs).decode()
    else:
        text = generate_openmetrics(theirs).decode()
    expected = [line for line in text.splitlines() if "_created" not in line]
    page = RegistryPage(ours)
    for _ in range(2):
        found = [line for line in lines_of(page, page_format) if "_created" not in line]
        assert sorted(expected) == sorted(found)


class _Ours:
    Counter, Gauge, Histogram = Counter, Gauge, Histogram


def test_nothing_is_kept_of_an_instrument_that_is_gone() -> None:
    """The page after an instrument was unregistered forgets its series."""
    registry = Registry()
    counters = [Counter(f"jobs_{number}", "Jobs", registry=registry) for number in range(2)]
    page = RegistryPage(registry)
    page.render(PageFormat.TEXT)
    before = {one for instruments in page._kept for one in instruments}
    registry.unregister(counters[0])
    page.render(PageFormat.TEXT)
    assert {counters[0]} == before - {one for instruments in page._kept for one in instruments}
