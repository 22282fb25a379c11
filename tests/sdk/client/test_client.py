"""The client's life: settings, start, use before and after it, and what wrong input gets."""

from __future__ import annotations

import threading

import pytest

import noetl_metrics_sdk as metrics
from noetl_metrics_sdk import (
    ConfigurationError,
    Counter,
    FlushResult,
    InvalidMetricError,
    MetricsClient,
    Registry,
)
from noetl_metrics_sdk.testing import InMemoryTransport, ManualClock


def make_client(**settings):
    settings = {"registry": Registry(), "transport": InMemoryTransport(), **settings}
    settings.setdefault("system_metrics", ())
    settings.setdefault("self_metrics", False)
    if "runtime_id" not in settings:
        settings.setdefault("component_name", "pool")
    return MetricsClient(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"component_name": None}, "component_name (NOETL_WORKER_POOL_NAME) is missing"),
        ({"transport": None}, "server_url (NOETL_SERVER_URL) is missing"),
        ({"server_url": "http://exa mple"}, "give a URL like http://localhost:8082"),
        ({"server_url": "http://a\nb"}, "give a URL like http://localhost:8082"),
        ({"headers": {"Authorization": "Bearer x\n"}}, "header 'Authorization' is not valid"),
        ({"headers": {"a b": "x"}}, "header 'a b' is not valid"),
        ({"headers": {"X-Name": "naïve"}}, "header 'X-Name' is not valid"),
        ({"runtime_id": "--5"}, "runtime_id is '--5': give the number"),
        ({"runtime_id": "٣"}, "runtime_id is '٣': give the number"),
        ({"server_url": "http://localhost:80820"}, "give a URL like http://localhost:8082"),
        ({"server_url": "http://"}, "server_url is 'http://': give a URL like"),
        ({"server_url": "localhost:8082"}, "server_url is 'localhost:8082': give a URL like"),
        ({"runtime_id": "abc"}, "runtime_id is 'abc': give the number"),
        ({"runtime_id": True}, "runtime_id is True: give the number"),
        ({"component_type": "robot"}, "component_type is 'robot': give one of worker_pool"),
        ({"labels": {"le": "1"}}, "label name 'le'"),
        ({"labels": {"a b": "1"}}, "label name 'a b' is not valid"),
        ({"labels": {"a": "\x00"}}, "NUL"),
        ({"labels": {"a": 1}}, "labels.a is 1: Input should be a valid string"),
        ({"flush_interval": 0}, "flush_interval is 0: Input should be greater than 0"),
        ({"flush_interval": "soon"}, "flush_interval is 'soon'"),
        ({"system_metrics": ["cpus"]}, "there is no group 'cpus': choose from cpu"),
        ({"system_metrics": "cpu"}, "give a list of groups"),
        ({"buffer_samples_max": 0}, "buffer_samples_max is 0"),
        ({"buffer_overflow": "wait"}, "buffer_overflow is 'wait': give one of drop_oldest"),
        ({"spool_directory": " "}, "spool_directory is ' ': give the path of a directory"),
        # A repeat is recognised for a week.
        ({"spool_age_max": 7 * 86_400}, "spool_age_max is 604800: Input should be less than"),
        ({"flush_intervall": 5}, "flush_intervall is 5: there is no such setting"),
    ],
)
def test_a_setting_that_is_not_valid_is_refused_by_name(settings, message):
    """The error names the setting and its value, and says what a right one looks like."""
    with pytest.raises(ConfigurationError) as refused:
        make_client(**settings)
    assert message in str(refused.value)


def test_settings_come_from_the_environment():
    """NOETL's own variables and those of this package make a client."""
    environment = {
        "NOETL_SERVER_URL": "http://metrics:8082",
        "NOETL_WORKER_POOL_NAME": "cpu-01",
        "NOETL_WORKER_ID": "w7",
        "NOETL_WORKER_METRICS_INTERVAL": "2.5",
        "NOETL_METRICS_LABELS": "site=a, rack = 12",
        "NOETL_METRICS_SYSTEM_METRICS": "cpu,memory",
        "NOETL_METRICS_BUFFER_SAMPLES_MAX": "500",
        "NOETL_METRICS_HEADERS": "Authorization=Bearer t",
    }
    config = MetricsClient.from_env(registry=Registry(), environment=environment).config
    assert "http://metrics:8082" == config.server_url
    assert ("cpu-01", "w7") == (config.component_name, config.worker_id)
    assert (2.5, 500) == (config.flush_interval, config.buffer_samples_max)
    assert {"site": "a", "rack": "12"} == config.labels
    assert ("cpu", "memory") == config.system_metrics
    assert {"Authorization": "Bearer t"} == config.headers


