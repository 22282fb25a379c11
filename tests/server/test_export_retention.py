"""A server keeps rows until they are exported, up to a limit, and an alarm warns before."""

from __future__ import annotations

import pytest

from tests.server.application import Api, running_api
from tests.server.receiving import FakeReceiver, export_to

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

HOLD_DAYS = 3
DAY_SECONDS = 86_400


def fill_day(api: Api, days_ago: int, rows: int = 10) -> str:
    """Make the partition of a past day, with rows in it; return its name."""
    ((name,),) = api.sql(
        "SELECT noetl.create_metric_partition((now() AT TIME ZONE 'UTC')::date - %s)", days_ago
    )
    api.register()
    api.sql(
        "INSERT INTO noetl.metric (runtime_id, metric_name, metric_type, metric_value, created_at, "
        "timestamp) SELECT runtime_id, 'old', 'gauge', number, moment, moment "
        "FROM noetl.runtime, generate_series(1, %s) AS number, LATERAL (SELECT "
        "(date_trunc('day', now() AT TIME ZONE 'UTC') - make_interval(days => %s)) "
        "AT TIME ZONE 'UTC' + number * interval '1 s') AS t (moment) WHERE name = 'cpu-01'",
        rows,
        days_ago,
    )
    return str(name)


def clean_up(api: Api) -> list[str]:
    answer = api.post("/api/metrics/cleanup")
    assert 200 == answer.status_code, answer.text
    dropped: list[str] = answer.json()["dropped_partitions"]
    return dropped


def test_a_day_is_not_dropped_before_it_was_exported(api: Api) -> None:
    """It stays until its rows are exported and settled; then it is dropped as usual."""
    expired = fill_day(api, 3)
    fake = FakeReceiver()
    with export_to(api, fake, export_hold_days=HOLD_DAYS, export_settling_seconds=3600.0) as export:
        api.sql("INSERT INTO noetl.metric_export (hold) VALUES ('3 days')")
        assert [] == clean_up(api)
        export.finish()
        assert 10 == len(fake.values("old"))
        # If the receiver were killed now, it might have lost them.
        assert [] == clean_up(api)
        api.sql("UPDATE noetl.metric_export SET marked_at = now() - interval '2 hours'")
        export.finish()
        api.sql("UPDATE noetl.metric_export SET marked_at = now() - interval '2 hours'")
        export.finish()
        assert [expired] == clean_up(api)
    assert export.dropped("expired") is None


def test_what_was_not_exported_within_the_limit_is_dropped_and_counted(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """The disk does not fill for ever: beyond the limit rows are dropped and counted as lost."""
    held, lost = fill_day(api, HOLD_DAYS), fill_day(api, HOLD_DAYS + 2, rows=7)
    api.sql("INSERT INTO noetl.metric_export (hold) VALUES (make_interval(days => %s))", HOLD_DAYS)
    assert [lost] == clean_up(api)
    assert f"7 samples of {lost} were not exported within --export-hold-days" in caplog.text
    registry = api.app.state.resources.statistics.registry
    counted = registry.get_sample_value(
        "noetl_api_export_samples_dropped_total", {"reason": "expired"}
    )
    assert 7 == counted
    assert [(1,)] == api.sql("SELECT count(*) FROM pg_class WHERE relname = %s", held)


def test_the_alarm_comes_before_the_loss(api: Api) -> None:
    """The time until rows are lost falls with their age; without such rows, it is the maximum."""
    fake = FakeReceiver()
    with export_to(api, fake, export_hold_days=HOLD_DAYS) as export:
        export.finish()
        registry = export.statistics.registry

        def gauge(name: str) -> float:
            value = registry.get_sample_value(f"noetl_api_export_{name}_seconds")
            assert value is not None
            return value

        export.turn()
        assert gauge("lag") < DAY_SECONDS / 2
        assert gauge("loss_in") > (1 + HOLD_DAYS) * DAY_SECONDS - 1
        fill_day(api, 3)
        export.turn()
        assert 2 * DAY_SECONDS < gauge("lag") < 4 * DAY_SECONDS
        # The end of the day, a day of retention and three days of the limit.
        assert DAY_SECONDS < gauge("loss_in") <= 2 * DAY_SECONDS


def test_nothing_is_held_without_an_export(api: Api) -> None:
    """Expired days are dropped as usual."""
    expired = fill_day(api, 3)
    assert [expired] == clean_up(api)


def test_who_ends_the_export_by_hand_is_told_how(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server without a receiver, on a database with an export, says that days are kept for it."""
    with running_api(database_url) as api:
        assert "keeps partitions for an export" not in caplog.text
        api.sql("INSERT INTO noetl.metric_export (hold) VALUES ('3 days')")
    with running_api(database_url) as api:
        assert "end the export by DELETE FROM noetl.metric_export" in caplog.text
        expired = fill_day(api, 3)
        assert [] == clean_up(api)
        api.sql("DELETE FROM noetl.metric_export")
        assert [expired] == clean_up(api)
