"""A page that is made of what an earlier page has kept is the page that is made anew."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given

from noetl_metrics_sdk.exposition.samples import PageFormat
from server_stub.exposition import page
from server_stub.postgresql.created import ANY_TIME
from server_stub.query.exposition import LatestSample, render
from server_stub.query.latest import LatestPage, latest_samples_query
from tests.server.application import Api, insert, sample
from tests.server.exposition.records import latest_page
from tests.server.query.test_exposition import histogram, latest, openmetrics, pages

if TYPE_CHECKING:
    from server_stub.exposition.known_pages import KnownPage

# These tests depend on no interpreter.
pytestmark = pytest.mark.once


def in_order(samples: list[LatestSample]) -> list[LatestSample]:
    """Return samples in the order of a page's rows."""
    return sorted(
        samples, key=lambda one: (one.metric_name, one.runtime_id, one.labels is None, one.labels)
    )


def summary(**fields: Any) -> list[LatestSample]:
    return [
        latest(metric_name=f"s{end}", metric_type="summary", labels=labels, **fields)
        for end, labels in (("", {"quantile": "0.5"}), ("_sum", {}), ("_count", {}))
    ]


def check(before: list[LatestSample], after: list[LatestSample]) -> None:
    """Check the page of each of two moments, one after the other, against pages made anew."""
    for page_format in PageFormat:
        known: KnownPage = {}
        for samples in (before, after, after, before):
            shuffled = random.Random(1).sample(samples, len(samples))
            made, known = page.render(latest_page(shuffled), page_format, known)
            assert render(in_order(samples), page_format) == made


def has_no_zero(samples: list[LatestSample]) -> bool:
    """Return whether PostgreSQL could have the samples: its texts lack the character 0."""
    return "\\u0000" not in str(samples) and "\\x00" not in str(samples)


@given(pages().filter(has_no_zero), pages().filter(has_no_zero))
def test_a_kept_page_is_the_page_that_is_made_anew(
    before: list[LatestSample], after: list[LatestSample]
) -> None:
    """Whatever was on the last page, this one is byte for byte as if it were the first."""
    check(before, after)


