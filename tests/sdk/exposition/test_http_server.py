"""A worker's page as bytes, and served by a thread, as prometheus_client has it."""

from __future__ import annotations

import socket
import threading
import urllib.request
from contextlib import contextmanager
from urllib.error import HTTPError

import prometheus_client
import pytest
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_page
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_format

import noetl_metrics_sdk
from noetl_metrics_sdk import (
    CONTENT_TYPE_LATEST,
    ConfigurationError,
    Counter,
    Registry,
    generate_latest,
    start_http_server,
)
from noetl_metrics_sdk.exposition.registry_page import RegistryPage
from noetl_metrics_sdk.exposition.samples import PageFormat


def fill(library, registry):
    """Make an Info and an Enum with and without labels, with either library."""
    library.Info("build", "The build", registry=registry).info({"version": "1.2", "host": 'a"b'})
    disks = library.Info("disk", "Disks", ["name"], registry=registry)
    disks.labels("sda").info({"model": "x"})
    disks.labels("sdb")
    library.Enum("task", "The task", states=["ready", "done"], registry=registry).state("done")
    power = library.Enum("power", "Power", ["name"], states=["on", "off"], registry=registry)
    for name in ("b", "a"):
        power.labels(name).state("off")
    return registry


def read(page, parse):
    """Return the families of a page, without those of the page itself."""
    return {
        (family.name, family.type, family.documentation): {
            (sample.name, frozenset(sample.labels.items()), sample.value)
            for sample in family.samples
        }
        for family in parse(page)
        if not family.name.startswith("noetl_metrics_sdk")
    }


def test_the_text_page_is_theirs():
    """An Info and an Enum are gauges on it, with the same samples."""
    theirs = fill(prometheus_client, prometheus_client.CollectorRegistry())
    ours = fill(noetl_metrics_sdk, Registry())
    expected = read(prometheus_client.generate_latest(theirs).decode(), text_format)
    assert 4 == len(expected)
    assert expected == read(generate_latest(ours).decode(), text_format)


@pytest.mark.parametrize("library", [noetl_metrics_sdk, prometheus_client])
def test_the_openmetrics_page_is_theirs(library):
    """An Info and an Enum have the types that OpenMetrics has for them, of either library."""
    theirs = fill(prometheus_client, prometheus_client.CollectorRegistry())
    registry = fill(library, library.CollectorRegistry())
    if library is prometheus_client:
        ours = Registry()
        ours.register(registry)
        registry = ours
    expected = read(openmetrics_page(theirs).decode(), openmetrics)
    assert {"info", "stateset"} == {kind for _, kind, _ in expected}
    page = RegistryPage(registry).render(PageFormat.OPENMETRICS)
    assert expected == read(page, openmetrics)


def test_a_family_without_a_valid_form_is_unknown_in_openmetrics():
    """No value is lost of an Info that is not 1 and of a state set with other values."""

    class Odd:
        def collect(self):
            info = prometheus_client.Metric("build", "d", "info")
            info.add_sample("build_info", {"a": "b"}, 2)
            states = prometheus_client.Metric("power", "d", "stateset")
            states.add_sample("power", {"power": "on"}, 0.5)
            nameless = prometheus_client.Metric("task", "d", "stateset")
            nameless.add_sample("task", {"a": "b"}, 1)
            return [info, states, nameless]

    registry = Registry()
    registry.register(Odd())
    page = RegistryPage(registry).render(PageFormat.OPENMETRICS)
    assert {
        ("build_info", "unknown", "d"): {("build_info", frozenset({("a", "b")}), 2.0)},
        ("power", "unknown", "d"): {("power", frozenset({("power", "on")}), 0.5)},
        ("task", "unknown", "d"): {("task", frozenset({("a", "b")}), 1.0)},
    } == read(page, openmetrics)


def test_an_info_has_no_time_of_creation():
    """A gauge of that name is a family of its own, and both are on the page."""
    registry = Registry()
    noetl_metrics_sdk.Info("build", "d", registry=registry).info({"version": "1"})
    noetl_metrics_sdk.Gauge("build_created", "When it was built", registry=registry).set(5)
    page = RegistryPage(registry).render(PageFormat.OPENMETRICS)
    assert {
        ("build", "info", "d"): {("build_info", frozenset({("version", "1")}), 1.0)},
        ("build_created", "gauge", "When it was built"): {("build_created", frozenset(), 5.0)},
    } == read(page, openmetrics)


def test_a_state_that_is_reported_twice_is_on_the_page_once():
    """The first collector counts, and the page counts what it leaves out."""
    registry = Registry()
    for _ in range(2):
        theirs = prometheus_client.CollectorRegistry()
        prometheus_client.Enum("power", "d", states=["on", "off"], registry=theirs)
        registry.register(theirs)
    page = RegistryPage(registry)
    assert 2 == page.render(PageFormat.OPENMETRICS).count("\npower{")
    assert "noetl_metrics_sdk_page_series_omitted_total 2" in page.render(PageFormat.TEXT)


@contextmanager
def serving(*arguments, **options):
    server, thread = start_http_server(0, *arguments, **options)
    try:
        yield server, thread
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("addr", "host"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "localhost")])
def test_a_thread_serves_the_page(addr, host):
    """A scraper gets the page of the registry; the thread does not keep the process alive."""
    registry = Registry()
    Counter("jobs", "Jobs", registry=registry).inc(3)
    with serving(addr, registry) as (server, thread):
        assert thread.daemon
        with urllib.request.urlopen(f"http://{host}:{server.server_port}/metrics") as answer:
            assert CONTENT_TYPE_LATEST == answer.headers["Content-Type"]
            assert b"\njobs_total 3.0\n" in answer.read()


def test_only_readers_get_the_page():
    """Another method than GET and HEAD is answered as by the WSGI application."""
    with serving("127.0.0.1", Registry()) as (server, _):
        request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/", b"x")
        with pytest.raises(HTTPError) as refused:
            urllib.request.urlopen(request)
    with refused.value as answer:
        assert (405, "GET, HEAD") == (answer.code, answer.headers["Allow"])


def test_the_page_is_served_by_tls(certificate):
    """With a certificate and its key the server speaks TLS, and one client does not hold it up."""
    registry = Registry()
    Counter("jobs", "Jobs", registry=registry).inc()
    files = {"certfile": certificate.file, "keyfile": certificate.key_file}
    with serving("127.0.0.1", registry, **files) as (server, _):
        url = f"https://127.0.0.1:{server.server_port}/metrics"
        with (
            socket.create_connection(("127.0.0.1", server.server_port)),
            urllib.request.urlopen(url, context=certificate.client) as answer,
        ):
            assert b"\njobs_total 1.0\n" in answer.read()


def test_a_certificate_that_cannot_be_used_is_named(tmp_path):
    """The error names the file, and nothing is left listening."""
    missing = tmp_path / "missing.pem"
    threads = set(threading.enumerate())
    with pytest.raises(ConfigurationError, match=r"missing\.pem.*cannot be used"):
        start_http_server(0, "127.0.0.1", certfile=missing, keyfile=missing)
    with pytest.raises(ConfigurationError, match="give both for TLS, or neither"):
        start_http_server(0, "127.0.0.1", certfile=missing)
    assert set() == set(threading.enumerate()) - threads
