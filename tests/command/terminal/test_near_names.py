"""What is said instead of a name that there is not."""

from __future__ import annotations

import pytest

from noetl_metrics_cli.terminal.near_names import near_names

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("name", "names", "expected"),
    [
        ("cpu-1", ["cpu-01", "gpu"], "did you mean cpu-01?"),
        ("x", ["b", "a"], "there are a, b"),
        ("x", ["a"], "there is a"),
        ("x", [], "there is none"),
        ("x", list("abcdefg"), "there are a, b, c, d, e and 2 more"),
    ],
)
def test_a_name_like_it_or_those_that_there_are(name, names, expected):
    """At most five of many are listed."""
    assert expected == near_names(name, names)
