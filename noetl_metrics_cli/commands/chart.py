"""`noetl-metrics chart`: one metric over time, drawn in the terminal."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.api.samples import filters_of
from noetl_metrics_cli.api.series import chart_of
from noetl_metrics_cli.errors import USAGE, CommandError
from noetl_metrics_cli.terminal.drawing import print_chart
from noetl_metrics_cli.terminal.filters import metric_argument, range_options, source_options
from noetl_metrics_cli.terminal.options import METRIC_TYPES, Duration, json_option, server_option
from noetl_metrics_cli.terminal.output import print_json, print_note, terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

AGGREGATIONS = (
    "avg", "min", "max", "sum", "last", "count", "rate", "increase", "quantile",
)  # fmt: skip
RANGE_DEFAULT = timedelta(hours=1)
STEPS_SECONDS = (
    15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 604_800,
)  # fmt: skip
"""The lengths of buckets that are chosen from: no shorter than what workers report in."""

_COUNTING = ("_total", "_count", "_sum", "_bucket")


@click.command()
@metric_argument(required=True)
@source_options
@click.option("-t", "--type", "metric_type", type=click.Choice(METRIC_TYPES), help="Of this type.")
@range_options
@click.option(
    "-a",
    "--aggregation",
    type=click.Choice(AGGREGATIONS),
    help="How samples become one value; rate for what counts, quantile with --quantile, else avg.",
)
@click.option(
    "-q",
    "--quantile",
    type=click.FloatRange(0, 1),
    metavar="NUMBER",
    help="Which quantile of a histogram, like 0.95.",
)
@click.option(
    "-g",
    "--group-by",
    "group_by",
    multiple=True,
    metavar="LABEL",
    help="A curve for each value of this label; may be given more than once.",
)
@click.option(
    "--step", type=Duration(0.1, 31 * 86_400), metavar="DURATION", help="The length of a bucket."
)
@server_option
@json_option
def chart(
    metric_name: str,
    component_name: str | None,
    runtime_id: str | None,
    labels: tuple[tuple[str, str], ...],
    metric_type: str | None,
    start: datetime | None,
    end: datetime | None,
    aggregation: str | None,
    quantile: float | None,
    group_by: tuple[str, ...],
    step: float | None,
    server_url: str | None,
    as_json: bool,
) -> None:
    """Draw a metric over time, by default of the last hour.

    component_name and worker_id are labels to group by, too. With --json, the server's points.
    """
    chosen = aggregation or _aggregation_for(metric_name, quantile)
    if (chosen == "quantile") != (quantile is not None):
        raise CommandError(
            "--aggregation quantile and --quantile go together: give a number like 0.95", USAGE
        )
    console = terminal()
    until = end or datetime.now(UTC)
    begin = start or until - RANGE_DEFAULT
    if begin >= until:
        raise CommandError(f"--start {begin} must be before --end {until}", USAGE)
    chosen_step = step or _step_for((until - begin).total_seconds(), console.width)
    if end is None:
        # A bucket that is not over would look like a fall.
        last = until.timestamp() // chosen_step * chosen_step
        until = max(datetime.fromtimestamp(last, UTC), begin + timedelta(seconds=chosen_step))
    filters = filters_of(metric_name, component_name, runtime_id, labels, begin, until, metric_type)
    with connected(server_url, os.environ) as server:
        answer = server.get(
            "/api/metrics/series",
            **filters,
            aggregation=chosen,
            quantile=quantile,
            group_by=_joined(group_by),
            step=chosen_step,
        )
    for note in answer["notes"]:
        print_note(note)
    if as_json:
        print_json(answer)
        return
    title = f"{chosen}({metric_name})" if quantile is None else f"q{quantile:g}({metric_name})"
    print_chart(console, title, chart_of(answer))


def _aggregation_for(metric_name: str, quantile: float | None) -> str:
    if quantile is not None:
        return "quantile"
    return "rate" if metric_name.endswith(_COUNTING) else "avg"


def _joined(group_by: Sequence[str]) -> str | None:
    return ",".join(group_by) or None


def _step_for(seconds: float, width: int) -> float:
    """Return a length of buckets with which there is about one for each column."""
    wanted = seconds / max(width, 20)
    return next((step for step in STEPS_SECONDS if step >= wanted), STEPS_SECONDS[-1])
