"""The comparison itself notices a row that is missing, doubled, torn or made up."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb

from server_stub.postgresql.schema import apply_schema
from tests.chaos.comparison import (
    NOTHING_WRONG,
    compare,
    joined,
    rows_by_worker,
    totals_by_worker,
)
from tests.chaos.ledger import WorkerLedger
from tests.chaos.numbered import JOBS, OBSERVATION, SECONDS, numbered_sample

NUMBERS = range(5, 25)


@pytest.fixture(scope="module")
def database(killable_postgresql):
    with killable_postgresql.database() as url:
        apply_schema(url)
        with psycopg.connect(url) as connection:
            connection.execute("SELECT noetl.initialize_metric_partitions()")
            connection.execute(
                "INSERT INTO noetl.runtime (runtime_id, name, component_type, status) VALUES "
                "(1, 'chaos-pool', 'worker_pool', 'ready'), (2, 'own', 'server_api', 'ready')"
            )
        yield url


@pytest.fixture
def table(database):
    """Put the rows of some numbers into the table, and yield a function that changes them."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("TRUNCATE noetl.metric")
        for number in NUMBERS:
            insert(connection, **numbered_sample(number))
        insert(connection, runtime_id=2, name="of_the_server", value=0.0)
        yield connection


def insert(connection, *, name, value, runtime_id=1, labels=None, timestamp=0.0, **others):
    connection.execute(
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, labels, "
        "help_text, unit, timestamp) VALUES (%s, %s, %s, %s, %s, %s, %s, to_timestamp(%s))",
        [
            runtime_id, name, others.get("metric_type", "counter"), value,
            Jsonb({"worker_id": "w", **(labels or {})}), others.get("help_text"),
            others.get("unit"), timestamp,
        ],
    )  # fmt: skip


def faults_of(database):
    return compare(database, [NUMBERS], [NUMBERS]).faults


def test_rows_as_they_were_recorded_pass(database, table):
    """The comparison knows every kind of numbered sample, and ignores rows of other components."""
    compared = compare(database, [NUMBERS], [NUMBERS])
    assert NOTHING_WRONG == compared.faults
    assert (20, 20) == (compared.recorded, compared.in_table)
    assert {"w": 20} == rows_by_worker(database)


def test_a_row_that_is_missing_is_found(database, table):
    """The comparison counts a number without a row."""
    table.execute("DELETE FROM noetl.metric WHERE metric_value IN (6, 7)")
    assert {**NOTHING_WRONG, "missing": 2} == faults_of(database)


def test_a_row_that_is_there_twice_is_found(database, table):
    """The comparison counts every row of a number beyond the first."""
    for _ in range(2):
        insert(table, **numbered_sample(8))
    assert {**NOTHING_WRONG, "twice": 2} == faults_of(database)


@pytest.mark.parametrize(
    "change",
    [
        "metric_name = 'chaos_gauge_total'",
        "metric_type = 'summary'",
        "labels = labels - 'n'",
        "labels = labels - 'again'",
        'labels = labels || \'{"again": "9"}\'',
        'labels = labels || \'{"more": ""}\'',
        "help_text = 'Sample'",
        "help_text = NULL",
        "unit = ''",
        "timestamp = timestamp + interval '1 microsecond'",
    ],
)
def test_a_row_that_is_torn_is_found(database, table, change):
    """The comparison counts a row of which any part belongs to another sample."""
    table.execute(f"UPDATE noetl.metric SET {change} WHERE metric_value = 8")
    assert {**NOTHING_WRONG, "torn": 1} == faults_of(database)


def test_a_row_without_a_number_is_found(database, table):
    """A row whose number no sample has is torn, and the sample's own row is missing."""
    table.execute("UPDATE noetl.metric SET metric_value = 8.5 WHERE metric_value = 8")
    expected = {"missing": 1, "twice": 0, "torn": 1, "unrecorded": 1}
    assert expected == faults_of(database)


