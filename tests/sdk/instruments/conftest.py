"""The clock that summaries read, for the tests to move."""

from __future__ import annotations

import pytest

from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from tests.sdk.instruments.readings import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(MEASURING_CLOCK, "monotonic", clock.monotonic)
    return clock
