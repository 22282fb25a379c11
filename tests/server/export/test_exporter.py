"""The export sends every row once, however late its commit, whatever the receiver does."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from server_stub.errors import ReceiverUnavailableError
from server_stub.time_series_database.families import REMEMBERED_SECONDS
from tests.server.application import insert, running_api, sample
from tests.server.receiving import FakeReceiver, Received, export_to

if TYPE_CHECKING:
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

T = 1_700_000_000
GOOD_MANY = 40


def numbered(count: int, first: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """Return samples of one series, each with its number as value and time."""
    return [
        sample(metric_value=float(i), timestamp=T + i, **fields)
        for i in range(first, first + count)
    ]


def refusing(name: str, *values: float) -> Any:
    """Return a rule that refuses requests with one of these values of a metric."""

    def answer(samples: list[Received]) -> httpx.Response | None:
        bad = [it for it in samples if it.labels["__name__"] == name and it.value in values]
        return httpx.Response(400, text="bad sample") if bad else None

    return answer


def test_every_row_is_sent_once_in_the_order_of_time(api: Api) -> None:
    """Each series gets its samples in order, with the labels that the exposition shows."""
    runtime_id = api.register("pool-1")
    shuffled = sorted(numbered(30, labels={"kind": "sql"}), key=lambda one: one["timestamp"] % 7)
    insert(api, runtime_id, *shuffled, *numbered(5, labels={"component": "mine", "empty": ""}))
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
        common = {
            "__name__": "jobs_total", "runtime_id": runtime_id, "component": "pool-1",
            "component_type": "worker_pool",
        }  # fmt: skip
        assert {
            tuple(sorted((common | own).items())): [((T + i) * 1000, float(i)) for i in range(n)]
            for own, n in (({"kind": "sql"}, 30), ({"exported_component": "mine"}, 5))
        } == {
            key: found
            for key, found in fake.by_series().items()
            if ("__name__", "jobs_total") in key
        }
        sent = len(fake.samples)
        assert sent == export.counted("samples_total")
        assert not export.turn()
        assert sent == len(fake.samples)


def test_a_row_that_is_committed_late_is_not_skipped(api: Api) -> None:
    """PostgreSQL gives out ids before rows are visible; the export waits for their transactions."""
    runtime_id = api.register()
    fake = FakeReceiver()
    statement = (
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value) "
        "VALUES (%s, 'late', 'gauge', %s)"
    )
    with (
        export_to(api, fake) as export,
        psycopg.connect(api.database_url) as late,
        psycopg.connect(api.database_url) as broken_off,
    ):
        late.execute(statement, (runtime_id, 1.0))
        broken_off.execute(statement, (runtime_id, 2.0))
        insert(api, runtime_id, sample(metric_name="late", metric_type="gauge", metric_value=3.0))
        turn = threading.Thread(target=export.finish)
        turn.start()
        (ids,) = api.sql("SELECT last_value FROM noetl.metric_metric_id_seq")
        broken_off.rollback()
        # The test sees it wait: it has claimed the export, and holds it.
        waiting = (
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%virtualtransaction%' AND state "
        )
        deadline = time.monotonic() + 30
        while not api.sql(waiting + "LIKE 'idle in transaction'"):
            assert time.monotonic() < deadline
        assert [] == fake.samples
        late.commit()
        turn.join(30)
        assert not turn.is_alive()
        assert [1.0, 3.0] == sorted(fake.values("late"))
        assert export.progress()[0] >= ids[0]


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_the_isolation_of_the_database_is_not_the_exports(database_url: str, level: str) -> None:
    """If sessions see one snapshot by default, the export still sees what it has waited for."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            f"ALTER DATABASE {connection.info.dbname} SET default_transaction_isolation = '{level}'"
        )
    with running_api(database_url) as api:
        test_a_row_that_is_committed_late_is_not_skipped(api)


