"""Names, labels and texts: which ones are valid, and how the others are refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk import InvalidMetricError
from noetl_metrics_sdk.model.names import (
    NAME_LENGTH_MAX,
    are_storable,
    check_label_name,
    check_metric_name,
    check_text,
    exported_name,
    own_name,
    storable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

METRIC_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]{0,254}"
LABEL_NAME = r"(?!__)[a-zA-Z_][a-zA-Z0-9_]{0,254}"
ANYTHING_BUT_TEXT = st.one_of(
    st.none(), st.integers(), st.floats(), st.binary(), st.lists(st.text()), st.booleans()
)
RESERVED = ("le", "quantile")
# Nearly valid text, which arbitrary text rarely is.
NEARLY_VALID = st.text(st.sampled_from("aZ_:09-. élequantile"), max_size=12)


def refusal(check: Callable[[Any], str], value: object) -> str:
    with pytest.raises(InvalidMetricError) as refused:
        check(value)
    return str(refused.value)


def suggestion(message: str) -> str:
    found = re.search(r"(?:like|use) '([^']*)'$", message)
    assert found is not None, message
    return found.group(1)


@given(st.from_regex(METRIC_NAME, fullmatch=True))
def test_valid_metric_name_is_returned(name: str) -> None:
    """A name of the data model of Prometheus is valid."""
    assert name == check_metric_name(name)


@given(st.text() | NEARLY_VALID)
def test_metric_name_is_valid_or_refused(name: str) -> None:
    """Any text is valid exactly if the data model's pattern matches all of it."""
    if re.fullmatch(METRIC_NAME, name):
        assert name == check_metric_name(name)
    else:
        assert repr(name) in refusal(check_metric_name, name)


@given(st.from_regex(LABEL_NAME, fullmatch=True))
def test_valid_label_name_is_returned(name: str) -> None:
    """A label name without a leading double underscore is valid."""
    assert name == check_label_name(name)


@given(st.text() | NEARLY_VALID)
def test_label_name_is_valid_or_refused(name: str) -> None:
    """Any text is valid exactly if the pattern matches all of it."""
    if re.fullmatch(LABEL_NAME, name):
        assert name == check_label_name(name)
    else:
        assert repr(name) in refusal(check_label_name, name)


@given(st.text() | NEARLY_VALID | st.text("_0", max_size=4))
def test_suggested_metric_name_is_valid(name: str) -> None:
    """The name that the error message shows is itself valid."""
    if not re.fullmatch(METRIC_NAME, name):
        shown = suggestion(refusal(check_metric_name, name))
        assert shown == check_metric_name(shown)


@given(st.text() | NEARLY_VALID | st.text("_0l", max_size=4) | st.just("9le") | st.just("__le"))
def test_suggested_label_name_is_valid(name: str) -> None:
    """The label name that the error message shows is valid, and not reserved either."""
    if not re.fullmatch(LABEL_NAME, name):
        shown = suggestion(refusal(lambda value: check_label_name(value, RESERVED), name))
        assert shown == check_label_name(shown, RESERVED)


@pytest.mark.parametrize("check", [check_metric_name, check_label_name])
def test_suggested_name_for_a_long_one_is_valid(check: Callable[[str], str]) -> None:
    """For a name that is both wrong and too long, the message shows a short one."""
    shown = suggestion(refusal(check, "é" + "x" * 300))
    assert shown == check(shown)


@pytest.mark.parametrize("check", [check_metric_name, check_label_name])
def test_longest_name(check: Callable[[str], str]) -> None:
    """A name may have 255 characters."""
    assert "n" * 255 == check("n" * NAME_LENGTH_MAX)


@pytest.mark.parametrize("check", [check_metric_name, check_label_name])
def test_too_long_name_is_refused(check: Callable[[str], str]) -> None:
    """A name of 256 characters is refused, and the message says how many are allowed."""
    assert "has 256 characters: at most 255 are allowed" in refusal(check, "n" * 256)


