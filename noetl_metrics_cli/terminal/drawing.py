"""A chart with its axes and its legend, as wide as the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from noetl_metrics_cli.terminal.output import shown, shown_series
from noetl_metrics_cli.terminal.plot import CURVES_MAX, SIGNS, Frame, draw, scale_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from noetl_metrics_cli.api.series import Chart, Curve

COLOURS = (
    "bright_cyan", "bright_yellow", "bright_magenta", "bright_green", "bright_red", "bright_blue",
    "white", "cyan",
)  # fmt: skip
HEIGHT_MIN, HEIGHT_MAX = 6, 20
_LINES_AROUND = 6
"""The title, the axis of times, the legend's head, and the prompt."""
_LINES_A_TICK = 3
_DAY_SECONDS = 86_400


def print_chart(console: Console, title: str, chart: Chart) -> None:
    """Print a chart: the curves with the largest latest values, if there are too many.

    Args:
        console: where to print it.
        title: what it shows.
        chart: the curves.
    """
    curves = sorted((one for one in chart.curves if one.points), key=_latest, reverse=True)
    if not curves:
        console.print(f"{shown(title)}: there are no points")
        return
    left_out = len(curves) - CURVES_MAX
    curves = curves[:CURVES_MAX]
    is_braille = console.color_system is not None and console.encoding.startswith("utf")
    height = console.height - _LINES_AROUND - len(curves)
    height = max(HEIGHT_MIN, min(HEIGHT_MAX, height))
    values = [value for curve in curves for _, value in curve.points]
    frame = Frame(
        chart.start, chart.end, chart.step, scale_of(values, max(3, height // _LINES_A_TICK))
    )
    console.print(Text(shown(title), style="bold"))
    _print_drawing(console, curves, frame, height, is_braille=is_braille)
    console.print(_legend(curves, is_braille=is_braille))
    if left_out > 0:
        console.print(f"and {left_out} more, of smaller latest values", style="dim")


def shown_number(value: float) -> str:
    """Return a number as an axis shows it: short, with k, M and G for thousands."""
    size = abs(value)
    for unit, least in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if size >= least:
            return f"{value / {'G': 1e9, 'M': 1e6, 'k': 1e3}[unit]:.4g}{unit}"
    return f"{value:.4g}"


def _print_drawing(
    console: Console, curves: Sequence[Curve], frame: Frame, height: int, *, is_braille: bool
) -> None:
    ticks = {
        round(
            (1 - (tick - frame.scale.low) / (frame.scale.high - frame.scale.low)) * (height - 1)
        ): tick
        for tick in frame.scale.ticks()
    }
    names = {row: shown_number(tick + 0.0) for row, tick in ticks.items()}
    margin = max(map(len, names.values()))
    # A terminal that is written to its last column may break the line.
    width = max(console.width - margin - 3, 10)
    points = [curve.points for curve in curves]
    for row, cells in enumerate(draw(points, frame, width, height, is_braille=is_braille)):
        corner = "┤" if row in names else "│"
        line = Text(f"{names.get(row, ''):>{margin}} {corner if is_braille else '|'}", style="dim")
        for cell in cells:
            style = "" if cell.curve is None else f"not dim {COLOURS[cell.curve]}"
            line.append(cell.character, style=style if is_braille else None)
        line.rstrip()
        console.print(line, no_wrap=True, crop=True)
    console.print(Text(" " * (margin + 2) + _times(frame, width), style="dim"), no_wrap=True)


def _times(frame: Frame, width: int) -> str:
    """Return the line of times below a drawing: its ends, and its middle if there is room."""
    has_days = frame.end - frame.start >= _DAY_SECONDS
    first, middle, last = (
        datetime.fromtimestamp(moment)
        .astimezone()
        .strftime("%m-%d %H:%M" if has_days else "%H:%M:%S")
        for moment in (frame.start, (frame.start + frame.end) / 2, frame.end)
    )
    room = width - len(first) - len(last)
    if room < len(middle) + 4:
        return first + " " * max(room, 1) + last
    left = (width - len(middle)) // 2 - len(first)
    return first + " " * left + middle + " " * (room - left - len(middle)) + last


def _legend(curves: Sequence[Curve], *, is_braille: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("SERIES", overflow="ellipsis", no_wrap=True)
    for column in ("MIN", "AVG", "MAX", "LAST"):
        table.add_column(column, justify="right", no_wrap=True)
    for number, curve in enumerate(curves):
        values = [value for _, value in curve.points]
        sign = Text("━━", style=COLOURS[number]) if is_braille else Text(SIGNS[number])
        numbers = (min(values), sum(values) / len(values), max(values), values[-1])
        table.add_row(
            sign,
            Text(shown(shown_series("", curve.labels) or "all")),
            *map(shown_number, numbers),
        )
    return table


def _latest(curve: Curve) -> float:
    return curve.points[-1][1]
