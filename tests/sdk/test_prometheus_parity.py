"""Parity with prometheus_client: it is enough to change the import."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections import Counter as Multiset
from types import SimpleNamespace
from typing import Any

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

import noetl_metrics_sdk

THEIRS: Any = SimpleNamespace(
    library=prometheus_client, registry=prometheus_client.CollectorRegistry
)
OURS: Any = SimpleNamespace(library=noetl_metrics_sdk, registry=noetl_metrics_sdk.Registry)
# The intended differences: prometheus_client's times of creation, and this package's quantiles.
SampleKey = tuple[str, frozenset[tuple[str, str]], str]


def own_labels(sample: Any) -> dict[str, str]:
    """Return the labels that have a value: in Prometheus an empty label is no label."""
    return {name: text for name, text in sample.labels.items() if text}


def samples_of(registry: Any) -> Multiset[SampleKey]:
    return Multiset(
        (sample.name, frozenset(own_labels(sample).items()), repr(float(sample.value)))
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created") and "quantile" not in sample.labels
    )


# A program as users write it; only its import changes.
PROGRAM = """
import asyncio
from {library} import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, Summary
from {library} import CONTENT_TYPE_LATEST, generate_latest, start_http_server

REQUESTS = Counter("requests_total", "Requests", ["method", "endpoint"], registry=registry)
ERRORS = Counter("errors", "Errors", namespace="app", subsystem="http", registry=registry)
BYTES = Counter("sent", "Bytes sent", ("peer",), "app", registry=registry)
QUEUE = Gauge("queue_length", "Waiting", registry=registry)
RUNNING = Gauge("inprogress", "Running", ["kind"], registry=registry, multiprocess_mode="livesum")
DATA = Gauge("data_objects", "Objects", registry=registry)
LATENCY = Histogram("latency_seconds", "Latency", ["endpoint"], registry=registry)
SIZES = Histogram("size", "Sizes", registry=registry, buckets=(0, 1, 10, 1000000, "1e7", 2.5e9))
SUMMARY = Summary("duration_seconds", "Duration", ["status"], registry=registry)
LONE = Summary("lone", "Alone", registry=registry)
EMPTY = Counter("empty", "No series", ["never"], registry=registry)

REQUESTS.labels("get", "/").inc()
REQUESTS.labels(endpoint="/", method="get").inc(1.5)
REQUESTS.labels("post", 404).inc(0)
REQUESTS.labels("gone", "/").inc()
REQUESTS.remove("gone", "/")
for status in ("a", "b"):
    for peer in (1, None):
        BYTES.labels(peer=peer).inc(len(status) * 2**60)
REQUESTS.labels("x", "1").inc()
REQUESTS.labels("x", "2").inc()
REQUESTS.remove_by_labels({{"method": "x"}})

with ERRORS.count_exceptions():
    pass
for error in (KeyError, ValueError, OSError):
    try:
        with ERRORS.count_exceptions((KeyError, OSError)):
            raise error
    except error:
        pass

@ERRORS.count_exceptions()
def divide(a, b):
    '''Divide.'''
    return a / b

assert divide(6, b=3) == 2 and divide.__doc__ == "Divide." and divide.__name__ == "divide"
try:
    divide(1, 0)
except ZeroDivisionError:
    pass

RESTARTED = Counter("restarted", "Restarted", registry=registry)
RESTARTED.inc(5)
RESTARTED.reset()
RESTARTED.inc()

QUEUE.set(7.25)
QUEUE.inc()
QUEUE.inc(-2)
QUEUE.dec(0.5)
with RUNNING.labels("block").track_inprogress():
    seen = registry.get_sample_value("inprogress", {{"kind": "block"}})
assert seen == 1.0

@RUNNING.labels("function").track_inprogress()
def work():
    return registry.get_sample_value("inprogress", {{"kind": "function"}})

assert work() == 1.0
objects = {{"a": 1, "b": 2}}
DATA.set_function(lambda: len(objects))

for value in (0.001, 0.005, 0.3, 2, 10, 11, True):
    LATENCY.labels("/").observe(value)
for value in (-3, 0, 1, 1.0000001, 10**6, 10**7, 1e300):
    SIZES.observe(value)
for value in (1, 2.5, 0):
    SUMMARY.labels(status="ok").observe(value)
LONE.observe(4)
SUMMARY.labels("late")
with SUMMARY.time() as timer:
    timer.labels("ok")
took = timer.duration

@LATENCY.labels("timed").time()
def timed(x):
    return x

