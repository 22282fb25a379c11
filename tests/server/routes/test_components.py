"""Registering components, heartbeats, deregistering, listing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.server.application import sample

if TYPE_CHECKING:
    from tests.server.application import Api

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

REGISTER = "/api/worker/pool/register"
HEARTBEAT = "/api/worker/pool/heartbeat"
DEREGISTER = ("/api/worker/pool/deregister", "/api/runtime/deregister")


def component(api: Api, name: str) -> dict[str, Any]:
    listed = api.get("/api/runtime").json()["components"]
    found: dict[str, Any] = next(entry for entry in listed if entry["name"] == name)
    return found


@pytest.mark.parametrize("path", [REGISTER, "/api/runtime/register"])
def test_a_registration_is_kept_and_answered(api: Api, path: str) -> None:
    """Every field of a registration is kept; pid, host and meta are part of the runtime."""
    registration = {
        "name": "cpu-01",
        "kind": "broker",
        "runtime": "cpu",
        "uri": "http://worker:9000",
        "status": "busy",
        "capacity": 8,
        "labels": {"zone": "a"},
        "capabilities": ["http", "sql"],
        "pid": 4711,
        "hostname": "worker",
        "meta": {"version": "1.0"},
    }
    answer = api.post(path, json=registration)
    assert 200 == answer.status_code
    runtime_id = answer.json()["runtime_id"]
    assert answer.json() == {
        "status": "ok",
        "name": "cpu-01",
        "runtime_id": runtime_id,
        "kind": "broker",
        "runtime": "cpu",
    }
    listed = component(api, "cpu-01")
    times = {name: listed.pop(name) for name in ("last_heartbeat", "created_at", "updated_at")}
    assert 1 == len(set(times.values()))
    assert listed == {
        "runtime_id": runtime_id,
        "name": "cpu-01",
        "kind": "broker",
        "component_type": "broker",
        "base_url": "http://worker:9000",
        "status": "busy",
        "labels": {"zone": "a"},
        "capabilities": ["http", "sql"],
        "capacity": 8,
        "runtime": {
            "type": "cpu",
            "pid": 4711,
            "hostname": "worker",
            "meta": {"version": "1.0"},
        },
    }


def test_a_second_registration_empties_nothing(api: Api) -> None:
    """A worker registers itself, and its metrics client registers it again by its name only."""
    described = {
        "runtime": "cpu", "uri": "local://worker", "capacity": 8, "labels": {"zone": "a"},
        "pid": 1, "meta": {"version": "1.0"},
    }  # fmt: skip
    runtime_id = api.register("cpu-01", **described)
    before = component(api, "cpu-01")
    assert runtime_id == api.register("cpu-01")
    assert runtime_id == api.register("cpu-01", pid=2, hostname="worker")
    after = component(api, "cpu-01")
    assert {**before["runtime"], "pid": 2, "hostname": "worker"} == after["runtime"]
    for name in ("base_url", "capacity", "labels", "capabilities", "status"):
        assert before[name] == after[name]


def test_registering_again_updates_and_keeps_the_id(api: Api) -> None:
    """The same name of the same kind keeps its id; fields that are left out stay as they were."""
    first = api.register("cpu-01", capacity=8, labels={"a": "b"})
    again = api.register("cpu-01", component_type="worker_pool", capacity=9, base_url="http://x")
    other = api.register("cpu-01", kind="broker")
    assert first == again != other
    listed = component(api, "cpu-01")
    assert "broker" == listed["kind"]
    (pool,) = [
        entry
        for entry in api.get("/api/metrics/components").json()["components"]
        if entry["runtime_id"] == first
    ]
    assert (9, {"a": "b"}, "http://x") == (pool["capacity"], pool["labels"], pool["base_url"])


def test_ids_are_beyond_a_javascript_number(embedded_api: Api) -> None:
    """An id is the text of a 64-bit number that no NoETL server makes."""
    runtime_id = embedded_api.register()
    assert 2**62 <= int(runtime_id) < 2**63


def test_a_heartbeat_makes_ready(api: Api) -> None:
    """A heartbeat answers with the id, and sets the status and the time."""
    runtime_id = api.register("cpu-01", status="busy")
    registered_at = component(api, "cpu-01")["last_heartbeat"]
    answer = api.post(HEARTBEAT, json={"name": "cpu-01"})
    assert 200 == answer.status_code
    assert answer.json() == {
        "status": "ok", "name": "cpu-01", "runtime_id": runtime_id, "kind": "worker_pool",
    }  # fmt: skip
    listed = component(api, "cpu-01")
    assert "ready" == listed["status"]
    assert listed["last_heartbeat"] > registered_at


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("path", DEREGISTER)
def test_deregistering_keeps_the_metrics(embedded_api_shared: Api, method: str, path: str) -> None:
    """A component that deregisters is offline, and its metrics stay."""
    api = embedded_api_shared
    name = f"{method}{path}"
    runtime_id = api.register(name)
    api.insert({"runtime_id": runtime_id, "metrics": [sample()]})
    answer = api.request(method, path, json={"name": name})
    assert (answer.status_code, answer.json()["runtime_id"]) == (200, runtime_id)
    assert "offline" == component(api, name)["status"]
    assert 1 == len(api.get(f"/api/runtime/{runtime_id}/metrics").json()["metrics"])


@pytest.mark.parametrize("path", [HEARTBEAT, *DEREGISTER])
def test_an_unknown_component_is_404(embedded_api_shared: Api, path: str) -> None:
    """The answer names a component that is not registered, or only as another kind."""
    embedded_api_shared.register("a-broker", kind="broker")
    for name in ("nobody", "a-broker"):
        answer = embedded_api_shared.post(path, json={"name": name})
        assert 404 == answer.status_code
        assert answer.json() == {
            "detail": f"no worker_pool named {name!r} is registered: register it first"
        }


def test_a_name_of_two_kinds_is_ambiguous(embedded_api_shared: Api) -> None:
    """If a pool and a broker share a name, a batch for it has to give the runtime_id."""
    embedded_api_shared.register("twice")
    embedded_api_shared.register("twice", kind="broker")
    answer = embedded_api_shared.insert({"component_name": "twice", "metrics": []})
    assert 400 == answer.status_code
    assert "a broker and a worker_pool: use the runtime_id" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (b"", 422, "body: Field required"),
        (b"{", 422, "JSON decode error"),
        (b"[]", 422, "body"),
        (b"[" * 100_000, 400, "parsing the body"),
        (b"{}", 422, "body.name: Field required"),
        (b'{"name": ""}', 422, "at least 1 character"),
        (b'{"name": " "}', 422, "must not be blank"),
        (b'{"name": 7}', 422, "body.name is 7: Input should be a valid string"),
        (b'{"name": "a\\u0000"}', 422, "NUL"),
        (b'{"name": "\\ud800"}', 422, "body.name"),
        (b'{"name": "%s"}' % (b"a" * 256), 422, "at most 255 characters"),
        (b'{"name": "a", "kind": "worker"}', 422, "'worker_pool', 'server_api' or 'broker'"),
        (b'{"name": "a", "status": "lost"}', 422, "'ready', 'busy' or 'offline'"),
        (b'{"name": "a", "capacity": 2147483648}', 422, "less than or equal to 2147483647"),
        (b'{"name": "a", "capacity": -1}', 422, "greater than or equal to 0"),
        (b'{"name": "a", "pid": 1e99}', 422, "body.pid"),
        (b'{"name": "a", "labels": "x"}', 422, "body.labels"),
        (b'{"name": "a", "labels": {"x": "\\u0000"}}', 422, "NUL"),
        (b'{"name": "a", "labels": {"\\ud800": ""}}', 422, "body.labels"),
        (b'{"name": "a", "meta": {"x": NaN}}', 422, "without NaN"),
        (b'{"name": "a", "meta": {"x": "%s"}}' % (b"a" * 65_536), 422, "at most 65536"),
        (b'{"name": "a", "runtime": 7}', 422, "body.runtime"),
        (b'{"name": "a", "uri": 7}', 422, "body.uri"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_bad_registration_is_refused(
    embedded_api_shared: Api, body: bytes, status: int, detail: str
) -> None:
    """The answer names the wrong field of a registration, and its value."""
    for path in (REGISTER, "/api/runtime/register"):
        answer = embedded_api_shared.post(path, content=body)
        assert answer.status_code == status
        assert ["detail"] == list(answer.json())
        assert detail in answer.json()["detail"]


@pytest.mark.parametrize("path", [HEARTBEAT, *DEREGISTER])
def test_a_bad_name_is_refused(embedded_api_shared: Api, path: str) -> None:
    """A heartbeat or a deregistration without a valid name is refused."""
    for body in ({}, {"name": "\x00"}, {"name": "a", "kind": "x"}):
        answer = embedded_api_shared.post(path, json=body)
        assert 422 == answer.status_code
        assert "body." in answer.json()["detail"]


def test_a_backslash_is_no_nul(embedded_api_shared: Api) -> None:
    """The text `\\u0000`, written with a backslash of its own, is kept."""
    embedded_api_shared.register("backslash", meta={"a": "\\u0000"})
    assert {"meta": {"a": "\\u0000"}} == component(embedded_api_shared, "backslash")["runtime"]
