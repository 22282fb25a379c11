"""`GET /api/metrics/series` beside a model of it in plain Python, written from docs/queries.md."""

from __future__ import annotations

import bisect
import itertools
import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.server.application import running_api

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from tests.postgresql import Cluster
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once

T = 1_699_999_200
LOOKBACK_SECONDS = 300
WORKERS = ("a", "b", "c")


class Reading(NamedTuple):
    """A sample of one series; a later one in a list arrives later."""

    worker: str
    second: int
    value: float


class Question(NamedTuple):
    """A question, in seconds from T, which is a multiple of every step."""

    step: int
    start: int
    end: int
    by_worker: bool


@pytest.fixture(scope="module")
def api(postgresql: Cluster) -> Generator[Api]:
    """One application for all examples; each has a metric of its own."""
    with postgresql.database() as url, running_api(url) as running:
        running.register("pool")
        yield running


_names = (f"metric_{number}" for number in itertools.count())

values = st.integers(0, 20).map(float) | st.sampled_from([math.nan, math.inf])
# Half of them at borders, where several meet.
seconds = st.integers(-12, 22).map(lambda minute: minute * 60) | st.integers(-700, 1300)
readings = st.lists(st.builds(Reading, st.sampled_from(WORKERS), seconds, values), max_size=40)
questions = st.builds(
    Question,
    st.sampled_from([1, 7, 60, 300, 600]),
    st.integers(-100, 500),
    st.integers(501, 1200),
    st.booleans(),
)
quick = settings(
    max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


def send(api: Api, samples: Iterable[tuple[str, int, float, dict[str, str]]]) -> None:
    texts = {math.inf: "+Inf"}
    metrics = [
        {
            "metric_name": name,
            "metric_type": "counter",
            "metric_value": "NaN" if math.isnan(value) else texts.get(value, value),
            "labels": labels,
            "timestamp": T + second,
        }
        for name, second, value, labels in samples
    ]
    answer = api.insert({"component_name": "pool", "metrics": metrics}).json()
    assert answer["metrics_inserted"] == len(metrics)


def ask(api: Api, name: str, aggregation: str, question: Question, **parameters: Any) -> Any:
    """Return the answer as {worker or "": {second: value}}."""
    answer = api.get(
        "/api/metrics/series",
        params={
            "metric_name": name,
            "aggregation": aggregation,
            "start_time": T + question.start,
            "end_time": T + question.end,
            "step": question.step,
            "group_by": "worker_id" if question.by_worker else "",
            **parameters,
        },
    )
    assert 200 == answer.status_code, answer.text
    return {
        series["labels"].get("worker_id", ""): {
            time - T: float(value) for time, value in series["points"]
        }
        for series in answer.json()["series"]
    }


def expect(
    samples: Sequence[Reading],
    question: Question,
    value_of: Callable[[Sequence[Reading], int, int], float | None],
) -> dict[str, dict[int, Any]]:
    """Return the answer to a question, given a function for the value of one group's bucket.

    `value_of` gets the group's samples by time and arrival, and the bucket's start and end. If it
    returns None, the bucket is left out.
    """
    groups: dict[str, list[Reading]] = defaultdict(list)
    for one in sorted(samples, key=lambda one: one.second):  # stable: by arrival at one time
        groups[one.worker if question.by_worker else ""].append(one)
    step = question.step
    first = (T + question.start) // step * step - T
    last = -(-(T + question.end) // step) * step - T
    expected: dict[str, dict[int, Any]] = {}
    for worker, group in groups.items():
        points = {
            begin: value_of([one for one in group if one.second < last], begin, begin + step)
            for begin in range(first, last, step)
        }
        found = {
            begin: pytest.approx(value, nan_ok=True)
            for begin, value in points.items()
            if value is not None
        }
        if found:
            expected[worker] = found
    return expected


def within(group: Sequence[Reading], begin: int, end: int) -> list[float] | None:
    """Return a bucket's values that are numbers: [NaN] if none is, None without a sample."""
    in_bucket = [one.value for one in group if begin <= one.second < end]
    if not in_bucket:
        return None
    return [value for value in in_bucket if not math.isnan(value)] or [math.nan]


def of_samples(
    reduce: Callable[[list[float]], float],
) -> Callable[[Sequence[Reading], int, int], float | None]:
    def value_of(group: Sequence[Reading], begin: int, end: int) -> float | None:
        found = within(group, begin, end)
        return None if found is None else reduce(found)

    return value_of


def count(group: Sequence[Reading], begin: int, end: int) -> float | None:
    return sum(begin <= one.second < end for one in group) or None


def total(group: Sequence[Reading], begin: int, end: int) -> float | None:
    """Return the sum of each series' value at the end of a bucket with samples."""
    if within(group, begin, end) is None:
        return None
    held: list[float] = []
    for worker in WORKERS:
        own = [one for one in group if one.worker == worker and one.second < end]
        if not own:
            continue
        # The newest bucket with the series; without a number in it, the series has no value.
        step = end - begin
        newest = (T + own[-1].second) // step
        numbers = [
            one for one in own if (T + one.second) // step == newest and not math.isnan(one.value)
        ]
        if numbers:
            latest = numbers[-1]
            if latest.second >= begin or latest.second > end - LOOKBACK_SECONDS:
                held.append(latest.value)
    return sum(held) if held else math.nan


def increase(
    question: Question,
) -> Callable[[Sequence[Reading], int, int], float | None]:
    """Return the growth in a bucket: each sample less its predecessor, wherever that is."""
    step = question.step
    first = (T + question.start) // step * step - T
    oldest = first - max(step, LOOKBACK_SECONDS)

    def value_of(group: Sequence[Reading], begin: int, end: int) -> float | None:
        grown: list[float] = []
        for worker in WORKERS:
            # A later arrival of one time replaces the earlier one.
            counts = {
                one.second: one.value
                for one in group
                if one.worker == worker and one.second >= oldest and math.isfinite(one.value)
            }
            for (_, before), (second, after) in itertools.pairwise(sorted(counts.items())):
                if begin <= second < end:
                    grown.append(after - before if after >= before else after)
        return sum(grown) if grown else None

    return value_of


@quick
@given(readings, questions)
def test_every_aggregation_is_what_the_model_says(
    api: Api, samples: list[Reading], question: Question
) -> None:
    """The answers agree for samples in any order of arrival, of any values, at any borders."""
    name = next(_names)
    send(api, [(name, one.second, one.value, {"worker_id": one.worker}) for one in samples])
    grown = expect(samples, question, increase(question))
    assert grown == ask(api, name, "increase", question)
    rates = {
        worker: {begin: value.expected / question.step for begin, value in points.items()}
        for worker, points in grown.items()
    }
    found = ask(api, name, "rate", question)
    assert found == {worker: pytest.approx(points) for worker, points in rates.items()}
    models: dict[str, Callable[[Sequence[Reading], int, int], float | None]] = {
        "avg": of_samples(lambda found: sum(found) / len(found)),
        "min": of_samples(min),
        "max": of_samples(max),
        "last": of_samples(lambda found: found[-1]),
        "count": count,
        "sum": total,
    }
    for aggregation, model in models.items():
        assert expect(samples, question, model) == ask(api, name, aggregation, question), (
            aggregation
        )


BOUNDS = (0.1, 1.0, 5.0, math.inf)
observations = st.lists(
    st.tuples(
        st.sampled_from(WORKERS),
        st.integers(0, 590),
        st.sampled_from([0.05, 0.5, 0.7, 3.0, 9.0]),
    ),
    min_size=1,
    max_size=60,
)


@quick
@given(observations, st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.sampled_from([60, 120, 600]))
def test_a_quantile_is_what_the_model_says(
    api: Api, observed: list[tuple[str, int, float]], quantile: float, step: int
) -> None:
    """The answers agree for workers that report histograms each half a minute, in any order."""
    name = next(_names)
    rows = [
        (
            f"{name}_bucket",
            second,
            float(
                sum(who == worker and at < second and value <= bound for who, at, value in observed)
            ),
            {"le": f"{bound:g}".replace("inf", "+Inf"), "worker_id": worker},
        )
        for worker in WORKERS
        for second in range(600, -1, -30)
        for bound in BOUNDS
    ]
    send(api, rows)
    question = Question(step, 0, 600, by_worker=False)
    expected: dict[int, Any] = {}
    for begin in range(0, 600, step):
        # The observations of a sample are those since the sample before.
        own = sorted(v for _, at, v in observed if begin - 30 <= at < begin + step - 30)
        expected[begin] = pytest.approx(quantile_of(quantile, own), nan_ok=True)
    found = ask(api, name, "quantile", question, quantile=quantile)
    assert {"": expected} == found


def quantile_of(quantile: float, observed: Sequence[float]) -> float:
    """Return the quantile by its definition: the rank's place within its bucket."""
    rank = quantile * len(observed)
    if not observed:
        return math.nan
    for bound, lower in zip(BOUNDS, (0.0, *BOUNDS), strict=False):
        below = bisect.bisect_right(observed, lower)
        up_to = bisect.bisect_right(observed, bound)
        if up_to >= rank:
            if bound == math.inf:
                return lower
            # An empty lowest bucket leaves the quantile 0 undefined.
            return lower + (bound - lower) * (rank - below) / (up_to - below) if up_to else math.nan
    raise AssertionError("the last bucket has them all")
