"""The pytest fixture of `noetl_metrics_sdk.testing`; pytest finds it on its own."""

from __future__ import annotations

import pytest

from noetl_metrics_sdk.testing import MetricsProbe


@pytest.fixture
def metrics_probe() -> MetricsProbe:
    """Return a probe that says by how much a test has changed the series of `REGISTRY`."""
    return MetricsProbe()