def test_a_database_that_is_set_back_is_exported_from_there(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the rows, the ids and the position are those of an earlier time, as after a backup, the
    export says so, and passes no row over that comes from then on."""
    api = embedded_api
    monkeypatch.setattr("server_stub.export.portion.ROWS_MAX", 10)
    monkeypatch.setattr("server_stub.export.exporter.HORIZON_SECONDS", 0.1)
    runtime_id = api.register()
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        insert(api, runtime_id, *numbered(20))
        export.finish()
        api.sql(
            "CREATE TABLE public.backup AS"
            " SELECT e.*, s.last_value"
            " FROM noetl.metric_export AS e, noetl.metric_metric_id_seq AS s"
        )
        insert(api, runtime_id, *numbered(100, 20))
        export.finish()
        api.sql(
            "DELETE FROM noetl.metric WHERE metric_id > (SELECT last_value FROM public.backup);"
            "DELETE FROM noetl.metric_export;"
            "SELECT setval('noetl.metric_metric_id_seq', last_value) FROM public.backup;"
            "ALTER TABLE public.backup DROP COLUMN last_value;"
            "INSERT INTO noetl.metric_export SELECT * FROM public.backup"
        )
        fake.samples.clear()
        with psycopg.connect(api.database_url) as late:
            late.execute(
                "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value) "
                "VALUES (%s, 'late', 'gauge', 1)",
                (int(runtime_id),),
            )
            insert(api, runtime_id, *numbered(30, 200))
            for _ in range(8):
                export.turn()
            late.commit()
        export.finish()
        assert [float(number) for number in range(200, 230)] == fake.values("jobs_total")
        assert [1.0] == fake.values("late")
    assert 1 == caplog.text.count("the database was set back")


def test_a_component_that_is_renamed_is_exported_by_its_new_name(embedded_api: Api) -> None:
    """What the server keeps of a series does not outlive the component's name."""
    api = embedded_api
    runtime_id = api.register("old")
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        for number, name in enumerate(("old", "new")):
            api.sql("UPDATE noetl.runtime SET name = %s WHERE name = 'old'", name)
            insert(api, runtime_id, *numbered(1, number))
            export.finish()
    assert ["old", "new"] == [one.labels["component"] for one in fake.samples]


def test_families_that_the_database_has_lost_are_written_again(embedded_api: Api) -> None:
    """A server does not trust for long that the table still has what it wrote."""
    api = embedded_api
    runtime_id = api.register()
    now = [0.0]
    families = "SELECT metric_name FROM noetl.metric_family"
    with export_to(api, FakeReceiver(), lambda: now[0]) as export:
        insert(api, runtime_id, *numbered(1))
        export.finish()
        api.sql("DELETE FROM noetl.metric_family")
        now[0] = REMEMBERED_SECONDS
        insert(api, runtime_id, *numbered(1, 1))
        export.finish()
    assert [("jobs_total",)] == api.sql(families)


def test_a_transaction_that_inserts_for_long_is_waited_for_in_vain(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The turn ends, no row is skipped, and a later turn sends all of them."""
    monkeypatch.setattr("server_stub.export.exporter.HORIZON_SECONDS", 0.1)
    runtime_id = api.register()
    fake = FakeReceiver()
    with export_to(api, fake) as export, psycopg.connect(api.database_url) as late:
        late.execute(
            "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value) "
            "VALUES (%s, 'late', 'gauge', 1)",
            (runtime_id,),
        )
        insert(api, runtime_id, *numbered(3))
        assert not export.turn()
        assert [] == fake.samples
        late.commit()
        export.finish()
        assert [0.0, 1.0, 2.0] == fake.values("jobs_total")
        assert [1.0] == fake.values("late")


def test_what_is_being_deleted_is_not_exported(embedded_api: Api) -> None:
    """A component that is being deleted has another name, which makes no series elsewhere."""
    api = embedded_api
    deleted, kept = api.register("deleted"), api.register("kept")
    for runtime_id in (deleted, kept, deleted):
        insert(api, runtime_id, *numbered(3))
    api.sql("UPDATE noetl.runtime SET status = 'deleting' WHERE runtime_id = %s", int(deleted))
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
        assert {kept} == {one.labels["runtime_id"] for one in fake.samples}
        (ids,) = api.sql("SELECT last_value FROM noetl.metric_metric_id_seq")
        assert export.progress()[0] >= ids[0]


@pytest.mark.parametrize("status", [500, 503, 429, 401, 403, 404, 302])
def test_the_position_moves_only_when_the_receiver_has_acknowledged(
    embedded_api: Api, status: int
) -> None:
    """A failure that is not about the samples leads to another attempt, and costs no sample."""
    api = embedded_api
    insert(api, api.register(), *numbered(3))
    fake = FakeReceiver()
    fake.answer = lambda _: httpx.Response(status, headers={"Retry-After": "7"}, text="not now")
    with export_to(api, fake) as export:
        for _ in range(3):
            with pytest.raises(ReceiverUnavailableError, match="not now") as caught:
                export.turn()
            assert 7.0 == caught.value.retry_after_seconds
        assert [] == api.sql("SELECT 1 FROM noetl.metric_export WHERE position > 0")
        fake.answer = lambda _: None
        export.finish()
        assert [0.0, 1.0, 2.0] == fake.values("jobs_total")


def test_a_receiver_that_cannot_be_reached_costs_no_sample(embedded_api: Api) -> None:
    """A receiver that breaks off costs no sample either."""
    api = embedded_api
    insert(api, api.register(), *numbered(3))
    fake = FakeReceiver()

    def fail(_: list[Received]) -> httpx.Response:
        raise httpx.ReadError("broken off")

    fake.answer = fail
    with export_to(api, fake) as export:
        with pytest.raises(ReceiverUnavailableError, match="cannot be reached: broken off"):
            export.turn()
        fake.answer = lambda _: None
        export.finish()
        assert [0.0, 1.0, 2.0] == fake.values("jobs_total")


def test_a_sample_that_the_receiver_refuses_costs_no_other(embedded_api: Api) -> None:
    """The export finds the sample by halving requests, leaves it out, and counts it."""
    api = embedded_api
    insert(api, api.register(), *numbered(GOOD_MANY))
    fake = FakeReceiver()
    fake.answer = refusing("jobs_total", 7.0, 23.0)
    with export_to(api, fake) as export:
        export.finish()
        expected = [float(i) for i in range(GOOD_MANY) if i not in {7, 23}]
        assert expected == fake.values("jobs_total")
        assert 2 == export.dropped("refused")
        assert len(fake.samples) == export.counted("samples_total")


def test_a_wrong_address_costs_no_sample(embedded_api: Api) -> None:
    """A server that also refuses a request without samples is no receiver: its refusals do not
    count."""
    api = embedded_api
    insert(api, api.register(), *numbered(5))
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
        before = export.progress()
        insert(api, api.register(), *numbered(5, first=5))
        # A load balancer that has begun to lead to another server.
        fake.answer = lambda _: httpx.Response(400, text="unsupported path")
        for _ in range(10):
            with pytest.raises(ReceiverUnavailableError, match="unsupported path"):
                export.turn()
        assert before == export.progress()
        fake.answer = lambda _: None
        export.finish()
        assert [float(i) for i in range(10)] == fake.values("jobs_total")
        assert export.dropped("refused") is None


def test_what_is_not_settled_is_sent_again_after_a_restart(embedded_api: Api) -> None:
    """A killed receiver has lost its last seconds: the export repeats those, and nothing older."""
    api = embedded_api
    runtime_id = api.register()
    fake = FakeReceiver()
    with export_to(api, fake, export_settling_seconds=0.0) as export:
        insert(api, runtime_id, *numbered(5))
        export.finish()
        export.finish()
        assert export.progress()[1] == export.progress()[2]
    with export_to(api, fake, export_settling_seconds=3600.0) as export:
        insert(api, runtime_id, *numbered(5, first=5))
        export.finish()
        fake.samples.clear()
        insert(api, runtime_id, *numbered(5, first=10))
        export.receiver.interruptions += 1  # as after a connection that has broken off
        export.finish()
        assert {float(i) for i in range(5, 15)} == set(fake.values("jobs_total"))
        assert 5 <= (export.counted("samples_repeated_total") or 0)
        assert fake.values("jobs_total")[-5:] == [10.0, 11.0, 12.0, 13.0, 14.0]


def test_a_receiver_that_refuses_what_it_has_is_not_asked_for_all_of_it(embedded_api: Api) -> None:
    """Prometheus takes nothing older than its newest sample: the export goes on where it was."""
    api = embedded_api
    runtime_id = api.register()
    fake = FakeReceiver()
    with export_to(api, fake, export_settling_seconds=3600.0) as export:
        for first in range(0, 30, 10):
            insert(api, runtime_id, *numbered(10, first=first))
            export.finish()
        known = {(str(one.labels), one.timestamp_ms) for one in fake.samples}

        def answer(samples: list[Received]) -> httpx.Response | None:
            repeated = any((str(one.labels), one.timestamp_ms) in known for one in samples)
            return httpx.Response(400, text="out of order sample") if repeated else None

        fake.answer = answer
        export.receiver.interruptions += 1
        requests = len(fake.requests)
        insert(api, runtime_id, *numbered(10, first=30))
        export.finish()
        assert [float(i) for i in range(40)] == fake.values("jobs_total")
        assert len(fake.requests) < requests + 10
        assert export.dropped("out_of_order") is None


def test_a_repetition_that_is_too_large_is_sent_in_parts(embedded_api: Api) -> None:
    """Only a receiver with later samples has lost nothing; other refusals cost no sample."""
    api = embedded_api
    runtime_id = api.register()
    fake = FakeReceiver()
    with export_to(api, fake, export_settling_seconds=3600.0) as export:
        insert(api, runtime_id, *numbered(20))
        export.finish()
        fake.samples.clear()
        fake.answer = lambda some: httpx.Response(413, text="too large") if len(some) > 7 else None
        export.receiver.interruptions += 1
        export.finish()
        assert {float(i) for i in range(20)} == set(fake.values("jobs_total"))


def test_several_servers_export_every_row_once(api: Api) -> None:
    """One server exports and the others stand by; the next one goes on where the first was."""
    runtime_id = api.register()
    insert(api, runtime_id, *numbered(200))
    fake = FakeReceiver()
    with export_to(api, fake) as one, export_to(api, fake) as other:
        # Each server sends unsettled rows again when it first meets the receiver, and only then.
        one.receiver.interruptions = other.receiver.interruptions = 0
        one.export._reader.size.row_limit = other.export._reader.size.row_limit = 3
        threads = [threading.Thread(target=it.finish) for it in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        one.finish()
        assert [float(i) for i in range(200)] == fake.values("jobs_total")


def test_what_the_protocol_cannot_say_is_counted(embedded_api: Api) -> None:
    """An invalid name, and the earlier of two samples in a millisecond, are not sent."""
    api = embedded_api
    runtime_id = api.register()
    api.sql(
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, timestamp) "
        "SELECT %s, name, 'gauge', value, to_timestamp(%s) + after FROM (VALUES "
        "('a name', 1, interval '0'), ('twice', 1, interval '1.2 ms'), "
        "('twice', 2, interval '1.9 ms'), ('twice', 3, interval '2 ms')) AS v (name, value, after)",
        runtime_id,
        T,
    )
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
        found = [(one.timestamp_ms, one.value) for one in fake.samples
                 if one.labels["__name__"] == "twice"]  # fmt: skip
        assert [(T * 1000 + 1, 2.0), (T * 1000 + 2, 3.0)] == found
        assert 1 == export.dropped("invalid")
        assert 1 == export.dropped("same_millisecond")


def test_what_is_too_far_ahead_is_not_sent(embedded_api: Api) -> None:
    """A sample of the future would have the receiver refuse all of the present: it is counted."""
    api = embedded_api
    runtime_id = api.register()
    api.sql(
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, timestamp) "
        "SELECT %s, name, 'gauge', 1, now() + ahead FROM (VALUES ('soon', interval '590 s'), "
        "('ahead', interval '14 h'), ('now', interval '0')) AS v (name, ahead)",
        runtime_id,
    )
    fake = FakeReceiver()
    with export_to(api, fake, remote_write_url="http://receiver") as export:
        export.finish()
        assert ["soon", "now"] == [one.labels["__name__"] for one in fake.samples]
        assert 1 == export.dropped("ahead")


def test_special_values_arrive(embedded_api: Api) -> None:
    """NaN, the infinities and the extremes of a double arrive unchanged."""
    api = embedded_api
    given = ["NaN", "+Inf", "-Inf", 5e-324, -1.7976931348623157e308]
    runtime_id = api.register()
    insert(
        api,
        runtime_id,
        *[
            sample(metric_type="gauge", metric_name="odd", metric_value=value, timestamp=T + i)
            for i, value in enumerate(given)
        ],
    )
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
    expected = ["nan", "inf", "-inf", "5e-324", "-1.7976931348623157e+308"]
    assert expected == [repr(value) for value in fake.values("odd")]


def test_types_help_texts_and_units_are_sent_and_kept(embedded_api: Api) -> None:
    """The receiver learns once what a family is; the database keeps it for readers."""
    api = embedded_api
    described = {"help_text": "How long", "unit": "seconds", "metric_type": "histogram"}
    names = ("took_bucket", "took_sum", "took_count")
    runtime_id = api.register()
    insert(api, runtime_id, *[sample(metric_name=name, **described) for name in names])
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
        (found,) = [one for one in fake.metadata if one.metric_family_name == "took"]
        assert (3, "How long", "seconds") == (found.type, found.help, found.unit)
        before = len(fake.metadata)
        insert(api, runtime_id, sample(metric_name="took_sum", **described))
        export.finish()
        assert before == len(fake.metadata)
    assert [(name, "histogram", "How long", "seconds") for name in sorted(names)] == api.sql(
        "SELECT * FROM noetl.metric_family WHERE metric_name LIKE 'took%' ORDER BY metric_name"
    )


def test_the_newest_version_that_the_receiver_knows_is_spoken(embedded_api: Api) -> None:
    """A receiver that reports its writes gets 2.0 with types in each series; others get 1.0."""
    api = embedded_api
    runtime_id = api.register()
    insert(api, runtime_id, *numbered(3, help_text="Jobs", unit="jobs", labels={"unit": "jobs"}))
    modern, old = FakeReceiver(), FakeReceiver()
    modern.takes_version_2 = True
    with export_to(api, modern) as export:
        export.finish()
    assert {"2.0.0"} == {it.headers["X-Prometheus-Remote-Write-Version"] for it in modern.requests}
    assert [0.0, 1.0, 2.0] == modern.values("jobs_total")
    assert ("jobs_total", 1, "Jobs", "jobs") in modern.metadata
    api.sql("DELETE FROM noetl.metric_export")
    with export_to(api, old) as export:
        export.finish()
    versions = [it.headers["X-Prometheus-Remote-Write-Version"] for it in old.requests]
    assert ["2.0.0", "0.1.0"] == versions[:2]
    assert {"0.1.0"} == set(versions[1:])
    assert [0.0, 1.0, 2.0] == old.values("jobs_total")


def test_a_receiver_that_takes_2_0_for_an_empty_request_is_found_out(embedded_api: Api) -> None:
    """It answers 204 and has written nothing: that is no acknowledgement."""
    api = embedded_api
    insert(api, api.register(), *numbered(3))
    fake = FakeReceiver()
    fake.takes_version_2 = True
    with export_to(api, fake) as export:
        export.finish()
        insert(api, api.register(), *numbered(3, first=3))
        # An older receiver took its place, which ignores the content type and finds no series.
        fake.answer = lambda _: httpx.Response(204)
        with pytest.raises(ReceiverUnavailableError, match="has written nothing of"):
            export.turn()
        fake.answer, fake.takes_version_2 = (lambda _: None), False
        export.finish()
    assert [float(i) for i in range(6)] == sorted(set(fake.values("jobs_total")))


def test_ids_that_begin_anew_are_noticed(
    embedded_api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """A table that was emptied with its sequence is exported from its beginning."""
    api = embedded_api
    runtime_id = api.register()
    insert(api, runtime_id, *numbered(50))
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
        api.sql("TRUNCATE noetl.metric RESTART IDENTITY")
        insert(api, runtime_id, *numbered(3, first=100))
        for _ in range(3):
            export.turn()
        assert [100.0, 101.0, 102.0] == fake.values("jobs_total")[50:]
    assert "begun anew" in caplog.text


SNOWFLAKE = 264_905_529_753_600_000
"""An id as a NoETL server makes it, of the beginning of 2026."""


def insert_with_ids(api: Api, runtime_id: str, values: dict[int, float]) -> None:
    """Insert rows with ids of their own, as another program does."""
    for metric_id, value in values.items():
        api.sql(
            "INSERT INTO noetl.metric (metric_id, runtime_id, metric_name, metric_type, "
            "metric_value, timestamp) VALUES (%s, %s, 'theirs', 'gauge', %s, to_timestamp(%s))",
            metric_id, runtime_id, value, T + value,
        )  # fmt: skip


def test_rows_with_ids_of_another_program_are_exported(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """They get ids of the sequence, in their order, and go the way of all other rows."""
    runtime_id = api.register()
    insert(api, runtime_id, *numbered(3))
    insert_with_ids(api, runtime_id, {SNOWFLAKE + 5: 1.0, SNOWFLAKE: 0.0})
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
        assert ([0.0, 1.0], [0.0, 1.0, 2.0]) == (fake.values("theirs"), fake.values("jobs_total"))
        # They come while the server exports, too, and do not hold back what comes after them.
        insert_with_ids(api, runtime_id, {SNOWFLAKE + 9: 2.0})
        insert(api, runtime_id, *numbered(2, first=3))
        export.finish()
        export.finish()
        assert [0.0, 1.0, 2.0] == fake.values("theirs")
        assert [float(i) for i in range(5)] == fake.values("jobs_total")
        ((largest,),) = api.sql("SELECT max(metric_id) FROM noetl.metric")
        assert largest <= export.progress()[1] < SNOWFLAKE
    warnings = [one for one in caplog.records if "another program inserts" in one.getMessage()]
    assert 1 == len(warnings)


def test_more_rows_of_another_program_than_a_turn_takes_are_exported(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn numbers some of them, and the next turns the others."""
    monkeypatch.setattr("server_stub.export.exporter.ROWS_MAX", 3)
    api = embedded_api
    runtime_id = api.register()
    insert_with_ids(api, runtime_id, {SNOWFLAKE + i: float(i) for i in range(10)})
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        for _ in range(4):
            export.finish()
        assert [float(i) for i in range(10)] == fake.values("theirs")


def test_a_default_of_another_kind_is_exported(embedded_api: Api) -> None:
    """If the table numbers its rows by something else, the export still comes to each of them."""
    api = embedded_api
    runtime_id = api.register()
    api.sql(
        "CREATE FUNCTION noetl.snowflake_id() RETURNS bigint LANGUAGE sql VOLATILE AS "
        "'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint << 10'"
    )
    api.sql("ALTER TABLE noetl.metric ALTER COLUMN metric_id SET DEFAULT noetl.snowflake_id()")
    insert(api, runtime_id, *numbered(5))
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        export.finish()
        export.finish()
        assert [float(i) for i in range(5)] == fake.values("jobs_total")


def test_rows_of_another_program_that_are_not_acknowledged_are_sent_again(
    embedded_api: Api,
) -> None:
    """Their new ids are undone with the turn, and the next turn numbers them again."""
    api = embedded_api
    runtime_id = api.register()
    insert_with_ids(api, runtime_id, {SNOWFLAKE: 0.0})
    fake = FakeReceiver()
    fake.answer = lambda _: httpx.Response(503, text="not now")
    with export_to(api, fake) as export:
        with pytest.raises(ReceiverUnavailableError):
            export.turn()
        assert [(SNOWFLAKE,)] == api.sql("SELECT max(metric_id) FROM noetl.metric")
        fake.answer = lambda _: None
        export.finish()
        assert [0.0] == fake.values("theirs")


def test_rows_of_long_texts_come_few_at_a_time(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So many of them as a turn takes of others would take gigabytes; each arrives once."""
    monkeypatch.setattr("server_stub.export.reading.LONG_ROWS_MAX", 4)
    api = embedded_api
    runtime_id = api.register()
    long = "x" * 3000
    insert(
        api,
        runtime_id,
        *numbered(10),
        *numbered(10, first=10, labels={"text": long}),
        *numbered(10, first=20),
    )
    fake = FakeReceiver()
    sizes = []

    def note(samples: list[Received]) -> None:
        sizes.append(sum(one.labels["__name__"] == "jobs_total" for one in samples))

    fake.answer = note
    with export_to(api, fake) as export:
        export.finish()
    assert list(range(30)) == sorted(fake.values("jobs_total"))
    assert [10, 4, 4, 4, 8] == [size for size in sizes if size]


def test_the_next_rows_are_read_while_the_receiver_takes_the_last(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is deleted meanwhile was read before; each row is sent once, in order."""
    monkeypatch.setattr("server_stub.export.portion.ROWS_MAX", 10)
    api = embedded_api
    runtime_id = api.register()
    insert(api, runtime_id, *numbered(40))
    fake = FakeReceiver()
    with export_to(api, fake) as export:
        assert export.turn()
        assert list(range(10)) == fake.values("jobs_total")
        api.sql("DELETE FROM noetl.metric WHERE metric_name = 'jobs_total' AND metric_value >= 10")
        export.finish()
    assert list(range(20)) == fake.values("jobs_total")


def test_what_was_read_ahead_is_read_anew_after_a_refusal(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search for the sample that the receiver refuses goes on from the first row of it."""
    monkeypatch.setattr("server_stub.export.portion.ROWS_MAX", 10)
    api = embedded_api
    runtime_id = api.register()
    insert(api, runtime_id, *numbered(40))
    fake = FakeReceiver()
    fake.answer = refusing("jobs_total", 13.0)
    with export_to(api, fake) as export:
        export.finish()
        assert 1 == export.dropped("refused")
    assert [n for n in range(40) if n != 13] == fake.values("jobs_total")
