"""Whether a change of a value takes the lock."""

from __future__ import annotations

import sysconfig

import pytest

import noetl_metrics_sdk
from noetl_metrics_sdk import Counter, Histogram
from noetl_metrics_sdk.instruments.locking import COMPILED, NEEDS_LOCK, is_free_threaded, needs_lock


@pytest.mark.parametrize(
    ("compiled", "free_threaded", "expected"),
    [(True, False, False), (False, False, True), (True, True, True), (False, True, True)],
)
def test_only_compiled_code_under_a_gil_needs_no_lock(
    compiled: bool, free_threaded: bool, expected: bool
) -> None:
    """Only where nothing can come in between does a change take no lock."""
    assert expected is needs_lock(compiled=compiled, free_threaded=free_threaded)


def test_the_interpreter_says_whether_it_is_free_threaded() -> None:
    """The answer is this interpreter's own configuration."""
    assert bool(sysconfig.get_config_var("Py_GIL_DISABLED")) is is_free_threaded()


def test_the_build_is_named() -> None:
    """The public name `COMPILED` says whether the instruments are extension types."""
    is_extension = type(Counter.inc).__name__ == "method_descriptor"
    assert is_extension is COMPILED is noetl_metrics_sdk.COMPILED
    assert needs_lock(compiled=COMPILED, free_threaded=is_free_threaded()) is NEEDS_LOCK


def test_instruments_follow_the_decision() -> None:
    """A series takes no lock where none is needed; a parent always looks twice."""
    histogram = Histogram("seconds", "d", ["pool"], registry=None)
    assert (False, not NEEDS_LOCK) == (histogram._direct, histogram.labels("a")._direct)
    assert (not NEEDS_LOCK) is Counter("jobs", "d", registry=None)._direct
