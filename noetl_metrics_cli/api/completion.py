"""Completion of names that the server knows; without an answer there is nothing to offer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.errors import CommandError

if TYPE_CHECKING:
    import click

TIMEOUT_SECONDS = 2.0
"""An operator waits at the keyboard for it."""

NAMES_MAX = 200


def complete_metric(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the metrics whose names begin with a text, with what each measures."""
    try:
        with connected(context.params.get("server_url"), os.environ, TIMEOUT_SECONDS) as server:
            answer = server.get("/api/metrics/names", search=incomplete or None, limit=NAMES_MAX)
    except CommandError:
        return []
    return [
        CompletionItem(one["metric_name"], help=one["help_text"])
        for one in answer["names"]
        if one["metric_name"].startswith(incomplete)
    ]


def complete_component(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the components whose names begin with a text."""
    try:
        with connected(context.params.get("server_url"), os.environ, TIMEOUT_SECONDS) as server:
            listed = server.get("/api/runtime")["components"]
    except CommandError:
        return []
    names = sorted({one["name"] for one in listed if one["name"].startswith(incomplete)})
    return [CompletionItem(name) for name in names]
