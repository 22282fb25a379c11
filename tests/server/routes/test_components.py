"""Registering components, heartbeats, goodbyes, deregistering, listing, deleting."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from server_stub.components import store
from server_stub.routes.json_route import VALUES_MAX
from tests.server.application import sample
from tests.server.components.silence import age

if TYPE_CHECKING:
    from tests.server.application import Api

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

REGISTER = "/api/worker/pool/register"
HEARTBEAT = "/api/worker/pool/heartbeat"
GOODBYE = "/api/worker/pool/goodbye"
DEREGISTER = ("/api/worker/pool/deregister", "/api/runtime/deregister")


def component(api: Api, name: str) -> dict[str, Any]:
    listed = api.get("/api/runtime").json()["components"]
    found: dict[str, Any] = next(entry for entry in listed if entry["name"] == name)
    return found


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/x-www-form-urlencoded"},  # what `curl -d` sends
        {"Content-Type": "text/plain; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Encoding": "x-gzip"},
    ],
)
def test_a_body_is_json_whatever_its_type(
    embedded_api_shared: Api, headers: dict[str, str]
) -> None:
    """Every route with a JSON object takes it as `POST /api/metrics` does, plain or compressed."""
    body = b'{"name": "of-curl"}'
    content = gzip.compress(body) if "Content-Encoding" in headers else body
    for path in (REGISTER, HEARTBEAT, *DEREGISTER):
        answer = embedded_api_shared.post(path, content=content, headers=headers)
        assert (200, "of-curl") == (answer.status_code, answer.json()["name"])


@pytest.mark.parametrize(
    ("content", "headers", "status", "detail"),
    [
        (b"{}", {"Content-Encoding": "br"}, 415, "use gzip or none"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "not valid gzip"),
        (gzip.compress(b" " * 600_000), {"Content-Encoding": "gzip"}, 413, "524288 bytes"),
        (b" " * 600_000, {}, 413, "exceeds 524288 bytes"),
        (b"name=cpu-01", {}, 422, "JSON"),
        (b"[" * 40_000, {}, 400, "pars"),
        (b"", {}, 422, "body: Field required"),
    ],
    ids=["encoding", "no gzip", "bomb", "large", "form", "deep", "empty"],
)
def test_a_body_that_is_no_small_object_is_refused(
    embedded_api_shared: Api, content: bytes, headers: dict[str, str], status: int, detail: str
) -> None:
    """The answer says what is wrong, and shows no bytes."""
    answer = embedded_api_shared.post(REGISTER, content=content, headers=headers)
    assert status == answer.status_code, answer.text
    assert detail in answer.json()["detail"]
    assert "b'" not in answer.text


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
        "alive": True,
        "process_counts": {"running": 0, "ended": 0, "lost": 0},
        "processes": [],
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
        (b"[" * 40_000, 400, "parsing the body"),
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
        (b'{"name": "a", "worker_id": ""}', 422, "at least 1 character"),
        (b'{"name": "a", "worker_id": "%s"}' % (b"w" * 513), 422, "at most 512 characters"),
        (b'{"name": "a", "worker_id": "\\u0000"}', 422, "NUL"),
        (b'{"name": "a", "started_at": "2026-01-01T00:00:00"}', 422, "body.started_at"),
        (b'{"name": "a", "heartbeat_interval": 0}', 422, "greater than 0"),
        (b'{"name": "a", "heartbeat_interval": 1e9}', 422, "less than or equal to 86400"),
        (b'{"name": "a", "heartbeat_interval": NaN}', 422, "body.heartbeat_interval"),
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


PROCESS = {
    "worker_id": "host-7",
    "hostname": "host",
    "pid": 7,
    "started_at": 1_764_000_000.5,
    "heartbeat_interval": 30.0,
    "sdk_version": "0.1.0",
}


def processes(api: Api, name: str) -> dict[str, str]:
    """Return the state of each listed process of a component."""
    return {entry["worker_id"]: entry["state"] for entry in component(api, name)["processes"]}


def goodbye(api: Api, name: str, **fields: Any) -> int:
    answer = api.post(GOODBYE, params={"name": name, **fields})
    return answer.status_code


def test_a_listing_has_the_processes_behind_a_component(api: Api) -> None:
    """A process is what it said of itself, at the registration or by a heartbeat."""
    api.register("cpu-01", **PROCESS)
    other = {"name": "cpu-01", "worker_id": "host-8", "pid": 8}
    assert 200 == api.post(HEARTBEAT, json=other).status_code
    listed = component(api, "cpu-01")
    assert listed["alive"]
    assert {"running": 2, "ended": 0, "lost": 0} == listed["process_counts"]
    second, first = listed["processes"]
    assert first.pop("last_heard_at") < second.pop("last_heard_at")
    assert first == {
        **PROCESS, "started_at": "2025-11-24T16:00:00.500000Z", "ended_at": None,
        "state": "running",
    }  # fmt: skip
    assert second == {
        **dict.fromkeys(PROCESS), "worker_id": "host-8", "pid": 8, "ended_at": None,
        "state": "running",
    }  # fmt: skip


def test_a_process_says_goodbye(api: Api) -> None:
    """It has ended from then on; its component is alive as long as another of its processes is."""
    api.register("cpu-01", **PROCESS)
    api.register("cpu-01", worker_id="host-8")
    assert 200 == goodbye(api, "cpu-01", **PROCESS)
    assert {"host-7": "ended", "host-8": "running"} == processes(api, "cpu-01")
    listed = component(api, "cpu-01")
    assert (True, {"running": 1, "ended": 1, "lost": 0}) == (
        listed["alive"], listed["process_counts"],
    )  # fmt: skip
    assert listed["processes"][1]["ended_at"] == listed["processes"][1]["last_heard_at"]
    assert 200 == goodbye(api, "cpu-01", worker_id="host-8")
    assert not component(api, "cpu-01")["alive"]


def test_a_goodbye_makes_a_process_known(api: Api) -> None:
    """A process that ends before its first heartbeat is on record as one that has ended."""
    api.register("cpu-01")
    assert 200 == goodbye(api, "cpu-01", **PROCESS)
    assert {"host-7": "ended"} == processes(api, "cpu-01")


def test_a_process_that_starts_again_runs_again(api: Api) -> None:
    """The goodbye of a process does not end a younger one with its worker_id that came before."""
    api.register("cpu-01", **PROCESS)
    assert 200 == goodbye(api, "cpu-01", **PROCESS)
    younger = {**PROCESS, "pid": 9, "started_at": 1_764_000_100}
    api.register("cpu-01", **younger)
    assert 200 == goodbye(api, "cpu-01", **PROCESS)
    (listed,) = component(api, "cpu-01")["processes"]
    assert ("running", 9, None) == (listed["state"], listed["pid"], listed["ended_at"])


def test_a_goodbye_needs_a_component_and_a_process(embedded_api_shared: Api) -> None:
    """An unknown component is 404, and a goodbye that names no process 422."""
    assert 404 == goodbye(embedded_api_shared, "nobody", worker_id="w")
    embedded_api_shared.register("somebody")
    assert 404 == goodbye(embedded_api_shared, "somebody", kind="broker", worker_id="w")
    assert 422 == goodbye(embedded_api_shared, "somebody")


def test_a_process_that_is_silent_for_three_of_its_intervals_is_lost(api: Api) -> None:
    """Each process goes by its own interval, or by 15 seconds, until it is heard of again."""
    for worker_id, interval in (("slow", 200.0), ("quick", 20.0), ("untold", None)):
        api.register("cpu-01", worker_id=worker_id, heartbeat_interval=interval)
    states = []
    for seconds in (32, 14, 15, 519, 21):
        age(api, seconds)
        listed = processes(api, "cpu-01")
        alive = component(api, "cpu-01")["alive"]
        states.append(([listed[name] for name in ("quick", "untold", "slow")], alive))
    assert states == [
        (["running", "running", "running"], True),
        (["running", "lost", "running"], True),
        (["lost", "lost", "running"], True),
        (["lost", "lost", "running"], True),
        (["lost", "lost", "lost"], False),
    ]
    assert {"running": 0, "ended": 0, "lost": 3} == component(api, "cpu-01")["process_counts"]
    api.post(HEARTBEAT, json={"name": "cpu-01", "worker_id": "quick"})
    assert "running" == processes(api, "cpu-01")["quick"]
    age(api, 46)
    assert component(api, "cpu-01")["alive"]
    age(api, 15)  # it has told its interval before
    assert not component(api, "cpu-01")["alive"]


def test_a_component_without_processes_goes_by_its_heartbeats(api: Api) -> None:
    """It is alive for three times 15 seconds after a heartbeat, whatever its processes were."""
    api.register("cpu-01", worker_id="w")
    assert 200 == goodbye(api, "cpu-01", worker_id="w")
    api.post(HEARTBEAT, json={"name": "cpu-01"})
    age(api, 31)
    assert component(api, "cpu-01")["alive"]
    age(api, 15)
    assert not component(api, "cpu-01")["alive"]


def test_a_component_that_deregistered_is_not_alive(api: Api) -> None:
    """Its processes are still on record; the next heartbeat makes it alive again."""
    api.register("cpu-01", worker_id="w")
    api.post(DEREGISTER[0], json={"name": "cpu-01"})
    assert not component(api, "cpu-01")["alive"]
    api.post(HEARTBEAT, json={"name": "cpu-01", "worker_id": "w"})
    assert component(api, "cpu-01")["alive"]


def test_a_listing_is_bounded(embedded_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the processes that run first, and counts all, also those that it leaves out."""
    monkeypatch.setattr(store, "PROCESSES_OF_A_COMPONENT_LISTED_MAX", 2)
    api = embedded_api
    for number in range(4):
        api.register("cpu-01", worker_id=f"w{number}")
        api.register("cpu-02", worker_id=f"w{number}")
    for number in (2, 3):
        assert 200 == goodbye(api, "cpu-01", worker_id=f"w{number}")
    listed = component(api, "cpu-01")
    assert ["w1", "w0"] == [entry["worker_id"] for entry in listed["processes"]]
    assert {"running": 2, "ended": 2, "lost": 0} == listed["process_counts"]
    monkeypatch.setattr(store, "PROCESSES_LISTED_MAX", 3)
    lengths = [len(component(api, name)["processes"]) for name in ("cpu-01", "cpu-02")]
    assert [1, 2] == sorted(lengths)