GAUGES = [
    latest(metric_name="g", metric_type="gauge", labels={"a": str(n)}, metric_value=n, runtime_id=r)
    for n in range(12)
    for r in (1, 2, 10)
]
COUNTERS = [latest(labels={"b": str(n)}, metric_value=n, help_text="Done") for n in range(12)]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(GAUGES, GAUGES[3:], id="a series disappears"),
        pytest.param(GAUGES + COUNTERS, COUNTERS, id="a name disappears"),
        pytest.param(GAUGES, [*GAUGES, latest(metric_name="g", metric_type="gauge")], id="new"),
        pytest.param(
            COUNTERS,
            [*COUNTERS[1:], COUNTERS[0]._replace(labels='{"b": "0", "c": "1"}')],
            id="other labels",
        ),
        pytest.param(
            COUNTERS, [one._replace(metric_type="gauge") for one in COUNTERS], id="another type"
        ),
        pytest.param(
            COUNTERS, [COUNTERS[0]._replace(metric_type="gauge"), *COUNTERS[1:]], id="two types"
        ),
        pytest.param(
            COUNTERS, [*COUNTERS, latest(metric_name="jobs", metric_type="gauge")], id="contested"
        ),
        pytest.param(
            COUNTERS,
            [*COUNTERS, latest(metric_name="jobs_created", metric_type="gauge", labels={"b": "1"})],
            id="a time of creation",
        ),
        pytest.param(
            COUNTERS, [COUNTERS[0]._replace(help_text='Other "\n\\'), *COUNTERS[1:]], id="help"
        ),
        pytest.param(
            COUNTERS, [one._replace(help_text=None, unit="jobs") for one in COUNTERS], id="unit"
        ),
        pytest.param(
            COUNTERS, [COUNTERS[0]._replace(metric_value=-1.0), *COUNTERS[1:]], id="negative"
        ),
        pytest.param(
            GAUGES,
            [
                GAUGES[0]._replace(metric_value=math.nan),
                GAUGES[1]._replace(metric_value=math.inf),
                GAUGES[2]._replace(metric_value=-math.inf),
                *GAUGES[3:],
            ],
            id="no numbers",
        ),
        pytest.param(
            GAUGES, [one._replace(metric_value=1.7e308) for one in GAUGES], id="an infinite sum"
        ),
        pytest.param(
            [latest(labels={"b": 'x"\n\\ü😀'})],
            [latest(labels={"b": 'x"\n\\ü'}), latest(labels={"b": 'x"\n\\ü😀'})],
            id="escapes",
        ),
        pytest.param(
            [latest(labels={"b": "1"})],
            [
                latest(labels={"b": "1"}, metric_value=1),
                latest(labels={"b": "1", "c": ""}, metric_value=2),
            ],
            id="two that look alike",
        ),
        pytest.param(COUNTERS, [*COUNTERS, latest(labels={"a.b": "c"})], id="a name of others"),
        pytest.param(COUNTERS, [*COUNTERS, latest(labels={"b": "long" * 2_000})], id="long labels"),
        pytest.param(
            [latest(labels={"b": "1"}), latest(labels={"a" * 5_000: "", "b": "1"}, metric_value=2)],
            [latest(labels={"a" * 5_000: "", "b": "1"}, metric_value=2)],
            id="a long one that looks like another",
        ),
        pytest.param(
            histogram({"1": 1, "+Inf": 1}), histogram({"1": 2, "2": 2, "+Inf": 3}), id="histogram"
        ),
        pytest.param(
            histogram({"1": 1, "+Inf": 1}), histogram({"1": 1, "+Inf": 1})[1:], id="no longer whole"
        ),
        pytest.param(
            [one._replace(taken_at=1.0) for one in histogram({"1": 1, "+Inf": 1})],
            [
                one._replace(taken_at=3.0 - place)
                for place, one in enumerate(histogram({"1": 1, "+Inf": 1}))
            ],
            id="of two moments",
        ),
        pytest.param(summary(), summary(metric_value=2.0, runtime_id=2) + summary(), id="summary"),
    ],
)
def test_what_has_changed_since_the_last_page_is_seen(
    before: list[LatestSample], after: list[LatestSample]
) -> None:
    """Series, labels, types, help texts and values that have changed are on the next page."""
    assert render(before) != render(after)
    check(before, after)


def test_samples_of_the_history_are_on_the_page() -> None:
    """Samples that come one by one are shown as those of the table are."""
    made, known = page.render(LatestPage([], COUNTERS, 0), PageFormat.OPENMETRICS, {})
    assert (openmetrics(COUNTERS), {}) == (made.text, known)


def test_the_page_of_the_table_is_made_of_its_rows(embedded_api: Api) -> None:
    """What PostgreSQL sends becomes the page that its rows become one by one, page after page."""
    runtime_id = embedded_api.register("cpu-01")
    of_all = [
        sample(metric_name="queue", metric_type="gauge", labels={"a": 'x"\n\\ü😀'}),
        sample(metric_name="queue", metric_type="gauge", labels={}, metric_value="NaN"),
        sample(metric_value=0.1, help_text="Done", unit="jobs"),
        sample(labels={"a": "long" * 1_020, "b": "long" * 1_020}),
        *[
            sample(
                metric_name=row.metric_name, metric_type="histogram",
                metric_value=row.metric_value, labels={"le": le} if le else {},
            )
            for row, le in zip(
                histogram({"1": 1, "+Inf": 2}), ("1", "+Inf", None, None), strict=True
            )
        ],
    ]  # fmt: skip
    for more in (of_all, [], [sample(labels={"new": "1"}), *of_all[:1]]):
        if more:
            insert(embedded_api, runtime_id, *more)
        with psycopg.connect(embedded_api.database_url) as connection:
            rows = connection.execute(
                latest_samples_query({"runtime_id"}),
                {"lookback": "5 minutes", "runtime_id": int(runtime_id), **ANY_TIME},
            ).fetchall()
        samples = in_order(list(map(LatestSample._make, rows)))
        for page_format in PageFormat:
            shown = embedded_api.get(
                "/metrics",
                params={"runtime_id": runtime_id},
                headers={"accept": page_format},
            )
            assert render(samples, page_format).text == shown.text
