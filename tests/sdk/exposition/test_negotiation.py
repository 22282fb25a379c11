"""The scraper's headers decide which format and encoding it gets."""

from __future__ import annotations

import gzip

import pytest

from noetl_metrics_sdk.exposition.negotiation import (
    GZIP_BYTES_MIN,
    accepts_gzip,
    choose_format,
    encoded,
)
from noetl_metrics_sdk.exposition.samples import PageFormat

pytestmark = pytest.mark.once

PROMETHEUS_ACCEPTS = (  # from version 2.5 up to 2.48
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "",
        "*/*",
        "text/plain",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "application/openmetrics-text, text/plain",
        "application/openmetrics-text;q=0.5, text/plain;q=0.6",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;version=0.0.1, text/plain;q=0.1",
        "application/openmetrics-text;q=2, text/plain;q=0.1",
        "application/json",
        "text/*, application/*;q=0.9",
    ],
)
def test_the_text_format_is_what_most_get(accept: str | None) -> None:
    """A scraper that does not prefer OpenMetrics 1.0 gets the text format."""
    assert PageFormat.TEXT is choose_format(accept)


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text",
        "Application/OpenMetrics-Text; Version=1.0.0; charset=UTF-8",
        PROMETHEUS_ACCEPTS,
        'application/openmetrics-text;version="1.0.0";q=0.5, text/plain;q=0.4',
        "application/openmetrics-text, */*",
        "application/*, text/plain;q=0",
        "text/plain;version=1.0.0, application/openmetrics-text;q=0.1",
    ],
)
def test_who_prefers_openmetrics_gets_it(accept: str) -> None:
    """For each format the most specific range gives the quality, and the greater quality wins."""
    assert PageFormat.OPENMETRICS is choose_format(accept)


@pytest.mark.parametrize(
    ("accept_encoding", "takes_gzip"),
    [
        (None, False),
        ("", False),
        ("identity", False),
        ("br, deflate", False),
        ("gzip", True),
        ("x-gzip", True),
        ("GZIP;q=0.5", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip;q=0, *", False),
        ("gzip;q=0.000", False),
        ("*", True),
        ("*;q=0", False),
        ("identity;q=1, gzip;q=0.5", False),
        ("identity;q=0.5, gzip", True),
        ("gzip;q=nonsense", False),
    ],
)
def test_gzip_comes_where_it_is_welcome(accept_encoding: str | None, takes_gzip: bool) -> None:
    """A quality of 0 refuses, `*` stands for each unnamed encoding, and preferences count."""
    assert takes_gzip == accepts_gzip(accept_encoding)


def test_what_is_tiny_is_not_compressed() -> None:
    """An answer below the size of a packet stays plain; a larger one is gzip of the same page."""
    tiny = "x" * (GZIP_BYTES_MIN - 1)
    vary = {"Vary": "Accept, Accept-Encoding"}
    assert (tiny.encode(), vary) == encoded(tiny, "gzip")
    page = "ü" * GZIP_BYTES_MIN
    body, headers = encoded(page, "gzip")
    assert (page, vary | {"Content-Encoding": "gzip"}) == (gzip.decompress(body).decode(), headers)
