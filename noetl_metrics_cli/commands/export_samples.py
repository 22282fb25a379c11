"""`noetl-metrics export`: all samples that are meant, in a file of JSON lines."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.api.samples import filters_of, pages
from noetl_metrics_cli.terminal.filters import range_options, source_options
from noetl_metrics_cli.terminal.options import METRIC_TYPES, json_option, server_option
from noetl_metrics_cli.terminal.output import print_json, print_note, shown_bytes
from noetl_metrics_cli.terminal.progress import WorkProgress
from noetl_metrics_cli.transfer.exporting import SUFFIX, Export, json_line

STANDARD_OUTPUT = "-"


@click.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("-m", "--metric", "metric_name", metavar="METRIC", help="Of this metric only.")
@source_options
@click.option("-t", "--type", "metric_type", type=click.Choice(METRIC_TYPES), help="Of this type.")
@range_options
@server_option
@json_option
def export_samples(
    file: str,
    metric_name: str | None,
    component_name: str | None,
    runtime_id: str | None,
    labels: tuple[tuple[str, str], ...],
    metric_type: str | None,
    start: datetime | None,
    end: datetime | None,
    server_url: str | None,
    as_json: bool,
) -> None:
    """Write samples to FILE, each a line of JSON, the oldest first.

    If an export breaks off, the same command goes on where it was; FILE.progress says where. Each
    sample is in the file once. A FILE of - is the standard output.
    """
    filters = filters_of(
        metric_name,
        component_name,
        runtime_id,
        labels,
        start,
        end or datetime.now(UTC),
        metric_type,
    )
    if file == STANDARD_OUTPUT:
        with connected(server_url, os.environ) as server:
            for page in pages(server, filters, "asc"):
                click.echo(b"".join(map(json_line, page["metrics"])), nl=False)
        return
    export = Export(Path(file), filters)
    if export.is_resumed:
        print_note(f"{file} has {export.samples:,} samples already: going on behind them")
    before = export.samples
    size = 0
    with connected(server_url, os.environ) as server, WorkProgress(f"to {file}:") as progress:
        times = _Times(export.filters["end_time"])

        def on_page(metrics: list[dict[str, Any]], bytes_written: int) -> None:
            nonlocal size
            size = bytes_written
            progress.show(export.samples - before, times.share(metrics))

        try:
            export.run(server, on_page)
        except KeyboardInterrupt:
            print_note(f"{file}{SUFFIX} says how far it is: the same command goes on")
            raise
        summary = progress.summary(export.samples - before)
    if as_json:
        print_json({"file": file, "samples": export.samples, "bytes": size})
    else:
        click.echo(f"{file}: {export.samples:,} samples, {shown_bytes(size)}, {summary}")


class _Times:
    """Which part of a range of times is done, by the times of samples that come in their order."""

    def __init__(self, end_time: str) -> None:
        self._end = datetime.fromisoformat(end_time)
        self._start: datetime | None = None

    def share(self, metrics: list[dict[str, Any]]) -> float | None:
        if not metrics:
            return None
        if self._start is None:
            self._start = datetime.fromisoformat(metrics[0]["timestamp"])
        done = datetime.fromisoformat(metrics[-1]["timestamp"]) - self._start
        whole = (self._end - self._start).total_seconds()
        return done.total_seconds() / whole if whole > 0 else None
