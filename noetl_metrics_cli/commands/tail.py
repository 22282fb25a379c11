"""`noetl-metrics tail`: samples as they arrive."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.api.samples import filters_of, pages
from noetl_metrics_cli.errors import UNREACHABLE, CommandError
from noetl_metrics_cli.terminal.filters import metric_argument, source_options
from noetl_metrics_cli.terminal.options import METRIC_TYPES, Duration, json_option, server_option
from noetl_metrics_cli.terminal.output import (
    print_json_line,
    print_note,
    shown,
    shown_series,
    shown_time,
    shown_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from noetl_metrics_cli.api.connection import Connection

LATE_SECONDS = 30.0
"""How much older than the newest sample another one may be that arrives after it."""


@click.command()
@metric_argument(required=False)
@source_options
@click.option("-t", "--type", "metric_type", type=click.Choice(METRIC_TYPES), help="Of this type.")
@click.option(
    "-n", "--lines", type=click.IntRange(0, 10_000), default=10, show_default=True,
    help="How many of those that are there already.",
)  # fmt: skip
@click.option(
    "--interval", type=Duration(0.1, 3600), default=2.0, metavar="DURATION",
    help="How often to ask for new ones.  [default: 2s]",
)  # fmt: skip
@server_option
@json_option
def tail(
    metric_name: str | None,
    component_name: str | None,
    runtime_id: str | None,
    labels: tuple[tuple[str, str], ...],
    metric_type: str | None,
    lines: int,
    interval: float,
    server_url: str | None,
    as_json: bool,
) -> None:
    """Show samples as they arrive, until Ctrl-C.

    A sample that arrives more than half a minute after a younger one is not shown: workers that
    were cut off send such samples. With --json, each sample is one line of JSON.
    """
    filters = filters_of(metric_name, component_name, runtime_id, labels, None, None, metric_type)
    with connected(server_url, os.environ) as server:
        newest = _newest(server, filters, lines)
        _show(newest[-lines:] if lines else [], as_json=as_json)
        arrivals = Arrivals(newest)
        # The first look finds what was there already, beside what has come in this moment.
        there_until = arrivals.newest_time
        first = arrivals.read(server, filters)
        _show((one for one in first if _time_of(one) > there_until), as_json=as_json)
        while True:
            time.sleep(interval)
            try:
                _show(arrivals.read(server, filters), as_json=as_json)
            except CommandError as error:
                # A server that is restarted is back in a moment.
                if error.exit_code != UNREACHABLE:
                    raise
                print_note(str(error))


class Arrivals:
    """Which samples have been shown, so that each one is shown once.

    Args:
        shown_already: the samples that have been shown, of which there may be none.
    """

    def __init__(self, shown_already: Iterable[Mapping[str, Any]]) -> None:
        self._times = {one["metric_id"]: _time_of(one) for one in shown_already}
        self.newest_time = max(self._times.values(), default=datetime.now(UTC))

    def read(self, server: Connection, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the samples that have arrived since, the oldest first."""
        since = self.newest_time - timedelta(seconds=LATE_SECONDS)
        wanted = {**filters, "start_time": since.isoformat()}
        found = [
            metric
            for page in pages(server, wanted, "asc")
            for metric in page["metrics"]
            if metric["metric_id"] not in self._times
        ]
        self._times |= {one["metric_id"]: _time_of(one) for one in found}
        self.newest_time = max([self.newest_time, *self._times.values()])
        kept_from = self.newest_time - timedelta(seconds=LATE_SECONDS)
        self._times = {
            metric_id: moment for metric_id, moment in self._times.items() if moment >= kept_from
        }
        return found


def _newest(server: Connection, filters: Mapping[str, str], count: int) -> list[dict[str, Any]]:
    """Return the newest samples that are there, the oldest of them first."""
    page = next(pages(server, filters, "desc", max(count, 1)))
    for note in page["notes"]:
        print_note(note)
    newest: list[dict[str, Any]] = page["metrics"][::-1]
    return newest


def _show(samples: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    for one in samples:
        if as_json:
            print_json_line(one)
            continue
        series = shown_series(one["metric_name"], one["labels"])
        click.echo(
            f"{shown_time(one['timestamp'])}  {shown(one['component_name'])}  {shown(series)}  "
            f"{shown_value(one['metric_value'])}"
        )


def _time_of(sample: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(sample["timestamp"])