def test_a_variable_that_cannot_be_read_is_refused_by_name():
    """A malformed variable is named, with the form it should have."""
    environment = {"NOETL_METRICS_LABELS": "site"}
    with pytest.raises(ConfigurationError) as refused:
        MetricsClient.from_env(environment=environment)
    assert "NOETL_METRICS_LABELS has 'site': write name=value,name=value" == str(refused.value)


def test_a_bad_variable_is_named_as_the_user_knows_it():
    """The error speaks of the environment variable, not of the setting behind it."""
    environment = {"NOETL_WORKER_POOL_NAME": "p", "NOETL_WORKER_METRICS_INTERVAL": "often"}
    with pytest.raises(ConfigurationError, match="NOETL_WORKER_METRICS_INTERVAL is 'often'"):
        MetricsClient.from_env(environment=environment)


def test_a_variable_that_is_no_setting_is_warned_of(caplog):
    """A misspelt variable does not go unnoticed; those of the server are none of ours."""
    environment = {
        "NOETL_WORKER_POOL_NAME": "p", "NOETL_METRICS_FLUSH_INTERVAL": "5",
        "NOETL_METRICS_SERVER_PORT": "8082",
        "NOETL_METRICS_COMPILE": "require",
    }  # fmt: skip
    MetricsClient.from_env(
        registry=Registry(), transport=InMemoryTransport(), environment=environment
    )
    warned = [record.getMessage() for record in caplog.records]
    assert 1 == len(warned)
    assert warned[0].startswith("NOETL_METRICS_FLUSH_INTERVAL is no setting")


@pytest.mark.parametrize(("text", "count"), [("all", 10), ("none", 0), ("", 10)])
def test_system_metrics_can_be_switched_by_one_word(text, count):
    """NOETL_METRICS_SYSTEM_METRICS takes `all` and `none` too."""
    environment = {
        "NOETL_WORKER_POOL_NAME": "cpu-01", "NOETL_METRICS_SYSTEM_METRICS": text,
    }  # fmt: skip
    client = MetricsClient.from_env(
        registry=Registry(), transport=InMemoryTransport(), environment=environment
    )
    assert len(client.config.system_metrics) == count


def test_starting_twice_changes_nothing():
    """A second start() returns the same client with the same threads."""
    client = make_client().start()
    threads = threading.active_count()
    assert client.start() is client
    assert threading.active_count() == threads
    client.shutdown()


def test_a_client_that_was_shut_down_cannot_be_started():
    """start() after shutdown() says to make a new client."""
    client = make_client().start()
    client.shutdown()
    with pytest.raises(ConfigurationError, match="make a new one"):
        client.start()


def test_flush_and_shutdown_are_safe_at_any_time():
    """Before start, twice, and after the end they return at once and say what is pending."""
    client = make_client()
    client.record("value", 1)
    assert FlushResult(sent=0, pending=1, dropped=0, timed_out=False) == client.flush()
    client.start()
    first = client.shutdown()
    assert (0, 0, False) == (first.pending, first.dropped, first.timed_out)
    assert 1 == client.stats().samples.sent
    assert FlushResult(sent=0, pending=0, dropped=0, timed_out=False) == client.shutdown()
    assert FlushResult(sent=0, pending=0, dropped=0, timed_out=False) == client.flush()


def test_shutdown_ends_every_thread():
    """No thread of the client is left after a shutdown."""
    before = set(threading.enumerate())
    client = make_client(system_metrics=("process",)).start()
    names = {thread.name for thread in threading.enumerate()} - {t.name for t in before}
    assert {"noetl-metrics-exporter", "noetl-metrics-collector", "noetl-metrics-system"} == names
    client.shutdown()
    assert set() == set(threading.enumerate()) - before


def test_many_threads_may_flush_and_shut_down_at_once():
    """Every caller gets an answer, and the samples are sent once."""
    transport = InMemoryTransport()
    client = make_client(transport=transport).start()
    client.record("value", 1)
    results = []
    threads = [
        threading.Thread(target=lambda act=act: results.append(act()))
        for act in [client.flush, client.shutdown] * 4
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert 8 == len(results)
    assert 1 == len(transport.received("value"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "a b", "value": 1}, InvalidMetricError, "metric name 'a b' is not valid"),
        ({"name": "a", "value": "1"}, TypeError, "value '1' is a str"),
        ({"name": "a", "value": None}, TypeError, "value None is a NoneType"),
        ({"name": "a", "value": 1, "metric_type": "meter"}, InvalidMetricError, "'meter'"),
        ({"name": "a", "value": 1, "metric_type": "counter"}, InvalidMetricError, "'a_total'"),
        ({"name": "a", "value": 1, "labels": {"1": "x"}}, InvalidMetricError, "label name '1'"),
        ({"name": "a", "value": 1, "labels": {"x": 1}}, InvalidMetricError, "label value 1"),
        ({"name": "a", "value": 1, "timestamp": "now"}, TypeError, "timestamp 'now'"),
        ({"name": "a", "value": 1, "timestamp": float("nan")}, InvalidMetricError, "timestamp nan"),
        ({"name": "a", "value": 1, "unit": "\x00"}, InvalidMetricError, "unit"),
    ],
)
def test_a_recorded_sample_that_is_not_valid_is_refused(arguments, error, message):
    """record() raises where it is written, and says what a valid sample looks like."""
    client = make_client()
    with pytest.raises(error) as refused:
        client.record(**arguments)
    assert message in str(refused.value)
    assert 0 == client.stats().samples.added


