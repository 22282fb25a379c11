"""A worker's own page: its content, and the HTTP servers that it works with."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server
from wsgiref.validate import validator

import httpx
import prometheus_client
import pytest
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from noetl_metrics_sdk import (
    Counter,
    Gauge,
    Histogram,
    MetricFamily,
    MetricsClient,
    MetricType,
    Registry,
    Summary,
    make_asgi_app,
    make_wsgi_app,
)
from noetl_metrics_sdk.exposition.registry_page import RegistryPage
from noetl_metrics_sdk.exposition.samples import PageFormat
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from noetl_metrics_sdk.testing import InMemoryTransport
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
WORKER = """
from noetl_metrics_sdk import Counter, make_asgi_app, make_wsgi_app
Counter("jobs", "Jobs done", ["queue"]).labels("a").inc(3)
wsgi, asgi = make_wsgi_app(), make_asgi_app()
"""


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


BEGAN_AT = 1_700_000_000.5


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Return a registry with instruments of each type, all of which begin at `BEGAN_AT`."""
    monkeypatch.setattr(MEASURING_CLOCK, "epoch_offset", 1_700_000_000.0)
    monkeypatch.setattr(MEASURING_CLOCK, "perf_counter", lambda: 0.5)
    registry = Registry()
    jobs = Counter("jobs", 'Jobs "done"', ["queue"], registry=registry)
    jobs.labels('a"\\\n').inc(3)
    for number in range(50):  # enough to be worth compressing
        jobs.labels(str(number)).inc()
    Gauge("queue_bytes", "What waits", unit="bytes", registry=registry).set(-1.5)
    Histogram("job_seconds", "How long", buckets=[1, 1e6], registry=registry).observe(0.5)
    Summary("wait_seconds", "How long", registry=registry).observe(2.0)
    return registry


