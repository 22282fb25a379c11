"""A client that is never started is told in the log, if anything was counted."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from noetl_metrics_sdk import Counter, Registry
from tests.sdk.client.clients import make_client

REMINDER = (
    "the client of 'pool' was not started, so nothing is sent: call start(), or use the client in "
    "a with block"
)


def reminders(caplog):
    return [record.getMessage() for record in caplog.records]


def test_a_flush_before_the_start_is_told_once(caplog):
    """flush() cannot send anything yet, and the log says why."""
    client = make_client()
    client.flush()
    client.flush()
    client.shutdown()
    assert [REMINDER] == reminders(caplog)


@pytest.mark.parametrize("counted", ["an instrument", "record()"])
def test_a_shutdown_without_a_start_is_told_if_anything_was_counted(caplog, counted):
    """What was counted is lost, and the log says why."""
    registry = Registry()
    counter = Counter("rows", "Rows", registry=registry)
    client = make_client(registry=registry)
    if counted == "record()":
        client.record("value", 1)
    else:
        counter.inc()
    client.shutdown()
    assert [REMINDER] == reminders(caplog)


@pytest.mark.parametrize("use", ["nothing was counted", "disabled", "started", "flush after all"])
def test_nothing_is_told_where_nothing_is_lost(caplog, use):
    """A command that counts nothing need not start the client that a module of it makes."""
    registry = Registry()
    counter = Counter("rows", "Rows", ["table"], registry=registry)
    client = make_client(registry=registry, disabled=use == "disabled")
    if use == "nothing was counted":
        counter.labels("orders")
    else:
        client.start()
        counter.labels("orders").inc()
    client.shutdown()
    if use != "nothing was counted":
        client.flush()
    assert [] == [text for text in reminders(caplog) if "was not started" in text]


PROGRAM = """
import noetl_metrics_sdk as metrics
counter = metrics.Counter("rows", "Rows")
client = metrics.MetricsClient("http://localhost:9", "pool")
{}
"""


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ("counter.inc()", [REMINDER]),
        ("del client; counter.inc()", [REMINDER]),
        ("client.record('value', 1)", [REMINDER]),
        ("client.flush(); counter.inc()", [REMINDER]),
        ("", []),
        ("import os; os.fork() or counter.inc()", [REMINDER]),
        (
            "for _ in range(2): metrics.flush()",
            ["flush() was called before init(), so there is no client, and nothing is sent"],
        ),
        ("metrics.shutdown()", []),
    ],
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_ends_tells_what_it_lost(use, told):
    """At its end a process says, once, that its client was never started; a fork says its own."""
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(use)],
        env={name: text for name, text in os.environ.items() if not name.startswith("NOETL_")},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert told == process.stderr.splitlines()