def test_a_sample_is_stamped_with_the_clock_it_is_given():
    """Collected samples carry the wall clock's time, recorded ones too unless they say."""
    clock = ManualClock(time=1_000.0)
    transport, registry = InMemoryTransport(), Registry()
    Counter("jobs", "Jobs", registry=registry).inc()
    client = make_client(transport=transport, registry=registry, clock=clock)
    client.record("value", 1)
    with client:
        client.flush()
    assert {1_000.0} == {sample.timestamp for sample in transport.samples}


def test_an_idle_series_is_sent_again_after_the_refresh_interval():
    """A series that does not change is repeated once per refresh interval, and no more."""
    clock = ManualClock()
    transport, registry = InMemoryTransport(), Registry()
    Counter("jobs", "Jobs", registry=registry).inc()
    client = make_client(
        transport=transport, registry=registry, clock=clock, refresh_interval=60.0,
        flush_interval=3600.0,
    )  # fmt: skip
    with client:
        client.flush()
        clock.advance(59.0)
        client.flush()
        assert 1 == len(transport.received("jobs_total"))
        clock.advance(1.0)
        client.flush()
        assert 2 == len(transport.received("jobs_total"))


def test_stats_tell_what_overflowed():
    """Label sets beyond an instrument's bound are counted in stats(), by instrument."""
    registry = Registry()
    counter = Counter("jobs", "Jobs", ["n"], registry=registry, max_series=2)
    for number in range(5):
        counter.labels(number).inc()
    assert {"jobs": 3} == make_client(registry=registry).stats().overflowed


def test_the_system_thread_reports_the_process():
    """With system metrics on, the process's own readings arrive beside the instruments."""
    arrived = threading.Event()

    class Listening(InMemoryTransport):
        def send(self, batch, runtime_id, timeout):
            receipt = super().send(batch, runtime_id, timeout)
            if self.received("process_resident_memory_bytes"):
                arrived.set()
            return receipt

    transport = Listening()
    with make_client(transport=transport, system_metrics=("process",), flush_interval=0.01):
        assert arrived.wait(10)
    assert transport.received("process_resident_memory_bytes")[0].value > 1_000_000


def test_a_process_has_one_client_until_it_is_shut_down():
    """init() makes the process's client, once; shutdown() makes room for another."""
    transport = InMemoryTransport()
    # Without system metrics, whose thread may add samples while the flush is under way.
    client = metrics.init(
        component_name="pool", transport=transport, registry=Registry(), system_metrics=()
    )
    with pytest.raises(ConfigurationError, match="init"):
        metrics.init(component_name="pool", transport=transport)
    client.record("value", 1)
    assert 0 == metrics.flush().pending
    metrics.shutdown()
    assert 1 == len(transport.received("value"))
    metrics.init(component_name="pool", transport=transport, registry=Registry())
    metrics.shutdown()


def test_a_secret_in_a_header_is_not_shown():
    """The error for a header names it and keeps its value to itself."""
    with pytest.raises(ConfigurationError) as refused:
        make_client(headers={"Authorization": "Bearer hidden\n"})
    assert "hidden" not in str(refused.value)


def test_flush_and_shutdown_without_a_client_do_nothing():
    """The process-wide functions may be called before init()."""
    assert FlushResult(sent=0, pending=0, dropped=0, timed_out=False) == metrics.flush()
    assert FlushResult(sent=0, pending=0, dropped=0, timed_out=False) == metrics.shutdown()


def test_init_without_arguments_reads_the_environment(monkeypatch):
    """init() alone takes its settings from environment variables."""
    monkeypatch.setenv("NOETL_WORKER_POOL_NAME", "from-environment")
    monkeypatch.setenv("NOETL_METRICS_SYSTEM_METRICS", "none")
    client = metrics.init(transport=InMemoryTransport(), registry=Registry())
    assert "from-environment" == client.config.component_name
    metrics.shutdown()
