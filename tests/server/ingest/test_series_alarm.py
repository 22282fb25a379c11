"""The log says that a process comes near its limit on series."""

from __future__ import annotations

import pytest

from server_stub.ingest.series_alarm import LOG_SECONDS, SeriesAlarm
from server_stub.ingest.series_table import Fullness, Process

pytestmark = pytest.mark.once


def test_the_log_names_the_process_and_the_metric(caplog: pytest.LogCaptureFixture) -> None:
    """One message a minute names process, metric and setting, however many processes are full."""
    seconds = 0.0
    alarm = SeriesAlarm(lambda: seconds)
    for number in range(3):
        alarm.note(Fullness(Process(7, f"w-{number}"), "jobs_total", 50_000, 100_000))
    seconds = LOG_SECONDS
    alarm.note(Fullness(Process(7, "w-9"), "jobs_total", 100_000, 100_000))
    first, second = [record.getMessage() for record in caplog.records]
    assert "worker_id 'w-0' of runtime 7 has 50000 series alive of 100000" in first
    assert "--series-per-process-max" in first
    assert "jobs_total" in first
    assert "'w-9'" in second
