"""`noetl-metrics tail`."""

from __future__ import annotations

import json
import signal
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.commands.tail import LATE_SECONDS, Arrivals
from tests.command.running import PROGRAM, environment
from tests.server.application import sample

pytestmark = pytest.mark.once


def test_samples_are_shown_as_they_arrive_and_ctrl_c_ends_it(run):
    """The last ones come first, then each that arrives; SIGINT ends it silently with 130."""
    run.insert("tailed", *(sample(metric_value=n) for n in range(5)))
    command = [*PROGRAM, "tail", "-c", "tailed", "-n", "2", "--interval=0.1", "--json"]
    with subprocess.Popen(
        command, env=environment(NOETL_SERVER_URL=run.url), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        first = [json.loads(process.stdout.readline())["metric_value"] for _ in range(2)]
        run.insert("tailed", sample(metric_value=99))
        assert 99 == json.loads(process.stdout.readline())["metric_value"]
        process.send_signal(signal.SIGINT)
        assert 130 == process.wait(20)
        assert "" == process.stderr.read()
    assert [3, 4] == first


def test_each_sample_is_shown_once_though_it_comes_late(run):
    """A sample that is older than the newest one, within the bound, is not missed."""
    now = datetime.now(UTC)
    times = [now, now - timedelta(seconds=LATE_SECONDS / 2), now + timedelta(seconds=1)]
    with connected(run.url, {}) as server:
        arrivals = Arrivals([])
        arrivals.newest_time = now
        found = []
        for number, moment in enumerate(times):
            run.insert("late", sample(metric_value=number, timestamp=moment.isoformat()))
            found.append(
                [one["metric_value"] for one in arrivals.read(server, {"component_name": "late"})]
            )
    assert [[0], [1], [2]] == found


def test_a_bad_interval_is_one_line(run):
    """The line says what a right duration looks like."""
    result = run("tail", "--interval=0")
    assert (2, 1) == (result.code, result.err.count("\n"))
    assert "'0' must be a duration from 0.1s to 1h, like 30s, 5m, 2h or 7d" in result.err
