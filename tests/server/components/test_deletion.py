"""Deleting a component that has many metrics, beside what others and its own clients do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from server_stub.components import deletion
from tests.server.application import running_api, sample
from tests.server.database_queries import today

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future

    import httpx

    from tests.postgresql import Cluster
    from tests.server.application import Api

# The server treats its database alike under every interpreter.
pytestmark = pytest.mark.once

ROWS = 100_000


@pytest.fixture
def patient(database_url: str) -> Generator[Api]:
    """An application that waits for a lock for longer than a test takes."""
    with running_api(database_url, lock_timeout_seconds=60.0) as api:
        yield api


def fill(api: Api, runtime_id: str, rows: int, partition_day: str = "now()") -> None:
    """Give a component rows of a hundred names and of many times."""
    api.sql(
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, timestamp, "
        "created_at) SELECT %s, 'many_' || n %% 100, 'gauge', n, "
        f"now() - make_interval(secs => n / 500), {partition_day} "
        "FROM generate_series(1, %s) AS n",
        int(runtime_id),
        rows,
    )


def metrics_by_component(api: Api) -> dict[str, int]:
    """Return how many rows each component has, by its id."""
    query = "SELECT runtime_id::text, count(*) FROM noetl.metric GROUP BY 1"
    return dict(api.sql(query))


def insert(api: Api, runtime_id: str) -> int:
    return api.insert({"runtime_id": runtime_id, "metrics": [sample()]}).status_code


def wait_for_a_lock(api: Api) -> None:
    """Return once a statement of the application waits for a lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'server_stub' AND wait_event_type = 'Lock'"
    )
    while [(0,)] == api.sql(query):
        pass


@contextmanager
def deleting(api: Api, runtime_id: str) -> Generator[Future[httpx.Response]]:
    """Delete a component beside the block."""
    with ThreadPoolExecutor() as executor:
        yield executor.submit(api.request, "DELETE", f"/api/runtime/{runtime_id}")


def test_others_insert_while_many_rows_are_deleted(patient: Api) -> None:
    """A deletion that is held up among its rows holds up no other insert, and no new client."""
    api = patient
    runtime_id, other = api.register("cpu-01", worker_id="w"), api.register("cpu-02")
    fill(api, runtime_id, ROWS)
    with psycopg.connect(api.database_url) as holder:
        holder.execute(
            "SELECT FROM noetl.metric WHERE runtime_id = %s AND metric_name = 'many_50' "
            "LIMIT 1 FOR UPDATE",
            (int(runtime_id),),
        )
        with deleting(api, runtime_id) as answer:
            wait_for_a_lock(api)
            left = metrics_by_component(api)[runtime_id]
            assert 0 < left < ROWS  # a part of it is committed already
            assert (200, 404) == (insert(api, other), insert(api, runtime_id))
            (listed,) = [
                entry["name"]
                for entry in api.get("/api/runtime").json()["components"]
                if entry["status"] == "deleting" and not entry["alive"]
            ]
            assert f"cpu-01 (deleting {runtime_id})" == listed
            assert "deleting" not in api.get("/metrics").text
            beat = {"name": "cpu-01", "worker_id": "w"}
            assert 404 == api.post("/api/worker/pool/heartbeat", json=beat).status_code
            anew = api.register("cpu-01", worker_id="w")
            assert anew != runtime_id
            assert 200 == insert(api, anew)
            assert not answer.done()
            holder.rollback()
            body = answer.result().json()
    assert ("cpu-01", ROWS) == (body["name"], body["metrics_deleted"])
    assert {other: 1, anew: 1} == metrics_by_component(api)
    assert [(int(anew),)] == api.sql("SELECT runtime_id FROM noetl.runtime_process")


