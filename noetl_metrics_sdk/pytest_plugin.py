"""The pytest fixture of `noetl_metrics_sdk.testing`, found by pytest on its own."""

from __future__ import annotations

import pytest

from noetl_metrics_sdk.testing import MetricsProbe


@pytest.fixture
def metrics_probe() -> MetricsProbe:
    """A probe that tells what a test has changed in the instruments of `REGISTRY`."""
    return MetricsProbe()