assert [timed(x) for x in range(3)] == [0, 1, 2]
SCRATCH = Counter("scratch", "Cleared", ["a"], registry=registry)
SCRATCH.labels("b").inc()
SCRATCH.clear()
BUILD = Info("build", "The build", registry=registry)
BUILD.info({{"version": "1.2", "commit": "9f31c0"}})
assert registry.get_sample_value("build_info", {{"version": "1.2", "commit": "9f31c0"}}) == 1
TASK = Enum("task", "The task", ["name"], states=["ready", "done"], registry=registry)
TASK.labels("copy").state("done")
TASK.labels("move")
other = CollectorRegistry()
Gauge("alone", "Alone", registry=other).set(2)
assert b"alone 2" in generate_latest(other) and "text/plain" in CONTENT_TYPE_LATEST
server, thread = start_http_server(0, addr="127.0.0.1", registry=other)
server.shutdown()
server.server_close()
assert registry.get_sample_value("requests_total", {{"method": "get", "endpoint": "/"}}) == 2.5
assert registry.get_sample_value("requests_total") is None
registry.unregister(QUEUE)
"""


def run(side: Any, program: str = PROGRAM) -> Any:
    """Run the program with one of the libraries; return its registry and its globals."""
    namespace = {"registry": side.registry()}
    exec(program.format(library=side.library.__name__), namespace)
    return SimpleNamespace(**namespace)


def untimed(samples: Multiset[SampleKey], took: float) -> Multiset[SampleKey]:
    """Leave out samples that depend on how long the program took."""
    timed = ("endpoint", "timed")
    return Multiset(
        {
            key: count
            for key, count in samples.items()
            if not (key[0] in {"latency_seconds_sum", "duration_seconds_sum"} and key[1])
            and not (timed in key[1] and key[0] == "latency_seconds_bucket")
        }
    )


def test_the_same_program_reports_the_same_samples() -> None:
    """A program that uses every method reports the same names, labels and values with either."""
    theirs, ours = run(THEIRS), run(OURS)
    expected = untimed(samples_of(theirs.registry), theirs.took)
    assert expected == untimed(samples_of(ours.registry), ours.took)
    assert 44 == len(expected)


def test_the_same_program_reports_the_same_families() -> None:
    """Families come in the same order, with the same name, type and documentation."""
    described = [
        [(family.name, family.type, family.documentation) for family in side.registry.collect()]
        for side in (run(THEIRS), run(OURS))
    ]
    assert described[0] == described[1]


def test_sums_of_times_are_there() -> None:
    """Each sum that the comparison leaves out is the observations' sum plus the measured time."""
    ours = run(OURS)
    summed = ours.registry.get_sample_value("duration_seconds_sum", {"status": "ok"})
    assert pytest.approx(3.5 + ours.took) == summed


AMOUNTS = st.floats(0, 1e12) | st.integers(0, 10**12)
OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["counter.inc", "gauge.inc", "gauge.dec", "gauge.set", "histogram.observe",
                         "summary.observe"]),
        st.sampled_from(["", "a", 'é\n"\\', 7, None]),
        AMOUNTS,
    ),
    max_size=40,
)  # fmt: skip


@given(OPERATIONS)
def test_any_operations_report_the_same_samples(
    operations: list[tuple[str, object, float]],
) -> None:
    """Any sequence of operations on labelled instruments has the same outcome with either."""
    outcomes = []
    for side in (THEIRS, OURS):
        registry = side.registry()
        made = {
            name: getattr(side.library, name.title())(name, "d", ["label"], registry=registry)
            for name in ("counter", "gauge", "histogram", "summary")
        }
        for operation, label, amount in operations:
            name, method = operation.split(".")
            getattr(made[name].labels(label), method)(amount)
        outcomes.append(samples_of(registry))
    assert outcomes[0] == outcomes[1]


# Both refuse these, with an error that the same `except` catches.
REFUSALS = [
    "Counter('', 'd', registry=registry)",
    "Counter('c', 'd', ['__reserved'], registry=registry)",
    "Histogram('c', 'd', ['le'], registry=registry)",
    "Summary('c', 'd', ['quantile'], registry=registry)",
    "Histogram('c', 'd', buckets=[2, 1], registry=registry)",
    "Histogram('c', 'd', buckets=[], registry=registry)",
    "[Gauge('c', 'd', registry=registry) for _ in range(2)]",
    "Counter('c', 'd', registry=registry).inc(-1)",
    "Counter('c', 'd', ['a'], registry=registry).inc()",
    "Counter('c', 'd', ['a'], registry=registry).labels()",
    "Counter('c', 'd', ['a'], registry=registry).labels('x', 'y')",
    "Counter('c', 'd', ['a'], registry=registry).labels('x', a='y')",
    "Counter('c', 'd', ['a'], registry=registry).labels(b='y')",
    "Counter('c', 'd', ['a'], registry=registry).labels('x').labels('y')",
    "Counter('c', 'd', registry=registry).labels('x')",
    "Counter('c', 'd', ['a'], registry=registry).remove()",
    "Counter('c', 'd', ['a'], registry=registry).remove_by_labels({'b': 1})",
    "Gauge('c', 'd', registry=registry).remove_by_labels({'b': 1})",
    "Counter('c', 'd', registry=registry).inc(float('-inf'))",
    "Counter('c', 'd', ['a'], registry=registry).inc(float('nan'))",
    "Histogram('c', 'd', ['a'], registry=registry).observe(float('inf'))",
    "Summary('c', 'd', ['a'], registry=registry).observe(float('nan'))",
    "Info('i', 'd', unit='x', registry=registry)",
    "Info('i', 'd', ['l'], registry=registry).labels('a').info({'l': ''})",
    "Info('i', 'd', registry=registry).info({'l': None})",
    "Enum('e', 'd', unit='x', states=['a'], registry=registry)",
    "Enum('e', 'd', registry=registry)",
    "Enum('e', 'd', ['e'], states=['a'], registry=registry)",
    "Enum('e', 'd', states=['a'], registry=registry).state('b')",
    "Enum('e', 'd', ['l'], states=['a'], registry=registry).state('a')",
]


