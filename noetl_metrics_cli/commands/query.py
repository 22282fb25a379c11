"""`noetl-metrics query`: the stored samples, one by one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.api.samples import filters_of, pages
from noetl_metrics_cli.terminal.filters import metric_argument, range_options, source_options
from noetl_metrics_cli.terminal.options import METRIC_TYPES, json_option, server_option
from noetl_metrics_cli.terminal.output import (
    print_json_line,
    print_note,
    print_table,
    shown_series,
    shown_time,
    shown_value,
)

if TYPE_CHECKING:
    from datetime import datetime

LIMIT_DEFAULT = 20
LIMIT_MAX = 100_000
"""A table is printed as a whole; `noetl-metrics export` has no such limit."""


@click.command()
@metric_argument(required=False)
@source_options
@click.option("-t", "--type", "metric_type", type=click.Choice(METRIC_TYPES), help="Of this type.")
@range_options
@click.option(
    "-n", "--limit", type=click.IntRange(1, LIMIT_MAX), default=LIMIT_DEFAULT, show_default=True,
    help="How many at most.",
)  # fmt: skip
@click.option(
    "--order", type=click.Choice(("asc", "desc")), default="desc", show_default=True,
    help="desc: newest first.",
)  # fmt: skip
@server_option
@json_option
def query(
    metric_name: str | None,
    component_name: str | None,
    runtime_id: str | None,
    labels: tuple[tuple[str, str], ...],
    metric_type: str | None,
    start: datetime | None,
    end: datetime | None,
    limit: int,
    order: str,
    server_url: str | None,
    as_json: bool,
) -> None:
    """Show stored samples, newest first.

    With --json, each sample is one line of JSON.
    """
    filters = filters_of(metric_name, component_name, runtime_id, labels, start, end, metric_type)
    rows: list[tuple[str, ...]] = []
    with connected(server_url, os.environ) as server:
        for page in pages(server, filters, order, limit):
            for note in page["notes"]:
                print_note(note)
            for metric in page["metrics"]:
                if as_json:
                    print_json_line(metric)
                else:
                    rows.append(_row(metric))
    if not as_json:
        print_table(("TIME", "COMPONENT", "SERIES", "VALUE"), rows, right=("VALUE",))


def _row(metric: dict[str, Any]) -> tuple[str, ...]:
    return (
        shown_time(metric["timestamp"]),
        metric["component_name"],
        shown_series(metric["metric_name"], metric["labels"]),
        shown_value(metric["metric_value"]),
    )
