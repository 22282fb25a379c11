"""The options by which a command chooses samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from noetl_metrics_cli.api.completion import complete_component, complete_metric
from noetl_metrics_cli.terminal.options import Label, PointInTime

if TYPE_CHECKING:
    from collections.abc import Callable

_Command = TypeVar("_Command", bound="Callable[..., Any]")


def metric_argument(*, required: bool) -> Callable[[_Command], _Command]:
    """Return what adds the argument for a metric's name."""
    return click.argument(
        "metric_name",
        metavar="METRIC" if required else "[METRIC]",
        required=required,
        shell_complete=complete_metric,
    )


def source_options(command: _Command) -> _Command:
    """Add the options for who has reported the samples, and for their labels."""
    for option in (
        click.option(
            "-l", "--label", "labels", multiple=True, type=Label(), metavar="NAME=VALUE",
            help="With this label; may be given more than once. NAME= is without it.",
        ),
        click.option("--runtime-id", metavar="ID", help="Of the component with this id."),
        click.option(
            "-c", "--component", "component_name", metavar="NAME",
            shell_complete=complete_component, help="Of the components of this name.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def range_options(command: _Command) -> _Command:
    """Add the options for when the samples were taken."""
    for option in (
        click.option("--end", type=PointInTime(), metavar="TIME", help="Taken before."),
        click.option(
            "--start", type=PointInTime(), metavar="TIME",
            help="Taken at or after: 15m, 6h or 7d ago, or a time like '2026-01-31 12:00'.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command
