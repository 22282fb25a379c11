"""Info and Enum, as prometheus_client has them."""

from __future__ import annotations

import os

import pytest

from noetl_metrics_sdk import DuplicateMetricError, Enum, Info, InvalidMetricError, Registry
from tests.sdk.client.clients import make_client


@pytest.fixture
def registry():
    return Registry()


def samples(registry):
    return [
        (sample.name, dict(sample.labels), sample.value)
        for family in registry.collect()
        for sample in family.samples
    ]


def test_an_info_is_one_series_with_its_texts(registry):
    """Texts replace those that were set before; a value becomes a text that can be stored."""
    info = Info("build", "The build", namespace="app", registry=registry)
    assert [("app_build_info", {}, 1.0)] == samples(registry)
    info.info({"version": "1.2"})
    info.info({"version": 3, "path": "a\x00"})
    assert [("app_build_info", {"version": "3", "path": "a\ufffd"}, 1.0)] == samples(registry)


def test_each_label_set_has_its_texts_and_state(registry):
    """Children are told apart by their labels, and what is removed is forgotten."""
    info = Info("disk", "Disks", ["name"], registry=registry)
    enum = Enum("power", "Power", ["name"], states=["on", "off"], registry=registry)
    assert [] == samples(registry)
    for name in ("a", "b"):
        info.labels(name).info({"model": name * 2})
        enum.labels(name=name).state("off")
    info.remove("a")
    enum.remove_by_labels({"name": "a"})
    info.labels("a")
    enum.labels("a")
    assert [
        ("disk_info", {"name": "b", "model": "bb"}, 1.0),
        ("disk_info", {"name": "a"}, 1.0),
        ("power", {"name": "b", "power": "on"}, 0.0),
        ("power", {"name": "b", "power": "off"}, 1.0),
        ("power", {"name": "a", "power": "on"}, 1.0),
        ("power", {"name": "a", "power": "off"}, 0.0),
    ] == samples(registry)
    info.clear()
    enum.clear()
    assert [] == samples(registry)


def test_an_instrument_of_texts_has_a_bound_on_its_series(registry):
    """Beyond `max_series` all label sets share one series, as for every instrument."""
    info = Info("job", "Jobs", ["id"], registry=registry, max_series=2)
    for number in range(10):
        info.labels(number).info({"kind": "sql"})
    assert ["0", "1", "__overflow__"] == [labels["id"] for _, labels, _ in samples(registry)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: Info("i", "d", unit="s", registry=r), "has the unit 's': a text has none"),
        (lambda r: Enum("e", "d", unit="s", states=["a"], registry=r), "has the unit 's'"),
        (lambda r: Enum("e", "d", registry=r), "give at least one, and each once"),
        (lambda r: Enum("e", "d", states=["a", "a"], registry=r), "each once"),
        (lambda r: Enum("e", "d", states="ab", registry=r), "give a list, like ['ab']"),
        (lambda r: Enum("e", "d", states=["\x00"], registry=r), "any text will do but NUL"),
        (lambda r: Enum("e", "d", ["e"], states=["a"], registry=r), "is the label of the state"),
        (lambda r: Enum("e:f", "d", states=["a"], registry=r), "label name 'e:f' is not valid"),
        (lambda r: Enum("e", "d", states=["a"], registry=r).state("b"), "has no state 'b'"),
        (lambda r: Enum("e", "d", ["l"], states=["a"], registry=r).state("a"), "call .labels(l=…)"),
        (lambda r: Info("i", "d", ["l"], registry=r).info({}), "call .labels(l=…)"),
        (lambda r: Info("i", "d", ["l"], registry=r).labels("x").info({"l": "y"}), "a label 'l'"),
        (lambda r: Info("i", "d", registry=r).info({"a b": "c"}), "label name 'a b' is not valid"),
        (lambda r: Info("i", "d", registry=r).info({"a": None}), "a is None: give a text"),
        (lambda r: Info("i", "d", registry=r).labels("x"), "has no label names"),
    ],
)
def test_what_is_not_valid_is_refused(registry, call, message):
    """The error says what is right, and is a ValueError as in prometheus_client."""
    with pytest.raises(InvalidMetricError) as refused:
        call(registry)
    assert message in str(refused.value)


def test_a_name_is_taken_once_and_found_again(registry):
    """The registry knows the names of their samples, and gives the one that is there."""
    info = registry.get_or_create(Info, "i", "d", ["l"])
    enum = registry.get_or_create(Enum, "e", "d", states=["a", "b"])
    assert (info, enum) == (
        registry.get_or_create(Info, "i", "d", ["l"]),
        registry.get_or_create(Enum, "e", "d", states=["a", "b"]),
    )
    with pytest.raises(DuplicateMetricError, match="i_info"):
        Info("i", "d", registry=registry)
    with pytest.raises(DuplicateMetricError, match="states is"):
        registry.get_or_create(Enum, "e", "d", states=["a"])
    assert ["Info('i')", "Enum('e')"] == [repr(info), repr(enum)]
    assert "Info('i', {'l': 'x'})" == repr(info.labels("x"))


def test_they_are_gauges_in_the_table(registry):
    """A client sends each series as a gauge, again when it has changed."""
    enum = Enum("power", "Power", states=["on", "off"], registry=registry)
    Info("build", "The build", registry=registry).info({"version": "1"})
    client = make_client(registry=registry).start()
    client.flush()
    enum.state("off")
    client.shutdown()
    received = client._transport.received("power") + client._transport.received("build_info")
    assert {"gauge"} == {sample.metric_type for sample in received}
    assert [("on", 1.0), ("off", 0.0), ("on", 0.0), ("off", 1.0)] == [
        (sample.labels["power"], sample.value) for sample in received[:-1]
    ]
    assert {"version": "1"}.items() <= received[-1].labels.items()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_says_what_its_parent_said(registry):
    """Texts are no counts: they are true in the child too."""
    Info("build", "The build", registry=registry).info({"version": "1"})
    enum = Enum("power", "Power", states=["on", "off"], registry=registry)
    enum.state("off")
    said = samples(registry)
    child = os.fork()
    if child == 0:
        os._exit(samples(registry) != said)
    assert (child, 0) == os.waitpid(child, 0)
