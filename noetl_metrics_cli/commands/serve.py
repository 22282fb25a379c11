"""`noetl-metrics serve`: the server, with a flag for each of its settings."""

from __future__ import annotations

import os

import click

from noetl_metrics_cli.errors import USAGE, CommandError
from server_stub.command_line import flag_name, help_of, placeholder_of, settings_of
from server_stub.settings import DEFINITIONS


@click.pass_context
def _serve(context: click.Context, /, **flags: str | None) -> int:
    """Take metrics over HTTP and keep them in PostgreSQL, until SIGTERM or Ctrl-C.

    A flag wins over its environment variable.
    """
    try:
        settings = settings_of(flags, os.environ)
    except ValueError as error:
        raise CommandError(f"{error} ({context.command_path} --help)", USAGE) from error
    # It says itself what it needs where only the extra `cli` is installed.
    from server_stub.__main__ import serve as run  # noqa: PLC0415

    return run(settings)


serve = click.Command(
    "serve",
    callback=_serve,
    help=_serve.__doc__,
    params=[
        click.Option([flag_name(name), name], metavar=placeholder_of(name), help=help_of(name))
        for name in DEFINITIONS
    ],
)
"""The command; its options are made of the server's own definitions."""
