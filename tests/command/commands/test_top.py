"""`noetl-metrics top`."""

from __future__ import annotations

import io
import time
import uuid

import pytest
from rich.console import Console

from noetl_metrics_cli.api.overview import JobType, Overview, Worker
from noetl_metrics_cli.commands.top import drawn
from tests.command.terminals import in_terminal
from tests.server.application import sample

pytestmark = pytest.mark.once


@pytest.fixture
def name():
    """The name of a pool of the test's own, and of its type of jobs."""
    return f"busy-{uuid.uuid4().hex}"


@pytest.fixture
def busy(run, name):
    """Return a pool that runs two jobs, has ended some in the last minute, and has lost samples."""
    now = time.time()
    ok, failed = ({"job_type": name, "status": status} for status in ("completed", "failed"))

    def counted(metric: str, value: float, ago: float, **labels: str) -> dict[str, object]:
        return sample(metric_name=metric, metric_value=value, labels=labels, timestamp=now - ago)

    samples = [
        sample(
            metric_name="noetl_jobs_in_progress", metric_type="gauge", metric_value=2,
            labels={"job_type": name}, timestamp=now - 5,
        ),
        counted("noetl_jobs_processed_total", 0, 40, **ok),
        counted("noetl_jobs_processed_total", 60, 5, **ok),
        counted("noetl_jobs_processed_total", 0, 40, **failed),
        counted("noetl_jobs_processed_total", 6, 5, **failed),
        counted("noetl_metrics_sdk_samples_dropped_total", 0, 60, reason="buffer_full"),
        counted("noetl_metrics_sdk_samples_dropped_total", 7, 5, reason="buffer_full"),
    ]  # fmt: skip
    run.insert(name, *samples)
    return run


def test_jobs_workers_and_losses_are_in_one_document(busy, name):
    """JSON has the rates of the window, the components and the lost samples of an hour."""
    document = busy("top", "--once", "--json").json
    (job,) = [job for job in document["jobs"] if job["job_type"] == name]
    rates = [job["running"], job["completed_per_second"], job["failed_per_second"]]
    assert pytest.approx([2.0, 1.0, 0.1]) == rates
    (worker,) = [worker for worker in document["workers"] if worker["name"] == name]
    assert ("worker_pool", "ready", 2.0) == (
        worker["kind"], worker["status"], worker["jobs_running"],
    )  # fmt: skip
    (loss,) = [loss for loss in document["losses"] if loss["component"] == name]
    assert ("dropped by the worker", "buffer_full", 7.0) == (
        loss["what"], loss["reason"], loss["samples"],
    )  # fmt: skip


def test_without_a_terminal_it_is_shown_once(busy):
    """The command ends by itself, without escapes in its output."""
    result = busy("top")
    assert 0 == result.code
    assert "\x1b" not in result.out
    for title in ("JOBS of the last 1m", "WORKERS", "LOST SAMPLES of the last 1h"):
        assert title in result.out


def test_it_is_drawn_anew_until_ctrl_c_and_leaves_the_terminal_as_it_was(busy):
    """It uses the other screen of the terminal, and gives back the first; the code is 130."""
    with in_terminal(60, 24, "top", "--interval=0.5", NOETL_SERVER_URL=busy.url) as terminal:
        terminal.read_until("LOST SAMPLES", times=2)
        assert "\x1b[?1049h" in terminal.raw
        terminal.type("\x03")
        terminal.read_to_end(130)
        assert "\x1b[?1049l" in terminal.raw
        assert "Traceback" not in terminal.raw


@pytest.mark.parametrize("width", [60, 160])
def test_it_fits_a_width_and_a_height(width):
    """A narrow terminal has fewer columns, a name too long for it is cut, the rest is counted."""
    workers = [
        Worker(
            f"pool-{n}-{'long' * 8}",
            "worker_pool",
            "ready",
            {"running": 1, "ended": 2, "lost": 0},
            7.0,
        )
        for n in range(50)
    ]
    overview = Overview("2026-01-31T12:00:00+00:00", 60.0, [JobType("sql", 1, 2, 0, 0.5)], workers)
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(drawn(overview, "http://localhost:8082", width, 24))
    lines = console.export_text().splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= width
    assert (width == 160) == ("KIND" in "".join(lines))
    assert "WORKERS, 37 more do not fit" in lines
    assert "LOST SAMPLES of the last 1h" in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--interval=0.1"], "'0.1' must be a duration from 0.5s to 1h, like 30s, 5m, 2h or 7d"),
        (["--window=1s"], "'1s' must be a duration from 10s to 1d"),
        (["--onec"], "No such option '--onec'. (Did you mean one of: '--json', '--once'?)"),
    ],
)
def test_a_bad_option_is_one_line(run, arguments, message):
    """The line says what a right value looks like."""
    result = run("top", *arguments)
    assert (2, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert message in result.err
