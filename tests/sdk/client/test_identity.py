"""What a client says of itself when it registers."""

from __future__ import annotations

import socket

import pytest

from noetl_metrics_sdk import Registry
from tests.sdk.answering_server import AnsweringServer
from tests.sdk.client.clients import make_client

HOST = socket.gethostname()


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