def test_deleting_answers_what_is_gone(api: Api) -> None:
    """The answer names the component and counts its rows; a second request is 404."""
    runtime_id = api.register("cpu-01", **PROCESS)
    kept = api.register("cpu-02", **PROCESS)
    for owner in (runtime_id, kept):
        api.insert({"runtime_id": owner, "metrics": [sample(), sample()]})
    answer = api.request("DELETE", f"/api/runtime/{runtime_id}")
    assert 200 == answer.status_code
    assert answer.json() == {
        "status": "ok", "name": "cpu-01", "runtime_id": runtime_id, "kind": "worker_pool",
        "metrics_deleted": 2,
    }  # fmt: skip
    assert ["cpu-02"] == [entry["name"] for entry in api.get("/api/runtime").json()["components"]]
    assert [(int(kept), 2)] == api.sql(
        "SELECT runtime_id, count(*) FROM noetl.metric GROUP BY runtime_id"
    )
    assert [(int(kept), "host-7")] == api.sql(
        "SELECT runtime_id, worker_id FROM noetl.runtime_process"
    )
    again = api.request("DELETE", f"/api/runtime/{runtime_id}")
    assert (404, {"detail": f"no runtime {runtime_id} is registered"}) == (
        again.status_code, again.json(),
    )  # fmt: skip