@pytest.fixture
def url(registry: Registry) -> Generator[str]:
    """Yield the URL of the page, served by the standard library's server in a thread."""
    application = validator(make_wsgi_app(registry))
    with make_server("127.0.0.1", 0, application, handler_class=QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()
        thread.join()


def samples_of(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_the_page_is_what_the_registry_holds(registry: Registry, url: str) -> None:
    """The page has every sample that the registry collects, without any further labels.

    In OpenMetrics, each label set of what counts has the time at which it was zero, too.
    """
    page = httpx.get(url, headers={"accept": OPENMETRICS}).text
    held = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in registry.collect()
        for sample in family.samples
    }
    own = {
        ("noetl_metrics_sdk_page_collect_errors_total", ()): 0.0,
        ("noetl_metrics_sdk_page_series_omitted_total", ()): 0.0,
    }
    counting = {
        ("noetl_metrics_sdk_page_collect_errors_created", ()),
        ("noetl_metrics_sdk_page_series_omitted_created", ()),
        ("job_seconds_created", ()),
        ("wait_seconds_created", ()),
        *(("jobs_created", labels) for name, labels in held if name == "jobs_total"),
    }
    assert samples_of(page) == held | own | dict.fromkeys(counting, BEGAN_AT)


def test_the_text_format_has_no_start_times(registry: Registry, url: str) -> None:
    """In the text format they would be series of their own, so only OpenMetrics has them."""
    assert "_created" in httpx.get(url, headers={"accept": OPENMETRICS}).text
    assert "_created" not in httpx.get(url).text


def samples_that_tell_their_beginning() -> MetricFamily:
    """Return a summary with a quantile, whose samples tell when its label set was zero."""
    family = MetricFamily("theirs", "Theirs", MetricType.SUMMARY)
    family.add("", {"pool": "a", "quantile": "0.5"}, 2.0, BEGAN_AT)
    family.add("_sum", {"pool": "a"}, 2.0, BEGAN_AT)
    family.add("_count", {"pool": "a"}, 1.0, BEGAN_AT)
    return family


def test_a_collectors_samples_tell_when_they_were_zero() -> None:
    """OpenMetrics has one start time for a label set, and none for a gauge."""

    class Theirs:
        def collect(self) -> list[MetricFamily]:
            gauge = MetricFamily("load", "Load", MetricType.GAUGE)
            gauge.add("", {}, 3.0, BEGAN_AT)
            return [samples_that_tell_their_beginning(), gauge]

    registry = Registry()
    registry.register(Theirs())
    page = RegistryPage(registry)
    theirs = {
        ("theirs", (("pool", "a"), ("quantile", "0.5"))): 2.0,
        ("theirs_sum", (("pool", "a"),)): 2.0,
        ("theirs_count", (("pool", "a"),)): 1.0,
        ("theirs_created", (("pool", "a"),)): BEGAN_AT,
        ("load", ()): 3.0,
    }
    assert theirs == {
        series: value
        for series, value in samples_of(page.render(PageFormat.OPENMETRICS)).items()
        if not series[0].startswith("noetl_metrics_sdk_page_")
    }
    assert "_created" not in page.render(PageFormat.TEXT)


def test_a_wsgi_page_negotiates(url: str) -> None:
    """The scraper's headers choose format and compression; the page refuses other methods."""
    plain = httpx.get(url, headers={"accept-encoding": "identity"})
    assert str(PageFormat.TEXT) == plain.headers["content-type"]
    strict = httpx.get(url, headers={"accept": OPENMETRICS, "accept-encoding": "gzip"})
    assert (str(PageFormat.OPENMETRICS), "gzip") == (
        strict.headers["content-type"],
        strict.headers["content-encoding"],
    )
    assert strict.text.endswith("# EOF\n")
    head = httpx.head(url, headers={"accept-encoding": "identity"})
    assert (b"", plain.headers["content-length"]) == (head.content, head.headers["content-length"])
    refused = httpx.post(url)
    assert (405, "GET, HEAD") == (refused.status_code, refused.headers["allow"])


def test_an_asgi_page_negotiates(registry: Registry) -> None:
    """The ASGI application answers as the WSGI application does."""

    async def answers() -> list[httpx.Response]:
        transport = httpx.ASGITransport(make_asgi_app(registry))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            accept = {"accept": OPENMETRICS}
            return [
                await client.get("/metrics", headers=accept),
                await client.get("/", headers={"accept-encoding": "identity"}),
                await client.head("/"),
                await client.delete("/"),
            ]

    strict, plain, head, refused = asyncio.run(answers())
    assert str(PageFormat.OPENMETRICS) == strict.headers["content-type"]
    assert "gzip" == strict.headers["content-encoding"]
    assert 3.0 in samples_of(strict.text).values()
    assert str(PageFormat.TEXT) == plain.headers["content-type"]
    assert (200, b"") == (head.status_code, head.content)
    assert (405, "GET, HEAD") == (refused.status_code, refused.headers["allow"])


def test_an_asgi_page_takes_no_websocket(registry: Registry) -> None:
    """The application raises an error for a scope other than HTTP, and the error says so."""

    async def nothing(*message: Any) -> Any:
        raise AssertionError("nothing is received or sent")

    with pytest.raises(ValueError, match="websocket is not served here"):
        asyncio.run(make_asgi_app(registry)({"type": "websocket"}, nothing, nothing))  # type: ignore[arg-type]


class Failing:
    def __init__(self, error: BaseException) -> None:
        self.error: BaseException | None = error

    def collect(self) -> list[Any]:
        if self.error is not None:
            raise self.error
        return []


@pytest.mark.parametrize("error", [RuntimeError("x"), SystemExit(3)])
def test_a_collector_that_raises_breaks_nothing(
    registry: Registry, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """The page leaves out the collector and counts its failure; the log has the first failure."""
    failing = Failing(error)
    registry.register(failing)
    page = RegistryPage(registry)
    with caplog.at_level(logging.ERROR, "noetl_metrics_sdk"):
        pages = [samples_of(page.render(PageFormat.OPENMETRICS)) for _ in range(3)]
    key = ("noetl_metrics_sdk_page_collect_errors_total", ())
    assert [1.0, 2.0, 3.0] == [found[key] for found in pages]
    assert all(("queue_bytes", ()) in found for found in pages)
    assert 1 == len(caplog.records)


def test_collectors_of_prometheus_client_are_on_the_page() -> None:
    """The page is valid, and has everything that prometheus_client's own page has of a registry."""
    theirs = prometheus_client.CollectorRegistry()
    prometheus_client.Counter("reads", "Reads", ["a"], registry=theirs).labels("b").inc(2)
    prometheus_client.Histogram("t_seconds", "Time", registry=theirs).observe(0.2)
    prometheus_client.Info("build", "Build", registry=theirs).info({"version": "1"})
    prometheus_client.Enum("state", "State", states=["a", "b"], registry=theirs).state("b")
    registry = Registry()
    registry.register(theirs)
    found = samples_of(RegistryPage(registry).render(PageFormat.OPENMETRICS))
    expected = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in theirs.collect()
        for sample in family.samples
    }
    assert expected == {key: value for key, value in found.items() if "noetl_" not in key[0]}


class Twice:
    def collect(self) -> list[Any]:
        family = GaugeMetricFamily("queue_bytes", "x", value=7)
        invalid = GaugeMetricFamily("x", "x", labels=["a"])
        invalid.add_metric([3], 1)  # type: ignore[list-item]
        return [family, invalid]


def test_what_cannot_be_shown_is_counted(registry: Registry) -> None:
    """The page leaves out and counts a series that it already has or that is not valid."""
    registry.register(Twice())
    page = RegistryPage(registry)
    first, second = (samples_of(page.render(PageFormat.OPENMETRICS)) for _ in range(2))
    assert -1.5 == first["queue_bytes", ()]
    assert first["noetl_metrics_sdk_page_series_omitted_total", ()] == 0.0
    assert second["noetl_metrics_sdk_page_series_omitted_total", ()] == 2.0


def test_a_page_does_not_disturb_what_is_pushed(registry: Registry) -> None:
    """The client delivers each change once, whether or not a page showed it before."""
    transport = InMemoryTransport()
    page = RegistryPage(registry)
    gauge = Gauge("level", "Level", registry=registry)
    with MetricsClient(
        component_name="pool",
        transport=transport,
        registry=registry,
        system_metrics=(),
        flush_interval=3600.0,
    ) as client:
        for value in (1.0, 2.0):
            gauge.set(value)
            page.render(PageFormat.TEXT)
            client.flush()
            page.render(PageFormat.TEXT)
            client.flush()
    assert [1.0, 2.0] == [sample.value for sample in transport.received("level")]


def test_pages_made_at_once_are_whole(registry: Registry) -> None:
    """While threads observe, the count of each page's histogram is its last bucket."""
    histogram = Histogram("busy_seconds", "x", registry=registry)
    stop = threading.Event()

    def observe() -> None:
        while not stop.is_set():
            histogram.observe(0.5)

    threads = [threading.Thread(target=observe) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        page = RegistryPage(registry)
        for _ in range(50):
            found = samples_of(page.render(PageFormat.OPENMETRICS))  # strict: it raises
            assert 0.0 == found["noetl_metrics_sdk_page_series_omitted_total", ()]
            assert ("busy_seconds_count", ()) in found
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    "command",
    [
        ["uvicorn", "worker:asgi", "--host=127.0.0.1", "--port={port}", "--log-level=warning"],
        ["gunicorn", "worker:wsgi", "--bind=127.0.0.1:{port}", "--log-level=warning"],
    ],
    ids=lambda command: command[0],
)
def test_a_page_is_served_by_real_servers(command: list[str], tmp_path: Path) -> None:
    """Under uvicorn and under gunicorn, a plain script serves the page without a client."""
    (tmp_path / "worker.py").write_text(WORKER)
    path = os.pathsep.join([str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    port = free_port()
    arguments = [part.format(port=port) for part in command]
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = httpx.get(f"http://127.0.0.1:{port}/", headers={"accept": OPENMETRICS})
                break
            except httpx.TransportError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert 3.0 == samples_of(answer.text)["jobs_total", (("queue", "a"),)]
