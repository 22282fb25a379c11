"""What PostgreSQL sends of a series is read as it stands in the table."""

from __future__ import annotations

import psycopg
import pytest

from server_stub.exposition.series_rows import decoded, numbers, split
from tests.server.exposition.records import record_of, series_of_name
from tests.server.query.test_exposition import latest

SAMPLES = [
    latest(runtime_id=2**62, labels={"a": 'ü😀"\\'}, help_text="", unit="jobs"),
    latest(runtime_id=-1, component_name="ü")._replace(labels=None),
]


@pytest.mark.once
def test_the_record_is_that_of_postgresql(database_url: str) -> None:
    """A record of the tests has the bytes that `record_send` writes."""
    with psycopg.connect(database_url) as connection:
        for one in SAMPLES:
            found = connection.execute(
                "SELECT record_send((%s::bigint, %s::text, %s::text, %s::text, %s::text, %s::text,"
                " %s::text))",
                (
                    one.runtime_id, one.component_name, one.component_type, one.metric_type,
                    one.labels, one.help_text, one.unit,
                ),
            ).fetchone()  # fmt: skip
            assert found == (record_of(one),)


def test_records_are_split_and_decoded() -> None:
    """Each series has its own record, and NULL is not the empty text."""
    found = series_of_name("jobs_total", SAMPLES)
    records = split(found)
    assert list(map(record_of, SAMPLES)) == records
    assert [
        (
            one.runtime_id, one.component_name, one.component_type, one.metric_type, one.labels,
            one.help_text, one.unit,
        )
        for one in SAMPLES
    ] == list(map(decoded, records))  # fmt: skip
    assert (1.0, 1.0) == numbers(found.values)
