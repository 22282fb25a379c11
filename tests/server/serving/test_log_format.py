"""Lines of the log: one for each event, whatever text a client sends."""

from __future__ import annotations

import contextvars
import json
import logging

import pytest

from server_stub.serving.log_format import FIELDS, JsonFormatter, TextFormatter
from server_stub.serving.request_id import begin_request

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("server_stub", logging.INFO, __file__, 1, "%s", (message,), None)
    made.__dict__.update(extra)
    return made


def within_request(formatter: logging.Formatter, made: logging.LogRecord) -> str:
    def run() -> str:
        begin_request("id-7")
        return formatter.format(made)

    return contextvars.Context().run(run)


def test_a_client_cannot_begin_a_line() -> None:
    """A line break within a message is escaped, in both forms."""
    forged = record("bad\r\n2026-01-01 00:00:00,000 INFO server_stub: forged")
    assert 1 == len(TextFormatter().format(forged).splitlines())
    assert 1 == len(JsonFormatter().format(forged).splitlines())


def test_a_line_names_its_request() -> None:
    """A line within a request has its id, and a line outside of one has none."""
    assert within_request(TextFormatter(), record("said")).endswith("said [request id-7]")
    assert "request" not in TextFormatter().format(record("said"))
    assert "id-7" == json.loads(within_request(JsonFormatter(), record("said")))["request_id"]
    assert "request_id" not in json.loads(JsonFormatter().format(record("said")))


def test_an_event_in_json_has_its_fields_and_its_traceback() -> None:
    """One line has all of them, whatever their text is."""
    made = record("said", **{FIELDS: {"status": 200, "token": None}})
    with pytest.raises(ZeroDivisionError) as caught:
        raise ZeroDivisionError("a\nb")
    made.exc_info = (caught.type, caught.value, caught.tb)
    line = JsonFormatter().format(made)
    assert 1 == len(line.splitlines())
    event = json.loads(line)
    assert (200, None) == (event["status"], event["token"])
    assert event["exception"].endswith("ZeroDivisionError: a\nb")
    assert event["time"].endswith("+00:00")
