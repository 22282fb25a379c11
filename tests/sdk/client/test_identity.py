"""What a client says of itself when it registers, and which series are its own."""

from __future__ import annotations

import socket

import pytest

from noetl_metrics_sdk import Counter, Registry
from noetl_metrics_sdk.testing import InMemoryTransport
from tests.sdk.answering_server import AnsweringServer
from tests.sdk.client.clients import make_client

HOST = socket.gethostname()
SETTINGS = {"component_name": "pool", "worker_id": "w1", "labels": {"site": "a"}}


def registration_of(**settings):
    """Return the body with which a client registers at a real server."""
    found = []

    def answer(request):
        if request.path.endswith("register"):
            found.append(request.json)
            return 200, {"runtime_id": "7"}
        return 200, {"metrics_inserted": 1}

    with (
        AnsweringServer(answer) as server,
        make_client(server_url=server.url, transport=None, registry=Registry(), **settings) as one,
    ):
        one.record("value", 1)
        one.flush()
    (body,) = found
    return body


def test_a_worker_pool_sends_nothing_that_was_not_given():
    """Labels, uri, capacity and runtime of a pool that the worker has registered itself stay."""
    body = registration_of()
    assert set() == {"labels", "uri", "capacity", "runtime", "status", "capabilities"} & set(body)
    assert ("pool", "worker_pool", HOST) == (body["name"], body["kind"], body["hostname"])


@pytest.mark.parametrize(
    ("settings", "sent"),
    [
        ({"component_type": "server_api"}, {"uri": f"local://{HOST}"}),
        ({"component_type": "broker"}, {"uri": f"local://{HOST}"}),
        (
            {"component_type": "broker", "component_uri": "nats://n:4222"},
            {"uri": "nats://n:4222"},
        ),
        ({"component_uri": "k8s://noetl/pod-1"}, {"uri": "k8s://noetl/pod-1"}),
        ({"labels": {"site": "a"}}, {"labels": {"site": "a"}}),
    ],
)
def test_what_is_given_is_sent(settings, sent):
    """A server_api and a broker send a uri in any case, as NoETL asks for one."""
    body = registration_of(**settings)
    assert sent == {name: body[name] for name in ("uri", "labels") if name in body}


def values_of_two_clients(first, second):
    """Have two clients report a counter, one after the other; return what each has sent."""
    registry = Registry()
    jobs = Counter("jobs", "Jobs", registry=registry)
    found = []
    for settings in (first, second):
        sent = len(settings["transport"].received("jobs_total"))
        jobs.inc()
        with make_client(registry=registry, **settings) as client:
            client.flush()
        samples = settings["transport"].received("jobs_total")[sent:]
        found.append([sample.value for sample in samples])
    return found


def test_a_second_client_of_the_same_identity_goes_on_with_the_series():
    """A process may shut its client down and make it again: the series do not begin anew."""
    settings = {"transport": InMemoryTransport(), **SETTINGS}
    assert [[0.0, 1.0], [2.0]] == values_of_two_clients(settings, settings)


@pytest.mark.parametrize(
    "other",
    [
        {"component_name": "another pool"},
        {"component_type": "server_api"},
        {"component_name": None, "runtime_id": 7},
        {"worker_id": "w2"},
        {"labels": {"site": "b"}},
        {"transport": InMemoryTransport()},
    ],
)
def test_a_client_of_another_identity_begins_its_own_series(other):
    """Where its series are others, each begins with a sample of 0."""
    transport = InMemoryTransport()
    transport.runtime_ids["registered by another program"] = "7"
    settings = {"transport": transport, **SETTINGS}
    assert [[0.0, 1.0], [0.0, 2.0]] == values_of_two_clients(settings, {**settings, **other})
