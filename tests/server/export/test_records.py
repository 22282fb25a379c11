"""What PostgreSQL sends of a row, and what the export reads of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.types.string import ByteaBinaryLoader

from server_stub.export.records import (
    Moment,
    id_of,
    moment_of,
    series_of,
    series_row,
    times_of,
    value_of,
)
from server_stub.time_series_database.known_series import Row
from server_stub.time_series_database.wire import double_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.postgresql import Cluster

pytestmark = pytest.mark.once

RECORD = """
SELECT (
    4711::bigint, created_at::timestamptz, timestamp::timestamptz, value::float8,
    -7::bigint, 'jobs_total'::text, labels::text, 'pool'::text, 'broker'::text, 'counter'::text,
    help_text::text, ''::text
)
FROM (VALUES (%s, %s, %s, %s, %s)) AS v (created_at, timestamp, value, labels, help_text)
"""


@pytest.fixture(scope="module")
def record_of(postgresql: Cluster) -> Generator[Callable[..., bytes]]:
    """Ask PostgreSQL for the record of a row."""
    with postgresql.database() as url, psycopg.connect(url) as connection:

        def record(
            created_at: str = "2026-01-31 12:00:01+00",
            timestamp: str = "2026-01-31 12:00:00.0019+00",
            value: float = 1.5,
            labels: str | None = '{"a": "ü"}',
            help_text: str | None = None,
        ) -> bytes:
            cursor = connection.cursor(binary=True)
            cursor.adapters.register_loader("record", ByteaBinaryLoader)
            cursor.execute(RECORD, (created_at, timestamp, value, labels, help_text))
            row = cursor.fetchone()
            assert row is not None
            return bytes(row[0])

        yield record


def test_the_columns_of_a_row_are_at_constant_places(record_of) -> None:
    """The id, the times and the value are read without a look at what comes before them."""
    record = record_of()
    assert 4711 == id_of(record)
    assert 1.5 == double_of(value_of(record))
    assert Moment(1_769_860_800_001, 998) == moment_of(times_of(record))


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("infinity", Moment(None, 0)),
        ("-infinity", Moment(None, 0)),
        ("2026-01-31 13:00:00+00", Moment(1_769_864_400_000, -3_599_000)),
        ("1969-12-31 23:59:59.9999+00", Moment(-1, 1_769_860_801_000)),
        ("0001-01-01 00:00:00+00", Moment(-62_135_596_800_000, 63_905_457_601_000)),
    ],
)
def test_a_time_is_milliseconds_rounded_down_or_infinite(record_of, timestamp, expected) -> None:
    """A time before 1970 is negative, and one after its arrival is early."""
    assert expected == moment_of(times_of(record_of(timestamp=timestamp)))


def test_what_rows_of_a_series_have_in_common_is_at_the_end(record_of) -> None:
    """Two rows of a series differ in nothing there; NULL is None and an empty text is one."""
    first, second = record_of(), record_of(timestamp="2026-02-01 00:00:00+00", value=-0.0)
    assert series_of(first) == series_of(second)
    expected = Row(
        0, -7, "jobs_total", '{"a": "ü"}', 0.0, None, "pool", "broker", "counter", None, ""
    )
    assert expected == series_row(series_of(first))
    other = record_of(labels=None, help_text="Jobs")
    expected = expected._replace(labels=None, help_text="Jobs")
    assert expected == series_row(series_of(other))
