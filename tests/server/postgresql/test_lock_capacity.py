"""The server says at its start whether PostgreSQL has room for the locks of the days it keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from server_stub.postgresql.lock_capacity import (
    Capacity,
    check_lock_capacity,
    lacking_locks,
    locks_needed,
)
from server_stub.settings import Settings

if TYPE_CHECKING:
    from tests.server.application import Api

pytestmark = pytest.mark.once

CAPACITY = Capacity(per_connection=64, connections=100, indexes=6, partitions=10)


@pytest.mark.parametrize(
    ("settings", "fits"),
    [
        (Settings(), True),
        (Settings(retention_days=30), True),
        (Settings(retention_days=3650), False),
        (Settings(metric_retention_days={"billing_*": 365}), False),
        (Settings(partitions_days_ahead=366), False),
    ],
)
def test_the_days_that_are_kept_need_so_many_locks(settings: Settings, *, fits: bool) -> None:
    """PostgreSQL's default is enough for some weeks, and more is needed by the longest rule."""
    assert fits == (locks_needed(CAPACITY, settings, 32) <= CAPACITY.per_connection)


def test_partitions_that_are_there_already_count() -> None:
    """Days of a longer retention, or that are held for the export, need their locks too."""
    many = CAPACITY._replace(partitions=2_000)
    assert locks_needed(many, Settings(), 32) > locks_needed(CAPACITY, Settings(), 32)


def test_the_log_says_which_value_is_right(
    embedded_api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """With too little room it names the setting and its value; with enough it says nothing."""
    url = embedded_api.database_url
    check_lock_capacity(url, Settings(), 32)
    assert "max_locks_per_transaction" not in caplog.text
    check_lock_capacity(url, Settings(retention_days=3650), 32)
    (message,) = [one for one in caplog.messages if "max_locks_per_transaction" in one]
    assert f"set it to {lacking_locks(url, Settings(retention_days=3650), 32)}," in message
