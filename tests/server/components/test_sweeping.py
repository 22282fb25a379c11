"""Components that become offline, and processes that become lost, without a word."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from server_stub.components.sweeping import Sweeping
from server_stub.errors import StoreUnavailableError
from server_stub.postgresql.database import Database
from server_stub.settings import Settings
from server_stub.statistics import Statistics
from tests.server.application import running_api
from tests.server.components.silence import Sweeper, age, listening_sweeper

if TYPE_CHECKING:
    from tests.server.application import Api

# The server treats its database alike under every interpreter.
pytestmark = pytest.mark.once

HEARTBEAT = "/api/worker/pool/heartbeat"


def statuses(api: Api) -> dict[str, str]:
    return dict(api.sql("SELECT name, status FROM noetl.runtime"))


def recorded(api: Api) -> dict[str, bool]:
    """Return each process on record, and whether a server has noticed that it is lost."""
    query = "SELECT worker_id, lost_at IS NOT NULL FROM noetl.runtime_process"
    return dict(api.sql(query))


def test_a_silent_component_becomes_offline(api: Api) -> None:
    """Sixty seconds after its last heartbeat it is offline, and the next one brings it back."""
    api.register("cpu-01")
    api.register("cpu-02", status="busy")
    sweeper = listening_sweeper(api)
    age(api, 45)
    api.post(HEARTBEAT, json={"name": "cpu-02"})
    sweeper.sweep()
    assert {"cpu-01": "ready", "cpu-02": "ready"} == statuses(api)
    age(api, 16)
    sweeper.sweep()
    assert {"cpu-01": "offline", "cpu-02": "ready"} == statuses(api)
    api.post(HEARTBEAT, json={"name": "cpu-01"})
    sweeper.sweep()
    assert {"cpu-01": "ready", "cpu-02": "ready"} == statuses(api)


def test_the_time_until_a_component_is_offline_can_be_set(embedded_api: Api) -> None:
    """`--component-offline-after-seconds` says how long a component may be silent."""
    embedded_api.register("cpu-01")
    age(embedded_api, 50)
    for seconds, status in ((60.0, "ready"), (40.0, "offline")):
        listening_sweeper(embedded_api, component_offline_after_seconds=seconds).sweep()
        assert {"cpu-01": status} == statuses(embedded_api)


def test_a_component_of_rare_heartbeats_stays_ready(embedded_api: Api) -> None:
    """As long as one of its processes runs by its own interval, a component is not offline."""
    api = embedded_api
    api.register("cpu-01", worker_id="w", heartbeat_interval=100.0)
    sweeper = listening_sweeper(api)
    age(api, 280)
    sweeper.sweep()
    assert {"cpu-01": "ready"} == statuses(api)
    age(api, 21)
    sweeper.sweep()
    assert {"cpu-01": "offline"} == statuses(api)


def test_a_lost_process_is_counted_once(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    """The server that notices it counts and logs it; a process that ended in order is not lost."""
    for worker_id in ("killed", "ended", "alive"):
        api.register("cpu-01", worker_id=worker_id)
    api.post("/api/worker/pool/goodbye", params={"name": "cpu-01", "worker_id": "ended"})
    sweeper, other = listening_sweeper(api), listening_sweeper(api)
    age(api, 46)
    api.post(HEARTBEAT, json={"name": "cpu-01", "worker_id": "alive"})
    with caplog.at_level(logging.WARNING, "server_stub.components.sweeping"):
        for each in (sweeper, other, sweeper):
            each.sweep()
    assert ["1 processes are silent, of: worker_pool/cpu-01"] == caplog.messages
    assert (1, 0) == (sweeper.value("processes_lost_total"), other.value("processes_lost_total"))
    assert {"killed": True, "ended": False, "alive": False} == recorded(api)
    api.post(HEARTBEAT, json={"name": "cpu-01", "worker_id": "killed"})
    assert {"killed": False, "ended": False, "alive": False} == recorded(api)
    age(api, 46)
    sweeper.sweep()
    assert 3 == sweeper.value("processes_lost_total")  # both, and the first one a second time


def test_every_server_counts_components_and_processes(api: Api) -> None:
    """The gauges have each state, also one that nothing is in any more."""
    api.register("cpu-01", worker_id="a")
    api.register("cpu-02", worker_id="b")
    api.register("cpu-03", status="busy")
    api.sql("UPDATE noetl.runtime SET status = 'of another server' WHERE name = 'cpu-02'")
    api.post("/api/worker/pool/goodbye", params={"name": "cpu-01", "worker_id": "a"})
    first, second = Sweeper(api), Sweeper(api)

    def counted(sweeper: Sweeper) -> dict[str, float | None]:
        sweeper.sweep()
        components = ("ready", "busy", "offline", "deleting", "other")
        processes = ("running", "ended", "lost")
        return {
            **{state: sweeper.value("components", state=state) for state in components},
            **{state: sweeper.value("processes", state=state) for state in processes},
        }

    expected = {
        "ready": 1, "busy": 1, "offline": 0, "deleting": 0, "other": 1,
        "running": 1, "ended": 1, "lost": 0,
    }  # fmt: skip
    assert [expected, expected] == [counted(first), counted(second)]
    age(api, 46)
    assert expected | {"running": 0, "lost": 1} == counted(first)


def test_a_server_that_has_just_started_marks_nothing(embedded_api: Api) -> None:
    """While no server was there, no process could make itself heard."""
    api = embedded_api
    api.register("cpu-01", worker_id="w")
    age(api, 3600)
    sweeper = Sweeper(api)
    sweeper.sweep()
    sweeper.clock.advance(59.0)
    sweeper.sweep()
    assert ({"cpu-01": "ready"}, {"w": False}) == (statuses(api), recorded(api))
    sweeper.clock.advance(1.0)
    sweeper.sweep()
    assert ({"cpu-01": "offline"}, {"w": True}) == (statuses(api), recorded(api))


def test_a_server_whose_database_was_away_marks_nothing(embedded_api: Api) -> None:
    """After an outage of the database, components get as much time as after a start."""
    api = embedded_api
    api.register("cpu-01", worker_id="w")
    age(api, 3600)
    clock = Sweeper(api).clock
    database = Database(api.database_url, 1)
    sweeping = Sweeping(database, Settings(), Statistics(), clock.monotonic)
    clock.advance(60.0)

    async def sweep_after_an_outage() -> None:
        with pytest.raises(StoreUnavailableError):
            await sweeping.run_once()
        await database.open()
        await sweeping.run_once()

    async def sweep_and_close() -> None:
        await sweeping.run_once()
        await database.close()

    api.loop.run(sweep_after_an_outage())
    assert ({"cpu-01": "ready"}, {"w": False}) == (statuses(api), recorded(api))
    clock.advance(60.0)
    api.loop.run(sweep_and_close())
    assert ({"cpu-01": "offline"}, {"w": True}) == (statuses(api), recorded(api))


def test_one_server_at_a_time_marks(embedded_api: Api) -> None:
    """While another server does it, a server goes on without waiting, and counts."""
    api = embedded_api
    api.register("cpu-01", worker_id="w")
    age(api, 3600)
    sweeper = listening_sweeper(api)
    with psycopg.connect(api.database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtextextended('noetl.runtime sweep', 0))")
        sweeper.sweep()
        assert ({"cpu-01": "ready"}, {"w": False}) == (statuses(api), recorded(api))
        assert 1 == sweeper.value("processes", state="lost")
    sweeper.sweep()
    assert ({"cpu-01": "offline"}, {"w": True}) == (statuses(api), recorded(api))


def test_processes_are_forgotten_with_what_they_have_reported(api: Api) -> None:
    """One that does not run goes after the retention; one that runs stays, however rarely heard."""
    for worker_id, interval in (("lost", 10.0), ("ended", 10.0), ("running", 86_400.0)):
        api.register("cpu-01", worker_id=worker_id, heartbeat_interval=interval)
    api.post("/api/worker/pool/goodbye", params={"name": "cpu-01", "worker_id": "ended"})
    sweeper = listening_sweeper(api)
    age(api, 86_000)
    sweeper.sweep()
    assert {"lost", "ended", "running"} == set(recorded(api))
    age(api, 500)
    sweeper.sweep()
    assert {"running"} == set(recorded(api))


def test_a_component_that_is_being_deleted_stays_so(embedded_api: Api) -> None:
    """However long the deletion takes, its component does not become offline."""
    embedded_api.register("cpu-01")
    embedded_api.sql("UPDATE noetl.runtime SET status = 'deleting'")
    age(embedded_api, 3600)
    listening_sweeper(embedded_api).sweep()
    assert {"cpu-01": "deleting"} == statuses(embedded_api)


def test_a_running_server_sweeps(database_url: str) -> None:
    """It marks a silent component without a request, and keeps its own component alive."""
    settings: dict[str, Any] = {"component_offline_after_seconds": 0.4}
    with running_api(database_url, reports_itself=True, **settings) as api:
        while "metrics-server" not in statuses(api):
            pass
        api.register("cpu-01")
        while "offline" != statuses(api)["cpu-01"]:
            pass
        listed = {entry["name"]: entry for entry in api.get("/api/runtime").json()["components"]}
        own = listed["metrics-server"]
        assert ("ready", True) == (own["status"], own["alive"])
        assert ["running"] == [process["state"] for process in own["processes"]]
        (process_id,) = {process["pid"] for process in own["processes"]}
        assert process_id == own["runtime"]["pid"]
    states = api.sql("SELECT ended_at IS NOT NULL FROM noetl.runtime_process")
    assert [(True,)] == states
