"""`noetl-metrics token`: makes tokens, lists them, and takes them out of the token file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from noetl_metrics_cli.errors import FAILED, USAGE, CommandError
from noetl_metrics_cli.terminal.near_names import near_names
from noetl_metrics_cli.terminal.options import json_option
from noetl_metrics_cli.terminal.output import print_json, print_table
from server_stub.auth.token_file import append_token, new_token, read_tokens, revoke_token
from server_stub.auth.tokens import Scope
from server_stub.command_line import variable_name

if TYPE_CHECKING:
    from server_stub.auth.tokens import Token

FILE_VARIABLE = variable_name("token_file")

_FILE = click.option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=FILE_VARIABLE,
    help=f"The file of the server's --token-file.  [{FILE_VARIABLE}]",
)


def _names_in_file(
    context: click.Context, _: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    path = context.params.get("token_file")
    try:
        tokens = () if path is None else read_tokens(path)
    except (ValueError, OSError):
        tokens = ()
    return [CompletionItem(one.name) for one in tokens if one.name.startswith(incomplete)]


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that a server lets in.

    A running server reads its token file again when it changes.
    """


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([str(scope) for scope in Scope]),
    help="What it is for; may be given more than once.",
)
@click.option(
    "--runtime", metavar="KIND/NAME", help="Bind it to a component: it writes for no other."
)
@_FILE
@json_option
def new(
    name: str, scopes: tuple[str, ...], runtime: str | None, token_file: Path | None, as_json: bool
) -> None:
    """Make a token of this NAME, and print it, once only.

    Its line is appended to the token file. Without a file it is printed as well.
    """
    try:
        secret, made = new_token(name, scopes, runtime)
        if token_file is not None:
            append_token(token_file, made)
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error
    except OSError as error:
        raise _unusable(error) from error
    if as_json:
        print_json({"name": name, "token": secret, "line": made.line()})
        return
    click.echo(secret)
    if token_file is None:
        click.echo(made.line())


@token.command("list")
@_FILE
@json_option
def list_tokens(token_file: Path | None, as_json: bool) -> None:
    """List the tokens of the token file: their names, what they are for, never themselves."""
    tokens = _read(_needed(token_file))
    listed: list[dict[str, Any]] = [
        {
            "name": one.name,
            "scopes": [str(scope) for scope in Scope if scope in one.scopes],
            "runtime": None if one.bound_to is None else str(one.bound_to),
        }
        for one in tokens
    ]
    if as_json:
        print_json({"tokens": listed})
        return
    rows = [(one["name"], ",".join(one["scopes"]), one["runtime"] or "") for one in listed]
    print_table(("NAME", "SCOPES", "RUNTIME"), rows)


@token.command()
@click.argument("name", shell_complete=_names_in_file)
@_FILE
@json_option
def revoke(name: str, token_file: Path | None, as_json: bool) -> None:
    """Take the token of this NAME out of the token file."""
    path = _needed(token_file)
    names = [one.name for one in _read(path)]
    if name not in names:
        raise CommandError(f"{path} has no token {name!r}: {near_names(name, names)}")
    try:
        revoke_token(path, name)
    except ValueError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise _unusable(error) from error
    if as_json:
        print_json({"name": name, "revoked": True})
    else:
        click.echo(f"revoked {name}: a server that runs with {path} refuses it within a second")


def _needed(path: Path | None) -> Path:
    if path is None:
        raise CommandError(f"give --token-file FILE, or {FILE_VARIABLE}", USAGE)
    return path


def _read(path: Path) -> tuple[Token, ...]:
    try:
        return read_tokens(path)
    except ValueError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise _unusable(error) from error


def _unusable(error: OSError) -> CommandError:
    return CommandError(f"{error.filename}: {error.strerror}", FAILED)
