"""Jobs in a registry of the test's own, with a clock that the jobs move."""

from __future__ import annotations

import pytest

from tests.sdk.jobs.tracked_jobs import Jobs


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Jobs:
    jobs = Jobs()
    monkeypatch.setattr("noetl_metrics_sdk.jobs.tracking.perf_counter", lambda: jobs.now)
    return jobs
