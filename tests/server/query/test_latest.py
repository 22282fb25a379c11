"""Which series a page for Prometheus has, if they are too large together."""

from __future__ import annotations

import logging

import pytest

from tests.server.application import insert, running_api, sample

# These tests depend on no interpreter.
pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("bytes_max", "shown"),
    [(1024, []), (2 * 2_700, ["a", "c"]), (2**40, ["a", "b", "c"])],
)
def test_the_largest_series_are_left_out(
    database_url: str, caplog: pytest.LogCaptureFixture, bytes_max: int, shown: list[str]
) -> None:
    """As many series as fit are on the page, the smallest first, and the others are counted."""
    with running_api(database_url, exposition_bytes_max=bytes_max) as api:
        runtime_id = api.register("cpu-01")
        insert(
            api,
            runtime_id,
            *[
                sample(metric_name=name, metric_type="gauge", labels={"x": "y" * length})
                for name, length in (("a", 1), ("b", 1000), ("c", 2))
            ],
        )
        with caplog.at_level(logging.WARNING):
            page = api.get("/metrics", params={"runtime_id": runtime_id}).text
        assert shown == [line[0] for line in page.splitlines() if not line.startswith("#")]
        statistics = api.app.state.resources.statistics
        counted = [s for f in statistics.exposition_series_omitted.collect() for s in f.samples]
        assert [3.0 - len(shown)] == [one.value for one in counted]
        said = f"{3 - len(shown)} series do not fit on a page" in caplog.text
        assert (len(shown) < 3) == said