def test_deleting_refuses_what_is_no_id(embedded_api_shared: Api) -> None:
    """The answer says what a right id looks like."""
    answer = embedded_api_shared.request("DELETE", "/api/runtime/cpu-01")
    assert 400 == answer.status_code
    assert "must be a whole number" in answer.json()["detail"]


def test_a_listing_has_a_bounded_size(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Components that come when there is no more room are listed without what they say of
    themselves, and the answer says how many; processes are left out, and counted."""
    monkeypatch.setattr(store, "DOCUMENTS_LISTED_BYTES_MAX", 25_000)
    monkeypatch.setattr(store, "PROCESSES_LISTED_BYTES_MAX", 1_000)
    labels = {"text": "x" * 10_000}
    for number in range(4):
        api.register(f"cpu-{number}", labels=labels, worker_id=f"w-{number}")
    answer = api.get("/api/runtime").json()
    listed = answer["components"]
    assert [labels, labels, None, None] == [one["labels"] for one in listed]
    assert [1] * 4 == [one["process_counts"]["running"] for one in listed]
    assert 3 == sum(len(one["processes"]) for one in listed)
    (note,) = answer["notes"]
    assert note.startswith("2 components are shown without base_url, labels")


def test_a_registration_has_a_bounded_number_of_values(embedded_api: Api) -> None:
    """Too many are refused before objects are made of them; commas in a text are no values."""
    lists = b'{"name":"cpu-01","labels":[' + b"[]," * VALUES_MAX + b"[]]}"
    answer = embedded_api.post("/api/worker/pool/register", content=lists)
    assert 413 == answer.status_code
    assert "more than 50000 values" in answer.json()["detail"]
    embedded_api.register("cpu-01", labels={"text": "," * 60_000}, meta={"text": "," * 60_000})
