"""OpenTelemetry's names, units and attributes as Prometheus writes them."""

from __future__ import annotations

import pytest

from noetl_metrics_sdk.otel.names import attribute_text, labels_of, metric_name, unit_word

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("unit", "word"),
    [
        ("s", "seconds"), ("ms", "milliseconds"), ("By", "bytes"), ("KiBy", "kibibytes"),
        ("%", "percent"), ("Cel", "celsius"), ("", ""), ("1", ""), ("{request}", ""),
        ("By/s", "bytes_per_second"), ("m/s", "meters_per_second"), ("{packet}/s", "per_second"),
        ("1/min", "per_minute"), ("By/{request}", "bytes"), ("By{transmitted}", "bytes"),
        ("jobs", "jobs"), ("foo bar/baz", "foo_bar_per_baz"), ("km2", "km2"), ("/", ""),
    ],
)  # fmt: skip
def test_a_unit_is_written_out(unit, word):
    """Codes become words, text in braces is left out, and a stroke becomes "per"."""
    assert word == unit_word(unit, is_gauge=False)


def test_one_is_a_ratio_only_for_a_gauge():
    """Counters often have the unit 1 for want of another, and are no ratios."""
    assert ("ratio", "") == (unit_word("1", is_gauge=True), unit_word("1", is_gauge=False))


@pytest.mark.parametrize(
    ("name", "unit", "is_counter", "expected"),
    [
        ("http.server.request.duration", "seconds", False, "http_server_request_duration_seconds"),
        ("jobs", "", True, "jobs"),
        ("jobs.total", "", True, "jobs"),
        ("disk.io.total", "bytes", True, "disk_io_bytes"),
        ("queue.seconds", "seconds", False, "queue_seconds"),
        ("seconds.in.queue", "seconds", False, "seconds_in_queue"),
        ("milliseconds.late", "seconds", False, "milliseconds_late_seconds"),
        ("a..b__c-d/e", "", False, "a_b_c_d_e"),
        ("job:rate", "", False, "job:rate"),
        ("2xx", "", False, "_2xx"),
        ("trailing.", "seconds", False, "trailing_seconds"),
    ],
)
def test_a_name_ends_with_its_unit_once(name, unit, is_counter, expected):
    """Characters other than letters and digits become one underscore; no unit is repeated."""
    assert expected == metric_name(name, unit, is_counter=is_counter)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"), (True, "true"), (False, "false"), (3, "3"), (0.5, "0.5"),
        (("a", "b"), '["a","b"]'), ([1, None], "[1,null]"), ({"k": 1}, '{"k":1}'),
        (b"\x00\xff", "AP8="), (None, "null"), ("ü", "ü"), (["ü"], '["ü"]'),
        (complex(1), '"(1+0j)"'),
    ],
)  # fmt: skip
def test_a_value_that_is_no_text_is_json(value, text):
    """Labels are text: numbers, truth values and arrays are written as JSON."""
    assert text == attribute_text(value)


def test_attributes_of_one_name_are_joined():
    """Their values stand in the order of their keys, with a semicolon between them."""
    attributes = {"http_route": "c", "http.route": "b", "http-route": "a", "1st": 1, "__x": 2}
    assert {"http_route": "a;b;c", "_1st": "1", "_x": "2"} == labels_of(attributes)