def test_a_deletion_takes_portions(embedded_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """No transaction deletes more rows than a portion has, also where many have one time."""
    monkeypatch.setattr(deletion, "ROWS_DELETED_AT_ONCE", 30)
    api = embedded_api
    runtime_id, other = api.register("cpu-01"), api.register("cpu-02")
    for owner in (runtime_id, other):
        for partition_day in ("now()", "now() - interval '1 day'"):
            fill(api, owner, 1_000, partition_day)
    api.sql(
        "CREATE TABLE deleted (xid xid8, partition regclass);"
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO public.deleted VALUES (pg_current_xact_id(), TG_RELID); "
        "RETURN OLD; END';"
        "CREATE TRIGGER note AFTER DELETE ON noetl.metric FOR EACH ROW EXECUTE FUNCTION note()"
    )
    answer = api.request("DELETE", f"/api/runtime/{runtime_id}").json()
    assert 2_000 == answer["metrics_deleted"]
    portions = api.sql("SELECT count(*), count(DISTINCT partition) FROM deleted GROUP BY xid")
    assert (2_000, {1}) == (sum(rows for rows, _ in portions), {days for _, days in portions})
    assert 30 == max(rows for rows, _ in portions)
    assert {other: 2_000} == metrics_by_component(api)


def test_a_batch_under_way_is_deleted_too(patient: Api) -> None:
    """A deletion waits for a batch that has begun, and a batch that comes later is refused."""
    api = patient
    runtime_id = api.register("cpu-01")
    with psycopg.connect(api.database_url) as batch:
        batch.execute("SELECT FROM noetl.runtime FOR KEY SHARE")
        with deleting(api, runtime_id) as answer:
            wait_for_a_lock(api)
            assert 404 == insert(api, runtime_id)
            batch.execute(
                "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value) "
                "VALUES (%s, 'late', 'gauge', 1)",
                (int(runtime_id),),
            )
            assert not answer.done()
            batch.commit()
            assert 1 == answer.result().json()["metrics_deleted"]
    assert {} == metrics_by_component(api)


def test_rows_of_another_program_are_counted(patient: Api) -> None:
    """What a program that does not go by the component's status has inserted meanwhile goes too."""
    api = patient
    runtime_id = api.register("cpu-01")
    fill(api, runtime_id, 10)
    later = f"noetl.metric_{today():%Y_%m_%d}"
    with psycopg.connect(api.database_url) as program:
        program.execute("SELECT FROM noetl.metric ORDER BY metric_name LIMIT 1 FOR UPDATE")
        with deleting(api, runtime_id) as answer:
            wait_for_a_lock(api)
            program.execute(
                f"INSERT INTO {later} (runtime_id, metric_name, metric_type, metric_value) "
                "VALUES (%s, 'a', 'gauge', 1)",
                (int(runtime_id),),
            )
            program.commit()
            assert 11 == answer.result().json()["metrics_deleted"]
    assert {} == metrics_by_component(api)


def test_a_deletion_that_breaks_off_goes_on_with_the_next(database_url: str) -> None:
    """The answer is 503, the component takes no more batches, and a repeat deletes the rest."""
    with running_api(database_url, lock_timeout_seconds=0.1) as api:
        runtime_id = api.register("cpu-01")
        fill(api, runtime_id, 12_000)
        with psycopg.connect(database_url) as holder:
            holder.execute(
                "SELECT FROM noetl.metric WHERE metric_name = 'many_99' LIMIT 1 FOR UPDATE"
            )
            answer = api.request("DELETE", f"/api/runtime/{runtime_id}")
            assert (503, "1") == (answer.status_code, answer.headers["Retry-After"])
        assert 404 == insert(api, runtime_id)
        left = metrics_by_component(api)[runtime_id]
        assert 0 < left < 12_000
        again = api.request("DELETE", f"/api/runtime/{runtime_id}").json()
        assert ("cpu-01", left) == (again["name"], again["metrics_deleted"])
        assert ({}, []) == (metrics_by_component(api), api.get("/api/runtime").json()["components"])


def test_two_deletions_at_once_delete_everything_once(patient: Api) -> None:
    """Both answers are right for what each of them has deleted."""
    api = patient
    runtime_id = api.register("cpu-01")
    fill(api, runtime_id, 20_000)
    with deleting(api, runtime_id) as one, deleting(api, runtime_id) as two:
        answers = [one.result(), two.result()]
    found: list[Any] = [each.json() for each in answers if each.status_code == 200]
    assert {200} <= {each.status_code for each in answers} <= {200, 404}
    assert 20_000 == sum(each["metrics_deleted"] for each in found)
    assert {} == metrics_by_component(api)


def test_a_server_goes_on_reporting_after_its_own_component_is_deleted(
    postgresql: Cluster,
) -> None:
    """Its client registers anew, as the client of any component does."""
    with postgresql.database() as url:
        with running_api(url, reports_itself=True) as api:
            while not (found := api.sql("SELECT runtime_id::text FROM noetl.runtime")):
                pass
            ((runtime_id,),) = found
            assert 200 == api.request("DELETE", f"/api/runtime/{runtime_id}").status_code
            registry = api.app.state.resources.statistics.registry
            assert registry is not None
        ((anew, rows),) = api.sql(
            "SELECT r.runtime_id::text, count(*) FROM noetl.runtime AS r "
            "INNER JOIN noetl.metric AS m USING (runtime_id) GROUP BY 1"
        )
    assert anew != runtime_id
    assert rows > 0
