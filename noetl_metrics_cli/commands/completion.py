"""`noetl-metrics completion`: the script by which a shell completes commands and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

PROGRAM = "noetl-metrics"
VARIABLE = "_NOETL_METRICS_COMPLETE"
"""By which a shell asks for completions; click's name for this program."""

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that completes commands, options and names in SHELL.

    In bash: eval "$(noetl-metrics completion bash)", in ~/.bashrc for example.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
