"""What commands print: tables, JSON and notes, in a terminal, in a file or in a pipe."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from noetl_metrics_sdk.model.numbers import format_value

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


_PADDING = 2
"""The columns between two columns of a table."""


def terminal() -> Console:
    """Return the console of the standard output."""
    return Console(highlight=False, markup=False, emoji=False)


def print_json(document: object) -> None:
    """Print a document as JSON: for a reader in a terminal, and in one line otherwise."""
    indent = 2 if sys.stdout.isatty() else None
    click.echo(json.dumps(document, indent=indent, ensure_ascii=False))


def print_json_line(document: object) -> None:
    """Print a document as one line of JSON."""
    click.echo(json.dumps(document, ensure_ascii=False))


def print_note(text: str) -> None:
    """Print on stderr what an operator should know beside the answer."""
    click.echo(f"noetl-metrics: {shown(text)}", err=True)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str] = (),
    optional: Sequence[str] = (),
) -> None:
    """Print rows: as a table that fits a terminal, or else with tabs between whole values.

    Args:
        columns: the names of the columns.
        rows: the texts of each row.
        right: the columns whose texts end at the same place.
        optional: the columns that a narrow terminal does without, the first of them first.
    """
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(map(shown, row)))
        return
    console = terminal()
    console.print(fitting_table(columns, rows, right, optional, console.width))


def fitting_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[str],
    optional: Sequence[str],
    width: int,
    folds: bool = True,
) -> Table:
    """Return a table for a terminal of some width.

    What is too long for it folds into several lines, or is cut, so that a row is a line.
    """
    widths = {
        column: max(cell_len(shown(text)) for text in (column, *(row[at] for row in rows)))
        for at, column in enumerate(columns)
    }
    kept = list(columns)
    for column in optional:
        if sum(widths[one] + _PADDING for one in kept) - _PADDING > width:
            kept.remove(column)
    widest = max(kept, key=lambda one: widths[one])
    table = Table(box=None, pad_edge=False, padding=(0, _PADDING, 0, 0), header_style="bold")
    for column in kept:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold" if folds else "ellipsis",
            no_wrap=not folds,
            min_width=None if column == widest else min(widths[column], width // 3),
        )
    places = [columns.index(column) for column in kept]
    for row in rows:
        table.add_row(*(Text(shown(row[at])) for at in places))
    return table


def shown(text: str) -> str:
    """Return a text without what would steer a terminal: such characters become escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def shown_value(value: float | str) -> str:
    """Return a sample's value: short in a terminal, and exact otherwise.

    The API has a text for what is no number in JSON.
    """
    if isinstance(value, str):
        return value
    value = float(value)
    if not sys.stdout.isatty():
        return format_value(value).removesuffix(".0")
    return f"{value:,.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"  # noqa: PLR2004


def shown_series(name: str, labels: Mapping[str, Any]) -> str:
    """Return a series as PromQL writes it."""
    if not labels:
        return name
    pairs = ",".join(
        f"{label}={json.dumps(str(text), ensure_ascii=False)}" for label, text in labels.items()
    )
    return f"{name}{{{pairs}}}"


def shown_time(text: str) -> str:
    """Return a time of the API; in a terminal it is one of this machine's time zone."""
    if not sys.stdout.isatty():
        return text
    moment = datetime.fromisoformat(text).astimezone()
    if moment.date() == datetime.now().astimezone().date():
        return moment.time().isoformat("milliseconds")
    return moment.isoformat(" ", "milliseconds")[:23]


def shown_ago(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{max(seconds, 0):.0f}s"


def shown_bytes(count: float) -> str:
    """Return a number of bytes in a unit that keeps it short."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
