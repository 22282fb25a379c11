"""Labels: giving them, forgetting them, and how many there may be."""

from __future__ import annotations

import os
from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk import Counter, Gauge, Histogram, InvalidMetricError, Summary

if TYPE_CHECKING:
    from collections.abc import Callable

INSTRUMENTS = [Counter, Gauge, Histogram, Summary]
STORABLE = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


@pytest.fixture
def counter() -> Counter:
    return Counter("jobs", "Jobs", ["pool", "status"], registry=None)


def label_sets(instrument: Any) -> list[tuple[str, ...]]:
    (family,) = instrument.collect()
    return [tuple(sample.labels.values()) for sample in family.samples]


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(InvalidMetricError) as refused:
        call()
    return str(refused.value)


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_one_label_set_is_one_child(instrument: Any) -> None:
    """By position, by name and in any order, the same values give the same object."""
    made = instrument("jobs", "d", ["pool", "status"], registry=None)
    child = made.labels("cpu", "ok")
    assert child is made.labels("cpu", "ok")
    assert child is made.labels(pool="cpu", status="ok")
    assert child is made.labels(status="ok", pool="cpu")
    assert child is not made.labels("ok", "cpu")


@given(st.lists(st.tuples(STORABLE, STORABLE), max_size=20))
def test_each_label_set_is_a_series(sets: list[tuple[str, str]]) -> None:
    """Any storable text is a label value, and each label set counts separately."""
    counter = Counter("jobs", "d", ["pool", "status"], registry=None)
    for values in sets:
        counter.labels(*values).inc()
    (family,) = counter.collect()
    counts = {
        (sample.labels.get("pool", ""), sample.labels.get("status", "")): sample.value
        for sample in family.samples
    }
    assert counts == {values: float(sets.count(values)) for values in sets}


def test_labels_are_reported_in_their_order(counter: Counter) -> None:
    """A series has its label names in the order in which the instrument was given them."""
    counter.labels(status="ok", pool="cpu").inc()
    (sample,) = counter.collect()[0].samples
    assert [("pool", "cpu"), ("status", "ok")] == list(sample.labels.items())


def test_child_is_there_before_it_counts(counter: Counter) -> None:
    """An instrument reports a series with zero as soon as a caller has named its label set."""
    counter.labels("cpu", "ok")
    assert [0.0] == [sample.value for sample in counter.collect()[0].samples]


class Colour(str, Enum):  # noqa: UP042 - a StrEnum is its value as a string too
    """A mixed-in enumeration: equal to its value, and another text as a string."""

    RED = "red"


@pytest.mark.parametrize(
    "value", [1, 1.0, None, True, b"x", ["unhashable"], {"a": 1}, ("t",), Colour.RED]
)
def test_values_become_strings(value: object) -> None:
    """A value of another type becomes a string, however often and whatever came before."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    by_position = [counter.labels(value) for _ in range(2)]
    assert [counter.labels(str(value))] * 2 == by_position
    assert by_position[0] is counter.labels(pool=value)
    assert [(str(value),)] == label_sets(counter)


def test_value_that_equals_another_text_is_still_made_a_string() -> None:
    """An enumeration's member gets its own text, and not the string that it equals."""
    counter = Counter("jobs", "d", ["colour"], registry=None)
    counter.labels("red")
    assert counter.labels(Colour.RED) is counter.labels(str(Colour.RED))
    assert [("red",), (str(Colour.RED),)] == label_sets(counter)


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        ((), {}, "has the labels ['pool', 'status'], and 0 values were given"),
        (("a",), {}, "has the labels ['pool', 'status'], and 1 values were given"),
        (("a", "b", "c"), {}, "has the labels ['pool', 'status'], and 3 values were given"),
        (("a",), {"status": "b"}, "give label values by position or by name, not both"),
        ((), {"pool": "a"}, "has the labels ['pool', 'status'], not ['pool']: name each once"),
        ((), {"pool": "a", "state": "b"}, "not ['pool', 'state']: name each once"),
        ((), {"pool": "a", "status": "b", "x": "c"}, "not ['pool', 'status', 'x']"),
    ],
)
def test_wrong_labels_are_refused(
    counter: Counter, values: tuple[str, ...], names: dict[str, str], message: str
) -> None:
    """Missing, mixed and unknown labels are refused, and the message names the right ones."""
    assert message in refusal(lambda: counter.labels(*values, **names))
    assert [] == label_sets(counter)


