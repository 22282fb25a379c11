"""`noetl-metrics migrate`: makes or migrates the schema, or says what is missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from noetl_metrics_cli.errors import FAILED, UNREACHABLE, USAGE, CommandError
from noetl_metrics_cli.server_extra import server_extra
from noetl_metrics_cli.terminal.options import json_option
from noetl_metrics_cli.terminal.output import print_json, print_note
from server_stub.command_line import flag_name, settings_of, variable_name

if TYPE_CHECKING:
    from collections.abc import Sequence

URL_VARIABLE = variable_name("database_url")


@click.command()
@click.option(
    flag_name("database_url"),
    metavar="URL",
    help=f"The PostgreSQL of the server.  [{URL_VARIABLE}]",
)
@click.option(
    "--check",
    is_flag=True,
    help="Change nothing; end with code 1 if a server would migrate the schema at its start.",
)
@json_option
def migrate(database_url: str | None, check: bool, as_json: bool) -> int:
    """Make or migrate the schema noetl, as a server does at its start."""
    url = given_database_url(database_url)
    if url is None:
        raise CommandError(f"give {flag_name('database_url')} URL, or {URL_VARIABLE}", USAGE)
    with server_extra():
        from server_stub.errors import ServerError  # noqa: PLC0415
        from server_stub.postgresql.schema import apply_schema, schema_state  # noqa: PLC0415
    try:
        state = schema_state(url)
        if state.missing and not check:
            apply_schema(url)
    except ServerError as error:
        # libpq has a line for what happened, and one that asks whether the server runs.
        said = ": ".join(" ".join(line.split()) for line in str(error).splitlines() if line.strip())
        hint = f"start the database, or name another one by {flag_name('database_url')}"
        raise CommandError(f"{said}: {hint}", UNREACHABLE) from error
    if as_json:
        print_json(
            {
                "exists": state.exists or not check,
                "missing": state.missing if check else [],
                "applied": [] if check else state.missing,
                "unknown": state.unknown,
            }
        )
    else:
        click.echo(_said(state.exists, state.missing, check=check))
        if state.unknown:
            print_note(f"a newer server has applied {', '.join(state.unknown)}: that is fine")
    return FAILED if check and state.missing else 0


def given_database_url(flag: str | None) -> str | None:
    """Return the database's URL of the flag or of the environment, or None if neither gives one.

    Raises:
        CommandError: it is no such URL.
    """
    given = {URL_VARIABLE: os.environ[URL_VARIABLE]} if URL_VARIABLE in os.environ else {}
    try:
        return settings_of({"database_url": flag}, given).database_url
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error


def _said(exists: bool, missing: Sequence[str], *, check: bool) -> str:
    if not missing:
        return "the schema is up to date"
    if not exists:
        return (
            "there is no schema yet: noetl-metrics migrate makes it" if check else "made the schema"
        )
    names = ", ".join(name.removesuffix(".sql") for name in missing)
    return f"missing: {names}: noetl-metrics migrate applies them" if check else f"applied {names}"
