"""A name that there is not is answered with those that there are."""

from __future__ import annotations

import pytest

from server_stub.web.near_names import SHOWN_MAX, said_instead

pytestmark = pytest.mark.once

NAMES = ["metric_name", "metric_type", "start_time", "end_time", "labels", "limit"]


@pytest.mark.parametrize(
    ("name", "names", "said"),
    [
        ("metric_nam", NAMES, "did you mean metric_name or metric_type?"),
        ("metric", NAMES, "did you mean metric_type or metric_name?"),
        ("label", NAMES, "did you mean labels?"),
        ("q", NAMES[:3], "there are metric_name, metric_type, start_time"),
        ("", NAMES[:1], "there is metric_name"),
        ("q", [], "there are none"),
        ("q", [f"n{n:02}" for n in range(25)],
         "there are " + ", ".join(f"n{n:02}" for n in range(SHOWN_MAX)) + " and 5 more"),
    ],
)  # fmt: skip
def test_near_names_come_first(name: str, names: list[str], said: str) -> None:
    """Names that are like it, or begin with it, are meant; or else it says what there is."""
    assert said == said_instead(name, names)