def test_a_row_with_the_number_of_another_sample_is_found(database, table):
    """A row with another sample's value is torn and that sample's second; its own is missing."""
    table.execute("UPDATE noetl.metric SET metric_value = 9 WHERE metric_value = 8")
    expected = {"missing": 1, "twice": 1, "torn": 1, "unrecorded": 0}
    assert expected == faults_of(database)


def test_a_row_that_nobody_recorded_is_found(database, table):
    """The comparison counts a sample that is whole and that no worker recorded."""
    insert(table, **numbered_sample(25))
    assert {**NOTHING_WRONG, "unrecorded": 1} == faults_of(database)


def test_what_may_be_there_may_be_missing(database, table):
    """Samples that a process was about to record when it died may be in the table or not."""
    insert(table, **numbered_sample(25))
    compared = compare(database, [NUMBERS], [range(5, 30)])
    assert NOTHING_WRONG == compared.faults


def insert_collected(connection, *, count, total, in_all, in_its_own):
    for name, value, labels in (
        (f"{SECONDS}_count", count, {}),
        (f"{SECONDS}_sum", total, {}),
        (f"{SECONDS}_bucket", in_all, {"le": "+Inf"}),
        (f"{SECONDS}_bucket", in_its_own, {"le": "0.5"}),
    ):
        insert(connection, name=name, value=value, labels=labels)


@pytest.mark.parametrize("half", ["count", "total", "in_all", "in_its_own"])
def test_an_observation_that_is_torn_is_found(database, table, half):
    """The comparison counts a collection with only one half of an observation."""
    whole = {"count": 4.0, "total": 4 * OBSERVATION, "in_all": 4.0, "in_its_own": 4.0}
    insert_collected(table, **whole)
    assert NOTHING_WRONG == faults_of(database)
    table.execute("DELETE FROM noetl.metric WHERE starts_with(metric_name, %s)", [SECONDS])
    insert_collected(table, **{**whole, half: whole[half] + 1})
    assert {**NOTHING_WRONG, "torn": 1} == faults_of(database)


def test_a_collection_that_is_there_twice_is_found(database, table):
    """Rows of instruments have no number: the same series at the same time is the same row."""
    for value in (1.0, 1.0, 2.0):
        insert(table, name=JOBS, value=value, timestamp=1.0)
    insert(table, name=JOBS, value=3.0, timestamp=2.0)
    assert {**NOTHING_WRONG, "twice": 2} == faults_of(database)
    assert {"w": 3.0} == totals_by_worker(database, JOBS)


def test_a_ledger_is_read_as_it_was_written(tmp_path):
    """Each line goes to its field; a process that was killed at once has written no line."""
    file = tmp_path / "ledger"
    assert WorkerLedger() == WorkerLedger.read(file)
    file.write_text('worker w 1\nwill 0 5\ndid 0 5\nwill 5 9\nsafe 0 5\nend {"sent": 5}\n')
    assert WorkerLedger(
        "w 1", [range(5), range(5, 9)], [range(5)], [range(5)], {"sent": 5}
    ) == WorkerLedger.read(file)


def test_ranges_are_joined():
    """Two ranges that follow on each other become one."""
    assert [range(9), range(10, 12)] == joined([range(5, 9), range(10, 12), range(5)])


def test_a_line_that_is_being_written_is_read_later(tmp_path):
    """A reader beside the process takes the whole lines only."""
    file = tmp_path / "ledger"
    lines = "worker w-1\nwill 5 25\ndid 5 25\n"
    file.write_text(lines + "sa", encoding="utf-8")
    ledger = WorkerLedger.read(file)
    assert (["w-1"], [range(5, 25)], []) == ([ledger.worker_id], ledger.did, ledger.safe)
    file.write_text(lines + "safe 5 25\n", encoding="utf-8")
    assert WorkerLedger.read(file).safe == [range(5, 25)]