@pytest.mark.parametrize("check", [check_metric_name, check_label_name])
@given(value=ANYTHING_BUT_TEXT)
def test_name_that_is_no_string_is_refused(check: Callable[[Any], str], value: object) -> None:
    """Anything but a string is refused with its value and its type."""
    message = refusal(check, value)
    assert message.endswith(f"{value!r} is a {type(value).__name__}: it must be a string")


@pytest.mark.parametrize("name", ["jobs\n", "jobs\x00", "jobs ", "", "jöbs", "\ud800"])
def test_name_is_matched_to_its_end(name: str) -> None:
    """A newline, NUL, space or non-ASCII letter at the end is refused."""
    assert repr(name) in refusal(check_metric_name, name)


@pytest.mark.parametrize("name", RESERVED)
def test_reserved_label_name_is_refused(name: str) -> None:
    """A label that the instrument keeps for itself is refused by name."""
    message = refusal(lambda value: check_label_name(value, RESERVED), name)
    assert message.startswith(f"label name {name!r} is what this type of metric labels")


def test_double_underscore_is_reserved() -> None:
    """A label name for internal use is refused, and the message shows it without underscores."""
    message = refusal(check_label_name, "__name__x")
    assert "label name '__name__x' begins with '__', which is reserved: use 'name__x'" == message


STORABLE = st.characters(exclude_characters="\x00", exclude_categories=["Cs"])


@given(st.text(STORABLE))
def test_text_that_postgresql_can_hold_is_returned(text: str) -> None:
    """Any text without NUL and surrogates is good for a label value."""
    assert text == check_text("label value", text)


@given(st.text(STORABLE), st.sampled_from(["\x00", "\ud800", "\udbff", "\udc00", "\udfff"]))
def test_unstorable_text_is_refused(before: str, bad: str) -> None:
    """NUL and halves of a surrogate pair are refused, with their position."""
    message = refusal(lambda text: check_text("unit", text), before + bad + "x")
    assert f"has {bad!r} at position {len(before)}: any text will do but NUL" in message


@given(st.text(st.characters(exclude_categories=[]) | st.sampled_from("\x00\ud800\udfff")))
def test_any_text_is_made_storable(text: str) -> None:
    """U+FFFD replaces NUL and lone surrogates one by one, and all other text stays."""
    made = storable(text)
    assert (are_storable([text]), True) == (made == text, are_storable([made]))
    assert [one if are_storable([one]) else "\ufffd" for one in text] == list(made)


@given(ANYTHING_BUT_TEXT)
def test_text_that_is_no_string_is_refused(value: object) -> None:
    """A text has to be a string."""
    message = refusal(lambda text: check_text("unit", text), value)
    assert f"unit {value!r} is a {type(value).__name__}: it must be a string" == message


LABEL_NAMES = st.builds(
    lambda count, name: "exported_" * count + name,
    st.integers(0, 3),
    st.sampled_from(["worker_id", "component", "site", "exported", "worker_id_2"]),
)


@given(st.sets(LABEL_NAMES))
def test_labels_beside_added_ones_keep_names_of_their_own(names: set[str]) -> None:
    """No two labels get one name, none gets that of an added one, and each is found again."""
    taken = ("worker_id", "component")
    shown = {exported_name(name, taken) for name in names}
    assert len(names) == len(shown)
    assert shown.isdisjoint(taken)
    assert names == {own_name(name, taken) for name in shown}


def test_a_label_gets_another_name_only_beside_one_of_its_name() -> None:
    """A label of the name of an added one is exported, as in Prometheus; others stay."""
    given_names = ["worker_id", "exported_worker_id", "exported_site", "worker_ids"]
    assert ["exported_worker_id", "exported_exported_worker_id", "exported_site", "worker_ids"] == [
        exported_name(name, ("worker_id",)) for name in given_names
    ]
