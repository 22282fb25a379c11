"""Prometheus' text format, and OpenMetrics."""

from __future__ import annotations

import re

import pytest

from noetl_metrics_cli.transfer.prometheus_text import (
    FORM,
    PrometheusText,
    TextSample,
    parse_sample,
)

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("up 1", TextSample("up", {}, 1.0, None)),
        ('up{a="b",c="d"} 1', TextSample("up", {"a": "b", "c": "d"}, 1.0, None)),
        ('up{a="}",} 1 1769860800500', TextSample("up", {"a": "}"}, 1.0, 1769860800.5)),
        ("up 1 1769860800.5", TextSample("up", {}, 1.0, 1769860800.5)),
        ('up{a="x\\"y\\\\z\\nw"} NaN', TextSample("up", {"a": 'x"y\\z\nw'}, "NaN", None)),
        ("up +Inf", TextSample("up", {}, "+Inf", None)),
        ('b{le="1"} 3 # {trace="a"} 0.5 1769860800', TextSample("b", {"le": "1"}, 3.0, None)),
    ],
)  # fmt: skip
def test_a_line_is_a_sample(line, expected):
    """Labels, escapes, values, both kinds of times, and what follows an exemplar's sign."""
    assert expected == parse_sample(line)


@pytest.mark.parametrize(
    "line", ["up", 'up{a="b" 1', "up{a=b} 1", "up one", "1up 1", 'up{a="b"c="d"} 1', "up 1 2 3"]
)
def test_another_line_is_refused(line):
    """The message shows the line, and what a sample looks like."""
    with pytest.raises(ValueError, match=re.escape(FORM)):
        parse_sample(line)


def test_declarations_describe_the_samples_that_follow():
    """Type, help text and unit belong to a family, and to the names that its samples have."""
    text = PrometheusText()
    page = """
    # HELP took_seconds How\\nlong
    # TYPE took_seconds histogram
    # UNIT took_seconds seconds
    # TYPE jobs counter
    # TYPE state stateset
    # a comment
    """
    assert [None] * 8 == [text.read(line) for line in page.splitlines()]
    took = {"metric_type": "histogram", "help_text": "How\nlong", "unit": "seconds"}
    assert took == text.described("took_seconds_bucket") == text.described("took_seconds_sum")
    assert {"metric_type": "counter"} == text.described("jobs_total")
    assert {"metric_type": "gauge"} == text.described("jobs_created")
    assert {"metric_type": "gauge"} == text.described("state") == text.described("other")
