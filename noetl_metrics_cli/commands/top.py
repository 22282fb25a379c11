"""`noetl-metrics top`: jobs, workers and losses, drawn anew all the time."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from typing import TYPE_CHECKING

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.api.overview import DROPS_SECONDS, read_overview
from noetl_metrics_cli.errors import UNREACHABLE, CommandError
from noetl_metrics_cli.terminal.drawing import shown_number
from noetl_metrics_cli.terminal.options import (
    Duration,
    json_option,
    server_option,
    shown_duration,
)
from noetl_metrics_cli.terminal.output import (
    fitting_table,
    print_json,
    print_json_line,
    shown_ago,
    terminal,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from noetl_metrics_cli.api.connection import Connection
    from noetl_metrics_cli.api.overview import Overview

_HEADS = 8
"""The lines that are no rows: three titles, three heads, and what separates them."""


@click.command()
@click.option(
    "--interval", type=Duration(0.5, 3600), default=5.0, metavar="DURATION",
    help="How often it is drawn anew.  [default: 5s]",
)  # fmt: skip
@click.option(
    "--window", type=Duration(10, 86_400), default=60.0, metavar="DURATION",
    help="Of how long the rates and durations are.  [default: 1m]",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Show it once; so does a command without a terminal.")
@server_option
@json_option
def top(interval: float, window: float, once: bool, server_url: str | None, as_json: bool) -> None:
    """Show jobs, workers and lost samples, until Ctrl-C.

    Losses are those of the last hour. With --json, a line of JSON each time.
    """
    is_live = sys.stdout.isatty() and not once
    with connected(server_url, os.environ) as server:
        if is_live and not as_json:
            _live(server, interval, window)
            return
        while True:
            overview = read_overview(server, window)
            if as_json:
                document = dataclasses.asdict(overview)
                (print_json_line if is_live else print_json)(document)
            else:
                terminal().print(drawn(overview, server.url, terminal().width, None))
            if not is_live:
                return
            time.sleep(interval)


def _live(server: Connection, interval: float, window: float) -> None:
    console = terminal()
    overview = read_overview(server, window)
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            picture = drawn(overview, server.url, console.width, console.height)
            live.update(picture, refresh=True)
            time.sleep(interval)
            try:
                overview = read_overview(server, window)
            except CommandError as error:
                # A server that is restarted is back in a moment; what was seen last stays.
                if error.exit_code != UNREACHABLE:
                    raise
                live.update(Group(Text(str(error), style="bold red"), picture), refresh=True)
                time.sleep(interval)


def drawn(overview: Overview, url: str, width: int, height: int | None) -> RenderableType:
    """Return what is shown; of a height, each of the three parts gets what the others leave."""
    window = shown_duration(overview.window_seconds)
    parts = [
        (f"JOBS of the last {window}", _JOBS, _job_rows(overview), ()),
        ("WORKERS", _WORKERS, _worker_rows(overview), ("KIND", "WAITING", "ENDED")),
        (
            f"LOST SAMPLES of the last {shown_duration(DROPS_SECONDS)}",
            _LOSSES,
            _loss_rows(overview),
            (),
        ),
    ]
    shares = _shares([len(rows) for _, _, rows, _ in parts], height)
    lines: list[RenderableType] = [Text(f"{url}  {overview.time}", style="dim", no_wrap=True)]
    for (title, columns, rows, optional), share in zip(parts, shares, strict=True):
        more = len(rows) - share
        name = f"{title}, {more} more do not fit" if more > 0 else title
        lines.append(Text(f"\n{name}", style="bold cyan"))
        if rows:
            right = [column for column in columns if column in _NUMBERS]
            # Where the height counts, a row is a line: a folded one would push out what is below.
            folds = height is None
            lines.append(fitting_table(columns, rows[:share], right, optional, width, folds))
        else:
            lines.append(Text("none", style="dim"))
    return Group(*lines)


_JOBS = ("TYPE", "RUNNING", "DONE/s", "FAILED/s", "95 % WITHIN")
_WORKERS = ("NAME", "KIND", "STATUS", "PROCESSES", "ENDED", "LOST", "JOBS", "WAITING", "HEARD OF")
_LOSSES = ("COMPONENT", "WHAT", "REASON", "SAMPLES")
_NUMBERS = frozenset(
    {
        "RUNNING", "DONE/s", "FAILED/s", "95 % WITHIN", "PROCESSES", "ENDED", "LOST", "JOBS",
        "WAITING", "SAMPLES",
    }
)  # fmt: skip


def _job_rows(overview: Overview) -> list[tuple[str, ...]]:
    return [
        (
            job.job_type or "(none)",
            shown_number(job.running),
            shown_number(job.completed_per_second),
            shown_number(job.failed_per_second),
            "" if job.seconds is None else f"{shown_number(job.seconds)} s",
        )
        for job in overview.jobs
    ]


def _worker_rows(overview: Overview) -> list[tuple[str, ...]]:
    return [
        (
            worker.name,
            worker.kind,
            worker.status,
            str(worker.processes["running"]),
            str(worker.processes["ended"]),
            str(worker.processes["lost"]),
            shown_number(worker.jobs_running),
            shown_number(worker.samples_waiting),
            "never" if worker.silent_seconds is None else f"{shown_ago(worker.silent_seconds)} ago",
        )
        for worker in overview.workers
    ]


def _loss_rows(overview: Overview) -> list[tuple[str, ...]]:
    return [
        (loss.component, loss.what, loss.reason, shown_number(loss.samples))
        for loss in overview.losses
    ]


def _shares(counts: Sequence[int], height: int | None) -> list[int]:
    """Return how many rows of each part are shown, so that all of them fit a height."""
    if height is None:
        return list(counts)
    shares = [0] * len(counts)
    left = max(height - _HEADS - 2, len(counts))
    while left > 0 and shares != list(counts):
        for number, count in enumerate(counts):
            if shares[number] < count and left > 0:
                shares[number] += 1
                left -= 1
    return shares
