"""`noetl-metrics components`."""

from __future__ import annotations

import pytest

from tests.command.terminals import in_terminal
from tests.server.application import sample

pytestmark = pytest.mark.once


def test_components_are_listed_with_their_processes(run):
    """A row has the name, the kind, the state, the processes and the id."""
    runtime_id = run.insert("listed", sample())
    (row,) = [row for row in run("components", "list").rows if row[0] == "listed"]
    assert ["listed", "worker_pool", "ready", "0", "0", "0"] == row[:6]
    assert row[6].endswith(" ago")
    assert runtime_id == row[7]


def test_only_one_kind_is_listed(run):
    """`--kind` leaves out the others; JSON has what the server says of each."""
    run.insert("a-broker", kind="broker")
    listed = run("components", "list", "--kind=broker", "--json").json["components"]
    assert ["a-broker"] == [one["name"] for one in listed]
    assert {"alive", "processes", "labels"} <= set(listed[0])


def test_a_component_is_deleted_with_its_samples(run):
    """`--yes` asks nothing; the answer says how many samples went."""
    runtime_id = run.insert("gone", sample(), sample(labels={"a": "b"}))
    result = run("components", "delete", "gone", "--yes")
    assert (0, f"deleted worker_pool/gone ({runtime_id}) and 2 samples\n") == result[:2]
    assert 0 == len([row for row in run("components", "list").rows if row[0] == "gone"])


def test_nothing_is_deleted_unasked(run):
    """Without a terminal to ask in, a deletion needs `--yes`."""
    runtime_id = run.insert("kept")
    result = run("components", "delete", "kept")
    assert 2 == result.code
    assert (
        f"noetl-metrics: worker_pool/kept ({runtime_id}) and all of its metrics would be deleted: "
        "give --yes\n"
    ) == result.err
    assert ["kept"] == [row[0] for row in run("components", "list").rows if row[0] == "kept"]


def test_an_operator_is_asked_in_a_terminal(run):
    """Only a yes deletes; after another answer the code is 1."""
    run.insert("asked")
    with in_terminal(
        120, 24, "components", "delete", "asked", NOETL_SERVER_URL=run.url
    ) as terminal:
        terminal.read_until("and all of its metrics? [y/N]")
        terminal.type("n\n")
        assert "is as it was" in "\n".join(terminal.read_to_end(1))
    assert "asked" in [row[0] for row in run("components", "list").rows]


def test_a_name_that_there_is_not_says_which_may_be_meant(run):
    """The message names the component that is like it."""
    run.insert("pool-of-names")
    result = run("components", "delete", "pool-of-name", "--yes")
    assert 1 == result.code
    assert (
        "noetl-metrics: there is no component 'pool-of-name': did you mean pool-of-names?\n"
        == result.err
    )


def test_a_name_of_two_components_is_not_guessed(run):
    """The message names the kinds; with one of them, the component is found."""
    run.insert("twins")
    run.insert("twins", kind="broker")
    result = run("components", "delete", "twins", "--yes")
    assert 2 == result.code
    assert "2 components are called 'twins': give --kind" in result.err
    assert 0 == run("components", "delete", "twins", "--kind=broker", "--yes").code
    assert 0 == run("components", "delete", "twins", "--yes", "--json").json["metrics_deleted"]
