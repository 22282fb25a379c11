"""What a client says of itself when it registers, and which series are its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys

import pytest

from noetl_metrics_sdk import Counter, Registry
from noetl_metrics_sdk.client.identity import (
    RANDOM_CHARACTERS,
    identity_of_series,
    worker_id_of,
)
from noetl_metrics_sdk.collection.instrument_tracker import IDENTITIES_MAX
from noetl_metrics_sdk.testing import InMemoryTransport
from noetl_metrics_sdk.transport.http import HttpTransport
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


def received_values(registry):
    """Have a client with a transport to a server of its own report; return the counter's values."""
    found: list[float] = []

    def answer(request):
        if request.path.endswith("register"):
            return 200, {"runtime_id": "7"}
        found.extend(
            metric["metric_value"]
            for metric in (request.json or {}).get("metrics", [])
            if metric["metric_name"] == "jobs_total"
        )
        return 200, {"metrics_inserted": 1}

    with AnsweringServer(answer) as server:
        transport = HttpTransport(server.url)
        with make_client(registry=registry, transport=transport, worker_id="w1") as client:
            client.flush()
    return found


def test_two_servers_are_told_apart_by_the_addresses_of_their_transports():
    """A client that was given a transport to another server begins its own series there."""
    registry = Registry()
    Counter("jobs", "Jobs", registry=registry).inc()
    assert [0.0, 1.0] == received_values(registry)
    assert [0.0, 1.0] == received_values(registry)


def test_a_transport_that_is_gone_is_not_taken_for_a_later_one():
    """Another transport may have the same place in memory, and its client begins its own series."""
    config = make_client().config
    places: dict[int, object] = {}
    for _ in range(100):
        transport = InMemoryTransport()
        identity = identity_of_series(config, transport, "w1")
        earlier = places.setdefault(id(transport), identity)
        assert earlier is identity or earlier != identity
        del transport


def test_what_a_definition_remembers_of_its_clients_is_bounded():
    """A process may make any number of clients, each with an identity of its own."""
    registry = Registry()
    jobs = Counter("jobs", "Jobs", registry=registry)
    for number in range(IDENTITIES_MAX + 5):
        with make_client(registry=registry, worker_id=f"w{number}") as client:
            client.flush()
    assert IDENTITIES_MAX == len(jobs.definition.reported_until)


PROGRAM = """
import os, sys
from noetl_metrics_sdk import MetricsClient, Registry
from noetl_metrics_sdk.testing import InMemoryTransport


def worker_id():
    return MetricsClient(
        component_name="pool", registry=Registry(), transport=InMemoryTransport()
    ).worker_id


print(os.getpid(), worker_id(), worker_id(), flush=True)
if "fork" in sys.argv:
    if os.fork() == 0:
        print(os.getpid(), worker_id(), worker_id(), flush=True)
        os._exit(0)
    os.wait()
"""
IN_A_PID_NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork"]


def worker_ids(*arguments, prefix=()):
    """Return what each process prints: its pid, and the worker ids of two clients of it."""
    finished = subprocess.run(
        [*prefix, sys.executable, "-c", PROGRAM, *arguments],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return [tuple(line.split()) for line in finished.stdout.splitlines()]


@pytest.mark.once
def test_two_processes_with_one_process_id_and_host_name_have_two_worker_ids():
    """Containers on the host's network have its name, and each has a process 1."""
    if shutil.which("unshare") is None:
        pytest.skip("no unshare to make PID namespaces with")
    if subprocess.run([*IN_A_PID_NAMESPACE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine makes no PID namespaces for the user of the tests")
    ((pid, one, _),) = worker_ids(prefix=IN_A_PID_NAMESPACE)
    ((other_pid, other, _),) = worker_ids(prefix=IN_A_PID_NAMESPACE)
    assert ("1", "1") == (pid, other_pid)
    assert one != other
    assert one.startswith(f"{socket.gethostname()}-")
    assert one.endswith("-1")


@pytest.mark.once
def test_the_clients_of_a_process_share_their_default_worker_id():
    """A later client goes on with the series of an earlier one; a forked child has its own."""
    (_, parent, again), (_, child, child_again) = worker_ids("fork")
    assert (parent, child) == (again, child_again)
    assert parent != child


def test_a_random_part_is_drawn_for_each_process(monkeypatch):
    """Processes of one id, and of one name, differ: the random part is not made of the id."""
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    own = worker_id_of(None, forked=False)
    pattern = rf"localhost-[0-9a-f]{{{RANDOM_CHARACTERS}}}-{os.getpid()}"
    assert re.fullmatch(pattern, own)
    assert own == worker_id_of(None, forked=True)
