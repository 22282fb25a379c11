"""How many processes of a component the server keeps on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from server_stub.components import processes

if TYPE_CHECKING:
    from tests.server.application import Api

# The server treats its database alike under every interpreter.
pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three processes are the most."""
    monkeypatch.setattr(processes, "PROCESSES_PER_COMPONENT_MAX", 3)
    monkeypatch.setattr(processes, "FORGOTTEN_AT_ONCE", 1)


def recorded(api: Api, name: str = "cpu-01") -> list[Any]:
    query = (
        "SELECT worker_id FROM noetl.runtime_process "
        "INNER JOIN noetl.runtime AS r USING (runtime_id) WHERE r.name = %s ORDER BY 1"
    )
    return [worker_id for (worker_id,) in api.sql(query, name)]


def unrecorded(api: Api) -> float | None:
    registry = api.app.state.resources.statistics.registry
    value: float | None = registry.get_sample_value("noetl_api_processes_unrecorded_total")
    return value


def test_a_process_that_no_longer_runs_makes_room(api: Api) -> None:
    """When a component has the most processes, the one that was silent for longest is forgotten."""
    for worker_id in ("a", "b", "c"):
        api.register("cpu-01", worker_id=worker_id)
    for worker_id in ("b", "a"):
        api.post("/api/worker/pool/goodbye", params={"name": "cpu-01", "worker_id": worker_id})
    api.register("cpu-01", worker_id="d")
    assert ["a", "c", "d"] == recorded(api)
    assert 0 == unrecorded(api)


def test_a_process_for_which_there_is_no_room_is_counted(api: Api) -> None:
    """It works as any other, and is on record once another one has ended."""
    for worker_id in ("a", "b", "c", "d"):
        api.register("cpu-01", worker_id=worker_id)
        api.register("cpu-02", worker_id=worker_id)
    heartbeat = {"name": "cpu-01", "worker_id": "d"}
    assert 200 == api.post("/api/worker/pool/heartbeat", json=heartbeat).status_code
    assert 200 == api.post("/api/worker/pool/goodbye", params=heartbeat).status_code
    assert ["a", "b", "c"] == recorded(api) == recorded(api, "cpu-02")
    assert 3 == unrecorded(api)
    api.post("/api/worker/pool/goodbye", params={"name": "cpu-01", "worker_id": "b"})
    api.post("/api/worker/pool/heartbeat", json=heartbeat)
    assert ["a", "c", "d"] == recorded(api)
