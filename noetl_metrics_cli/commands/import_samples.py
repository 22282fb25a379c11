"""`noetl-metrics import`: the samples of a file of JSON lines or of Prometheus' text."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.errors import FAILED, USAGE, CommandError
from noetl_metrics_cli.terminal.options import json_option, server_option
from noetl_metrics_cli.terminal.output import print_json, print_note
from noetl_metrics_cli.terminal.progress import WorkProgress
from noetl_metrics_cli.transfer.importing import REJECTIONS_MAX, SUFFIX, Import, Outcome
from noetl_metrics_cli.transfer.reading import Component, JsonLineReader, PrometheusLineReader
from noetl_metrics_sdk.model.component_types import COMPONENT_TYPES

if TYPE_CHECKING:
    import io
    from collections.abc import Generator

    from noetl_metrics_cli.transfer.reading import LineReader

STANDARD_INPUT = "-"
_SHOWN_MAX = 5


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "-c", "--component", "component_name", metavar="NAME",
    help="The component of all samples; by default the one that each of them names.",
)  # fmt: skip
@click.option(
    "--kind", type=click.Choice(COMPONENT_TYPES), default="worker_pool", show_default=True,
    help="The kind of that component.",
)  # fmt: skip
@click.option(
    "--format", "file_format", type=click.Choice(("auto", "json", "prometheus")), default="auto",
    show_default=True, help="auto: JSON if the file begins with a brace.",
)  # fmt: skip
@server_option
@json_option
def import_samples(
    file: str,
    component_name: str | None,
    kind: str,
    file_format: str,
    server_url: str | None,
    as_json: bool,
) -> int:
    """Insert the samples of FILE: JSON lines as export writes them, or Prometheus' text.

    If an import breaks off, the same command goes on where it was; FILE.imported says where. A
    file that is imported again inserts nothing, and one that has grown inserts what is new. A
    sample without a time gets the time of the file. A FILE of - is the standard input.
    """
    component = None if component_name is None else Component(kind, component_name)
    side = None if file == STANDARD_INPUT else Path(file + SUFFIX)
    with (
        _opened(file) as (opened, size, modified_at),
        connected(server_url, os.environ) as server,
        WorkProgress(f"from {file}:") as progress,
    ):
        reader = _reader_for(opened, file_format, component, modified_at)
        identity = "" if component is None else f"{component.kind}/{component.name}"
        work = Import(server, reader, identity, side, progress.say)

        def on_batch(end: int, outcome: Outcome) -> None:
            progress.show(outcome.inserted + outcome.known, end / size if size else None)

        try:
            work.run(opened, on_batch)
        except CommandError as error:
            raise CommandError(f"{file}: {error}", error.exit_code) from error
        except KeyboardInterrupt:
            print_note("the same command goes on where this one was")
            raise
        summary = progress.summary(work.outcome.inserted)
    _show(file, work.outcome, summary, as_json=as_json)
    return FAILED if work.outcome.rejected else 0


@contextmanager
def _opened(file: str) -> Generator[tuple[io.BufferedReader, int, float]]:
    """Open a file; give it, its size in bytes or 0, and when it was changed."""
    if file == STANDARD_INPUT:
        yield open(sys.stdin.fileno(), "rb", closefd=False), 0, time.time()  # noqa: SIM115 - not to be closed
        return
    path = Path(file)
    try:
        opened = path.open("rb")
        status = path.stat()
    except OSError as error:
        raise CommandError(f"{file} cannot be read: {error.strerror}", USAGE) from error
    with opened:
        yield opened, status.st_size, status.st_mtime


def _reader_for(
    opened: io.BufferedReader, file_format: str, component: Component | None, modified_at: float
) -> LineReader:
    if file_format == "auto":
        file_format = "json" if opened.peek(4096).lstrip()[:1] == b"{" else "prometheus"
    if file_format == "json":
        return JsonLineReader(component)
    return PrometheusLineReader(component, modified_at)


def _show(file: str, outcome: Outcome, summary: str, *, as_json: bool) -> None:
    if as_json:
        rejections = [{"line": line, "reason": reason} for line, reason in outcome.rejections]
        print_json(
            {
                "file": file,
                "inserted": outcome.inserted,
                "known": outcome.known,
                "rejected": outcome.rejected,
                "rejections": rejections,
            }
        )
        return
    for line, reason in outcome.rejections[:_SHOWN_MAX]:
        print_note(f"{file}, line {line}: {reason}")
    if outcome.rejected > _SHOWN_MAX:
        more = outcome.rejected - _SHOWN_MAX
        print_note(f"and {more:,} more lines; --json names the first {REJECTIONS_MAX}")
    known = f", {outcome.known:,} were there already" if outcome.known else ""
    rejected = f", {outcome.rejected:,} rejected" if outcome.rejected else ""
    click.echo(f"{file}: inserted {outcome.inserted:,} samples{known}{rejected}, {summary}")
