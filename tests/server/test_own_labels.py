"""A series' own labels come back from a time-series database as they were, whatever their names."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.server.application import insert, sample
from tests.server.histories import RECEIVERS, all_pages, exporting_api

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

DAY = 86_400
SERIES = [
    {"exported_component": "a", "component": "b"},
    {"component": "b"},
    {"exported_component": "a"},
    {"exported_exported_component": "c", "exported_runtime_id": "d"},
    {"runtime_id": "e", "component_type": "f"},
    {"exported_site": "g", "exported_components": "h"},
]


def texts(series: list[dict[str, str]]) -> list[str]:
    """Return sets of labels in one order."""
    return sorted(json.dumps(labels, sort_keys=True) for labels in series)


@pytest.mark.parametrize("storage", ["postgresql", "remote-write"])
@pytest.mark.parametrize("receiver", RECEIVERS)
def test_own_labels_there_and_back(
    database_url: str, receiver: Any, tmp_path: Path, storage: str
) -> None:
    """Pages and charts show them, and filters find them, under the names that the client gave."""
    taken_at = int(time.time()) - 3 * DAY
    with (
        receiver(tmp_path) as program,
        exporting_api(database_url, program, storage=storage) as api,
    ):
        insert(api, api.register("pool-1"), *[
            sample(metric_name="level", metric_type="gauge", labels=labels, timestamp=taken_at)
            for labels in SERIES
        ])  # fmt: skip
        program.wait_until("sum(count_over_time(level[4d]))", float(len(SERIES)).__eq__)
        asked = {"metric_name": "level", "start_time": taken_at - DAY}
        rows, sources = all_pages(api, **asked)
        assert {"history"} == {source["source"] for source in sources[0][:1]}
        assert texts(SERIES) == texts([row["labels"] for row in rows])
        for labels in SERIES:
            for name, value in labels.items():
                wanted = {"labels": json.dumps({name: value})}
                found, _ = all_pages(api, **asked, **wanted)
                expected = [one for one in SERIES if one.get(name) == value]
                assert texts(expected) == texts([row["labels"] for row in found])
                chart = api.get(
                    "/api/metrics/series",
                    params=asked | wanted | {"group_by": name, "step": DAY, "aggregation": "count"},
                ).json()
                (series,) = chart["series"]
                assert len(expected) == sum(number for _, number in series["points"])
                # The names of what a component adds mean the component's own.
                if name not in {"runtime_id", "component_type"}:
                    assert {name: value} == series["labels"]
