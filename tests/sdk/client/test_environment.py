"""Settings from environment variables."""

from __future__ import annotations

import pytest

from noetl_metrics_sdk import ConfigurationError, MetricsClient, Registry
from noetl_metrics_sdk.testing import InMemoryTransport


def test_settings_come_from_the_environment():
    """The variables of NOETL and of this package make a client."""
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
    """The error names a malformed variable, and the form it should have."""
    environment = {"NOETL_METRICS_LABELS": "site"}
    with pytest.raises(ConfigurationError) as refused:
        MetricsClient.from_env(environment=environment)
    assert "NOETL_METRICS_LABELS has 'site': write name=value,name=value" == str(refused.value)


def test_a_bad_variable_is_named_as_the_user_knows_it():
    """The error names the environment variable, not the setting behind it."""
    environment = {"NOETL_WORKER_POOL_NAME": "p", "NOETL_WORKER_METRICS_INTERVAL": "often"}
    with pytest.raises(ConfigurationError, match="NOETL_WORKER_METRICS_INTERVAL is 'often'"):
        MetricsClient.from_env(environment=environment)


def test_a_variable_that_is_no_setting_is_warned_of(caplog):
    """The client warns about a misspelt variable, and ignores the variables of the server."""
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
    """NOETL_METRICS_SYSTEM_METRICS also takes `all` and `none`."""
    environment = {
        "NOETL_WORKER_POOL_NAME": "cpu-01", "NOETL_METRICS_SYSTEM_METRICS": text,
    }  # fmt: skip
    client = MetricsClient.from_env(
        registry=Registry(), transport=InMemoryTransport(), environment=environment
    )
    assert len(client.config.system_metrics) == count


def noetl_environment(**variables):
    return {"NOETL_SERVER_URL": "http://metrics:8082/api", **variables}


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "worker-cpu"),
        ({"NOETL_WORKER_POOL_NAME": " "}, "worker-cpu"),
        ({"NOETL_WORKER_POOL_RUNTIME": " GPU "}, "worker-gpu"),
        ({"NOETL_WORKER_POOL_NAME": "cpu-01", "NOETL_WORKER_POOL_RUNTIME": "gpu"}, "cpu-01"),
        ({"NOETL_METRICS_RUNTIME_ID": "7"}, None),
    ],
)
def test_a_pool_without_a_name_has_that_of_noetls_workers(variables, name):
    """The name is made of the pool's runtime, unless the component has a name or an id."""
    environment = noetl_environment(**variables)
    config = MetricsClient.from_env(registry=Registry(), environment=environment).config
    assert (name, "http://metrics:8082") == (config.component_name, config.server_url)


def test_the_heartbeats_of_noetls_workers_are_the_clients():
    """NOETL_WORKER_HEARTBEAT_INTERVAL says how often the client sends them."""
    environment = noetl_environment(NOETL_WORKER_HEARTBEAT_INTERVAL="15")
    config = MetricsClient.from_env(registry=Registry(), environment=environment).config
    assert 15.0 == config.heartbeat_interval


@pytest.mark.parametrize("text", ["true", "1", "yes", "on", "TRUE"])
def test_metrics_can_be_disabled_as_in_noetl(text):
    """NOETL_DISABLE_METRICS disables the client, which then needs no other variable."""
    client = MetricsClient.from_env(
        registry=Registry(), environment={"NOETL_DISABLE_METRICS": text}
    )
    assert client.stats().disabled


@pytest.mark.parametrize("text", ["false", "0", "no", "off", ""])
def test_metrics_are_not_disabled_by_another_word(text):
    """Metrics are sent unless the variable says otherwise."""
    environment = noetl_environment(NOETL_DISABLE_METRICS=text)
    client = MetricsClient.from_env(registry=Registry(), environment=environment)
    assert not client.stats().disabled


def test_a_word_that_says_neither_is_refused_by_name():
    """A client does not guess whether metrics are wanted."""
    environment = noetl_environment(NOETL_DISABLE_METRICS="perhaps")
    with pytest.raises(ConfigurationError, match="NOETL_DISABLE_METRICS is 'perhaps'"):
        MetricsClient.from_env(registry=Registry(), environment=environment)
