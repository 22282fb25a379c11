"""`noetl-metrics components`: lists the components, and deletes one."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from noetl_metrics_cli.api.completion import complete_component
from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.errors import USAGE, CommandError
from noetl_metrics_cli.terminal.near_names import near_names
from noetl_metrics_cli.terminal.options import json_option, server_option
from noetl_metrics_cli.terminal.output import print_json, print_note, print_table, shown, shown_ago

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS = ("worker_pool", "server_api", "broker")
DELETION_SECONDS_MAX = 3600.0
"""The server answers when all rows of the component are gone, a million in some 8 seconds."""

_KIND = click.option("--kind", type=click.Choice(KINDS), help="Of this kind only.")


@click.group()
def components() -> None:
    """List the components that report, or delete one."""


@components.command("list")
@_KIND
@server_option
@json_option
def list_components(kind: str | None, server_url: str | None, as_json: bool) -> None:
    """List the components: whether they are alive, and their processes."""
    with connected(server_url, os.environ) as server:
        listed = server.get("/api/runtime")["components"]
    listed = [one for one in listed if kind in {None, one["component_type"]}]
    if as_json:
        print_json({"components": listed})
        return
    if not listed:
        print_note("no component is registered" if kind is None else f"there is no {kind}")
    now = datetime.now(UTC)
    print_table(
        ("NAME", "KIND", "STATUS", "RUNNING", "ENDED", "LOST", "HEARD OF", "RUNTIME ID"),
        [_row(one, now) for one in listed],
        right=("RUNNING", "ENDED", "LOST"),
        optional=("ENDED", "KIND", "RUNTIME ID"),
    )


@components.command()
@click.argument("name_or_id", metavar="NAME|ID", shell_complete=complete_component)
@_KIND
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@server_option
@json_option
def delete(
    name_or_id: str, kind: str | None, yes: bool, server_url: str | None, as_json: bool
) -> None:
    """Delete a component, its processes and its metrics.

    A program that still reports for it registers it anew. If the deletion breaks off, the same
    command goes on with it.
    """
    with connected(server_url, os.environ, DELETION_SECONDS_MAX) as server:
        chosen = _choose(server.get("/api/runtime")["components"], name_or_id, kind)
        title = f"{chosen['component_type']}/{chosen['name']} ({chosen['runtime_id']})"
        if not yes:
            if not sys.stdin.isatty():
                raise CommandError(
                    f"{title} and all of its metrics would be deleted: give --yes", USAGE
                )
            running = chosen["process_counts"]["running"]
            alive = f", of which {running} processes run," if running else ""
            question = f"Delete {shown(title)}{alive} and all of its metrics?"
            if not click.confirm(question, err=True):
                raise CommandError(f"{title} is as it was")
        answer = server.send("DELETE", f"/api/runtime/{chosen['runtime_id']}")
    if as_json:
        print_json(answer)
    else:
        click.echo(f"deleted {shown(title)} and {answer['metrics_deleted']:,} samples")


def _choose(listed: Sequence[dict[str, Any]], name_or_id: str, kind: str | None) -> dict[str, Any]:
    """Return the component that is meant.

    Raises:
        CommandError: there is none, or there are several.
    """
    of_kind = [one for one in listed if kind in {None, one["component_type"]}]
    found = [one for one in of_kind if name_or_id in {one["name"], one["runtime_id"]}]
    if not found:
        what = "component" if kind is None else kind
        names = {one["name"] for one in of_kind}
        raise CommandError(f"there is no {what} {name_or_id!r}: {near_names(name_or_id, names)}")
    if len(found) > 1:
        kinds = " or ".join(one["component_type"] for one in found)
        raise CommandError(
            f"{len(found)} components are called {name_or_id!r}: give --kind {kinds}, or the id",
            USAGE,
        )
    return found[0]


def _row(component: dict[str, Any], now: datetime) -> tuple[str, ...]:
    heard = component["last_heartbeat"]
    ago = (
        "never"
        if heard is None
        else f"{shown_ago((now - datetime.fromisoformat(heard)).total_seconds())} ago"
    )
    counts = component["process_counts"]
    return (
        component["name"],
        component["component_type"],
        component["status"],
        str(counts["running"]),
        str(counts["ended"]),
        str(counts["lost"]),
        ago,
        component["runtime_id"],
    )