@pytest.mark.parametrize("expression", REFUSALS)
def test_the_same_is_refused(expression: str) -> None:
    """What prometheus_client refuses with a ValueError, this package refuses with one too."""
    program = "from {library} import *\n" + expression.replace("{", "{{").replace("}", "}}")
    for side in (THEIRS, OURS):
        with pytest.raises(ValueError, match=r"\S"):
            run(side, program)


@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False, width=16)
        | st.sampled_from([math.inf, -math.inf])
    )
)
def test_infinite_observations_report_the_same_samples(amounts: list[float]) -> None:
    """Infinity lies in the bucket `+Inf`, and makes the sum infinite, with either."""
    outcomes = []
    for side in (THEIRS, OURS):
        registry = side.registry()
        for kind in (side.library.Histogram, side.library.Summary):
            made = kind(kind.__name__.lower(), "d", registry=registry)
            for amount in amounts:
                made.observe(amount)
        outcomes.append(samples_of(registry))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_gauges_are_set_to_the_same_values(value: float) -> None:
    """A gauge may be set to any number with either."""
    shown = []
    for side in (THEIRS, OURS):
        registry = side.registry()
        side.library.Gauge("queue", "d", registry=registry).set(value)
        shown.append(repr(registry.get_sample_value("queue")))
    assert shown[0] == shown[1]


def test_nan_is_what_theirs_adds_for_ever() -> None:
    """prometheus_client's totals are NaN after one NaN, and this package leaves it out."""
    totals = []
    for side in (THEIRS, OURS):
        counter = side.library.Counter("jobs", "d", registry=None)
        histogram = side.library.Histogram("seconds", "d", registry=None)
        for amount in (1.0, math.nan):
            counter.inc(amount)
            histogram.observe(amount)
        totals += [
            repr(sample.value)
            for instrument in (counter, histogram)
            for family in instrument.collect()
            for sample in family.samples
            if sample.name in {"jobs_total", "seconds_sum"}
        ]
    assert ["nan", "nan", "1.0", "1.0"] == totals


def test_decorated_functions_have_the_same_arguments() -> None:
    """`inspect.getfullargspec()` says the same of a decorated function with either."""
    specs = []
    for side in (THEIRS, OURS):

        def work(a: int, b: str = "x", *rest: int, c: float = 1.0, **others: int) -> None:
            """Do nothing."""

        timed = side.library.Histogram("seconds", "d", registry=None).time()(work)
        specs.append(inspect.getfullargspec(timed))
    assert specs[0] == specs[1]


def test_unit_is_the_one_difference_in_names() -> None:
    """A unit changes the name in prometheus_client, and not in this package."""
    names = []
    for side in (THEIRS, OURS):
        counter = side.library.Counter("read", "d", unit="bytes", registry=None)
        names.append([(family.name, family.unit) for family in counter.collect()])
    assert [[("read_bytes", "bytes")], [("read", "bytes")]] == names


def test_coroutines_are_what_theirs_gets_wrong() -> None:
    """prometheus_client ends a decorated coroutine when it is made, this package when it ends."""
    running: list[float | None] = []
    for side in (THEIRS, OURS):
        registry = side.registry()
        gauge = side.library.Gauge("running", "d", registry=registry)

        @gauge.track_inprogress()  # type: ignore[untyped-decorator] # of either library
        async def work(registry: Any = registry) -> None:
            running.append(registry.get_sample_value("running"))

        asyncio.run(work())
    assert [0.0, 1.0] == running


def test_their_exposition_reads_our_registry() -> None:
    """`prometheus_client.generate_latest` writes this package's registry as it writes its own."""
    theirs, ours = run(THEIRS), run(OURS)
    texts = [prometheus_client.generate_latest(side.registry).decode() for side in (theirs, ours)]
    read = [
        Multiset(
            (sample.name, frozenset(sample.labels.items()), repr(sample.value))
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if not sample.name.endswith("_created") and "quantile" not in sample.labels
        )
        for text in texts
    ]
    assert untimed(read[0], theirs.took) == untimed(read[1], ours.took)


def test_their_openmetrics_exposition_reads_our_registry() -> None:
    """The OpenMetrics writer of prometheus_client takes this package's families too."""
    registry = noetl_metrics_sdk.Registry()
    noetl_metrics_sdk.Counter("jobs", "Jobs done", ["pool"], registry=registry).labels("a").inc(2)
    assert '# HELP jobs Jobs done\n# TYPE jobs counter\njobs_total{pool="a"} 2.0\n# EOF\n' == (
        generate_openmetrics(registry).decode()
    )