@pytest.mark.parametrize(
    ("value", "stored"),
    [("a\x00b", "a\ufffdb"), ("\ud800", "\ufffd"), (os.fsdecode(b"caf\xe9"), "caf\ufffd")],
)
def test_value_that_cannot_be_stored_is_made_storable(value: str, stored: str) -> None:
    """`labels()` puts U+FFFD in the place of what PostgreSQL cannot store, and counts it."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    child = counter.labels(stored)
    assert (child, child) == (counter.labels(value), counter.labels(pool=value))
    assert ([(stored,)], 2) == (label_sets(counter), counter.label_values_replaced)


def test_value_that_cannot_be_stored_counts_toward_the_cap() -> None:
    """A new series of such a value is bounded like any other."""
    counter = Counter("jobs", "d", ["pool"], registry=None, max_series=1)
    counter.labels("cpu")
    counter.labels("a\x00").inc()
    assert ([("cpu",), ("__overflow__",)], 1) == (label_sets(counter), counter.overflowed)


def test_series_of_a_replaced_value_is_removed_by_the_value(counter: Counter) -> None:
    """`remove()` and `remove_by_labels()` find the series of a value that was replaced."""
    for value in ("a\x00", "b\x00"):
        counter.labels(value, "ok")
    counter.remove("a\x00", "ok")
    counter.remove_by_labels({"pool": "b\x00"})
    assert [] == label_sets(counter)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("pool", "labelnames is the string 'pool': give a list, like ['pool']"),
        (["a", "a"], "labelnames ['a', 'a'] names a label twice"),
        (["no-good"], "label name 'no-good' is not valid"),
        (["__name"], "label name '__name' begins with '__'"),
        ([None], "label name None is a NoneType: it must be a string"),
        (["n" * 256], "has 256 characters"),
    ],
)
@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_bad_label_names_are_refused(instrument: Any, names: Any, message: str) -> None:
    """An instrument checks its label names when it is made."""
    assert message in refusal(lambda: instrument("jobs", "d", names, registry=None))


@pytest.mark.parametrize(("instrument", "name"), [(Histogram, "le"), (Summary, "quantile")])
def test_reserved_label_names_are_refused(instrument: Any, name: str) -> None:
    """A histogram keeps `le` for itself, and a summary `quantile`."""
    message = refusal(lambda: instrument("jobs", "d", ["pool", name], registry=None))
    assert f"label name {name!r} is what this type of metric labels its own samples with" in message


@pytest.mark.parametrize("instrument", [Counter, Gauge])
def test_what_others_reserve_is_free(instrument: Any) -> None:
    """A counter and a gauge may have labels that only other types need."""
    made = instrument("jobs", "d", ["le", "quantile"], registry=None)
    made.labels("a", "b")
    assert [("a", "b")] == label_sets(made)


def test_label_names_may_come_from_any_iterable() -> None:
    """An instrument reads a generator of label names once."""
    counter = Counter("jobs", "d", (name for name in ("pool", "status")), registry=None)
    counter.labels(pool="a", status="b")
    assert [("a", "b")] == label_sets(counter)


USES: list[tuple[Any, Callable[[Any], object]]] = [
    (Counter, lambda parent: parent.inc()),
    (Counter, lambda parent: parent.reset()),
    (Counter, lambda parent: parent.count_exceptions()),
    (Gauge, lambda parent: parent.inc()),
    (Gauge, lambda parent: parent.dec()),
    (Gauge, lambda parent: parent.set(1)),
    (Gauge, lambda parent: parent.set_to_current_time()),
    (Gauge, lambda parent: parent.set_function(lambda: 1)),
    (Gauge, lambda parent: parent.track_inprogress()),
    (Gauge, lambda parent: parent.reset()),
    (Histogram, lambda parent: parent.observe(1)),
    (Histogram, lambda parent: parent.reset()),
    (Summary, lambda parent: parent.observe(1)),
    (Summary, lambda parent: parent.reset()),
]


@pytest.mark.parametrize(("instrument", "use"), USES)
def test_parent_has_no_value(instrument: Any, use: Callable[[Any], object]) -> None:
    """An instrument that lacks its labels refuses every use, and says what to call."""
    parent = instrument("jobs", "d", ["pool", "status"], registry=None)
    expected = (
        f"{instrument.__name__}('jobs') has labels: call .labels(pool=…, status=…) on it first"
    )
    assert expected == refusal(lambda: use(parent))


@pytest.mark.parametrize(
    "use",
    [
        lambda one: one.labels("x"),
        lambda one: one.labels(pool="x"),
        lambda one: one.labels(),
        lambda one: one.remove("x"),
        lambda one: one.remove_by_labels({"pool": "x"}),
    ],
)
def test_labels_belong_to_a_parent(use: Callable[[Counter], object]) -> None:
    """An instrument without label names and a child take no labels, and the message says why."""
    plain = Counter("plain", "d", registry=None)
    child = Counter("jobs", "d", ["pool"], registry=None).labels("a")
    assert "Counter('plain') has no label names: make it with labelnames" == refusal(
        lambda: use(plain)
    )
    assert "Counter('jobs', {'pool': 'a'}) has its labels already: use it as it is" == refusal(
        lambda: use(child)
    )


def test_remove_forgets_a_series(counter: Counter) -> None:
    """A removed series is not reported, and begins at zero when it comes again."""
    counter.labels("cpu", 1).inc(5)
    counter.labels("cpu", 2).inc(6)
    counter.remove("cpu", 1)
    assert [("cpu", "2")] == label_sets(counter)
    counter.labels("cpu", 1)
    assert [6.0, 0.0] == [sample.value for sample in counter.collect()[0].samples]


def test_remove_of_an_unknown_series_is_nothing(counter: Counter) -> None:
    """Removing an unknown series changes nothing, as with prometheus_client."""
    counter.labels("cpu", "ok")
    counter.remove("gpu", "ok")
    assert [("cpu", "ok")] == label_sets(counter)


def test_remove_wants_every_label(counter: Counter) -> None:
    """Removing by position needs a value for each label."""
    assert "and 1 values were given" in refusal(lambda: counter.remove("cpu"))


@pytest.mark.parametrize(
    ("labels", "left"),
    [
        ({}, [("a", "1"), ("a", "2"), ("b", "1")]),
        ({"pool": "a"}, [("b", "1")]),
        ({"status": 1}, [("a", "2")]),
        ({"pool": "a", "status": "1"}, [("a", "2"), ("b", "1")]),
        ({"pool": "c"}, [("a", "1"), ("a", "2"), ("b", "1")]),
    ],
)
def test_remove_by_some_labels(
    counter: Counter, labels: dict[str, object], left: list[tuple[str, str]]
) -> None:
    """The instrument forgets every series with the given labels, and none if none is given."""
    for values in (("a", 1), ("a", 2), ("b", 1)):
        counter.labels(*values)
    counter.remove_by_labels(labels)
    assert left == label_sets(counter)


def test_remove_by_an_unknown_label_is_refused(counter: Counter) -> None:
    """A name that is none of the labels is refused, and the message lists the labels."""
    message = refusal(lambda: counter.remove_by_labels({"pool": "a", "stat": "b"}))
    assert "Counter('jobs') has no label 'stat': it has ['pool', 'status']" == message


def test_clear_forgets_every_series(counter: Counter) -> None:
    """After `clear()` nothing is reported; without labels `clear()` changes nothing."""
    plain = Counter("plain", "d", registry=None)
    plain.inc()
    counter.labels("a", "b").inc()
    counter.clear()
    plain.clear()
    assert (0, 1.0) == (len(label_sets(counter)), plain.collect()[0].samples[0].value)


def test_removed_child_still_counts_for_itself(counter: Counter) -> None:
    """A caller that holds a removed child may go on using it: it is only not reported."""
    child = counter.labels("a", "b")
    counter.clear()
    child.inc()
    assert [] == label_sets(counter)
    assert counter.labels("a", "b") is not child


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_series_are_capped(instrument: Any) -> None:
    """Label sets beyond the cap share one overflow series, and each such call is counted."""
    made = instrument("jobs", "d", ["pool", "status"], registry=None, max_series=2)
    children = [made.labels(number, "ok") for number in range(5)]
    overflow = {"pool": "__overflow__", "status": "__overflow__"}
    assert children[2] is children[3] is children[4]
    assert 3 == made.overflowed
    assert f"{instrument.__name__}('jobs', {overflow})" == repr(children[2])
    assert {("0", "ok"), ("1", "ok"), ("__overflow__",) * 2} == {
        labels[:2] for labels in label_sets(made)
    }


def test_known_series_do_not_overflow() -> None:
    """At the cap, known label sets stay apart and are not counted as overflow."""
    counter = Counter("jobs", "d", ["pool"], registry=None, max_series=2)
    first = counter.labels("a")
    counter.labels("b")
    assert (first, 0) == (counter.labels("a"), counter.overflowed)


def test_overflow_keeps_the_total() -> None:
    """Beyond the cap no count is lost, only the labels are."""
    counter = Counter("jobs", "d", ["pool"], registry=None, max_series=3)
    for number in range(50):
        counter.labels(number).inc()
    assert [1.0, 1.0, 1.0, 47.0] == [sample.value for sample in counter.collect()[0].samples]


def test_removing_makes_room_under_the_cap() -> None:
    """A series that was removed frees its place."""
    counter = Counter("jobs", "d", ["pool"], registry=None, max_series=1)
    counter.labels("a")
    counter.remove("a")
    counter.labels("b")
    assert ([("b",)], 0) == (label_sets(counter), counter.overflowed)


def test_default_cap() -> None:
    """By default an instrument keeps 2,000 series apart."""
    counter = Counter("jobs", "d", ["pool"], registry=None)
    for number in range(2_001):
        counter.labels(number)
    assert (2_001, 1) == (len(label_sets(counter)), counter.overflowed)


def test_child_keeps_the_settings_of_its_parent() -> None:
    """A child has the buckets, quantiles and unit of its instrument."""
    histogram = Histogram("a", "d", ["pool"], unit="bytes", registry=None, buckets=[1])
    histogram.labels("x").observe(2)
    summary = Summary("b", "d", ["pool"], registry=None, quantiles=[1], relative_error=0.5)
    summary.labels("x").observe(2)
    bounds = [sample.labels.get("le") for sample in histogram.collect()[0].samples]
    quantiles = [sample.labels.get("quantile") for sample in summary.collect()[0].samples]
    assert (["1.0", "+Inf", None, None], ["1.0", None, None]) == (bounds, quantiles)
    assert {"bytes"} == {sample.series.unit for sample in histogram.collect()[0].samples}
