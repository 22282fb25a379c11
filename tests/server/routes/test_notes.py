"""An answer that is empty, or has a number without meaning, says what there is instead."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.server.application import insert, running_api, sample

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.postgresql import Cluster
    from tests.server.application import Api

pytestmark = pytest.mark.once

GAUGES = "use avg, min, max, sum or last"


@pytest.fixture(scope="module")
def reported(postgresql: Cluster) -> Generator[Api]:
    """A gauge, a counter and the bucket of a histogram, with two samples each."""
    with postgresql.database() as url, running_api(url) as api:
        runtime_id = api.register("pool-1")
        for seconds in (2, 1):
            at = {"timestamp": time.time() - seconds}
            insert(
                api,
                runtime_id,
                sample(metric_name="level", metric_type="gauge", labels={"endpoint": "x"}, **at),
                sample(labels={"status": "ok"}, **at),
                sample(metric_name="took_bucket", metric_type="histogram", labels={"le": "+Inf"},
                       **at),
            )  # fmt: skip
        yield api


@pytest.mark.parametrize(
    ("path", "notes"),
    [
        ("?metric_name=jobs", ["there is no metric 'jobs': did you mean jobs_total?"]),
        ("?metric_name=level", []),
        ('?metric_name=level&labels={"endpoint":"q"}',
         ["the metric 'level' has samples, but none in this range for these filters"]),
        ("/series?metric_name=zzz",
         ["there is no metric 'zzz': there are jobs_total, level, took_bucket"]),
        ("/series?metric_name=level&end_time=1700000000",
         ["the metric 'level' has samples, but none in this range for these filters"]),
        ("/series?metric_name=level&group_by=route,component_name",
         ["no series of 'level' has the label 'route': there is endpoint"]),
        ("/series?metric_name=jobs_total&group_by=stat",
         ["no series of 'jobs_total' has the label 'stat': did you mean status?"]),
        ("/series?metric_name=level&aggregation=rate",
         [f"'level' is a gauge, and its rate has no meaning: {GAUGES}"]),
        ("/series?metric_name=jobs_total&aggregation=increase", []),
        ("/series?metric_name=level&aggregation=quantile&quantile=0.5",
         [f"'level' is a gauge, and a quantile is of a histogram: {GAUGES}"]),
        ("/series?metric_name=took&aggregation=quantile&quantile=0.5", []),
        ("/series?metric_name=took_secs&aggregation=quantile&quantile=0.5",
         ["there is no metric 'took_secs_bucket': did you mean took_bucket?"]),
    ],
)  # fmt: skip
def test_notes_say_what_there_is(reported: Api, path: str, notes: list[str]) -> None:
    """Near names, labels that there are, and what suits a gauge; nothing where all is well."""
    answer = reported.get("/api/metrics" + path)
    assert (200, notes) == (answer.status_code, answer.json().get("notes"))
