"""`noetl-metrics doctor`: what may be wrong, and what to do about it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

import noetl_metrics_sdk
from noetl_metrics_cli.api.connection import TOKEN_VARIABLE, connected
from noetl_metrics_cli.commands.migrate import URL_VARIABLE, given_database_url
from noetl_metrics_cli.diagnosis.finding import State, ok, skipped, warning
from noetl_metrics_cli.diagnosis.server import check_server
from noetl_metrics_cli.errors import FAILED, USAGE, CommandError
from noetl_metrics_cli.server_extra import server_extra
from noetl_metrics_cli.terminal.options import json_option, server_option
from noetl_metrics_cli.terminal.output import print_json, shown, terminal
from server_stub.command_line import flag_name, settings_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from noetl_metrics_cli.diagnosis.finding import Finding

_SIGNS = {
    State.OK: ("ok", "green"),
    State.WARNING: ("WARN", "bold yellow"),
    State.FAILURE: ("FAIL", "bold red"),
    State.SKIPPED: ("-", "dim"),
}


@click.command()
@server_option
@click.option(
    flag_name("database_url"),
    metavar="URL",
    help=f"The server's PostgreSQL, to look at it too.  [{URL_VARIABLE}]",
)
@json_option
def doctor(server_url: str | None, database_url: str | None, as_json: bool) -> int:
    """Look for what may be wrong, and say what to do.

    It changes nothing. The code is 1 if a check fails; a warning leaves it at 0.
    """
    url = given_database_url(database_url)
    findings: list[Finding] = []
    with connected(server_url, os.environ) as server:
        has_token = bool(os.environ.get(TOKEN_VARIABLE))
        for finding in check_server(server, has_token=has_token):
            findings.append(finding)
            if not as_json:
                _show(finding)
    for finding in _here(url):
        findings.append(finding)
        if not as_json:
            _show(finding)
    if as_json:
        print_json({"findings": [finding._asdict() for finding in findings]})
    else:
        click.echo(_summary(findings))
    return FAILED if any(one.state is State.FAILURE for one in findings) else 0


def _here(database_url: str | None) -> Generator[Finding]:
    """Yield what is found in the database, and in what is installed on this machine."""
    if database_url is None:
        yield skipped("database", "not looked at", f"give --database-url, or {URL_VARIABLE}")
    else:
        with server_extra():
            from noetl_metrics_cli.diagnosis.database import check_database  # noqa: PLC0415
        try:
            settings = settings_of({"database_url": database_url}, os.environ)
        except ValueError as error:
            raise CommandError(str(error), USAGE) from error
        yield from check_database(database_url, settings)
    if noetl_metrics_sdk.COMPILED:
        yield ok("compiled", "the SDK that is installed here is")
    else:
        yield warning(
            "compiled",
            "the SDK that is installed here is not: counting costs some times more",
            "install a wheel, or a C compiler first; NOETL_METRICS_COMPILE=require insists",
        )


def _show(finding: Finding) -> None:
    sign, style = _SIGNS[finding.state]
    if not sys.stdout.isatty():
        click.echo("\t".join((sign, finding.check, shown(finding.found), finding.to_do)))
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(width=4)
    table.add_column(width=17)
    table.add_column()
    said = Text(shown(finding.found))
    if finding.to_do:
        said.append(
            f"\n{shown(finding.to_do)}", style="dim" if finding.state is State.OK else "cyan"
        )
    table.add_row(Text(sign, style=style), finding.check, said)
    terminal().print(table)


def _summary(findings: Iterable[Finding]) -> str:
    states = [finding.state for finding in findings]
    failures, warnings = states.count(State.FAILURE), states.count(State.WARNING)
    if not failures and not warnings:
        return "all is well"
    return f"{failures} failed, {warnings} to look at"
