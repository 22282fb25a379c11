"""`noetl-metrics`, or `python -m noetl_metrics_cli`: runs a command, and ends with its exit code.

Why so: docs/decisions/command.md.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from noetl_metrics_cli.errors import FAILED, INTERRUPTED, PIPE_CLOSED, USAGE, CommandError

try:
    import click
    from click.shell_completion import shell_complete

    from noetl_metrics_cli.command import noetl_metrics
    from noetl_metrics_cli.commands.completion import PROGRAM, VARIABLE
    from noetl_metrics_cli.terminal.standard_output import discard_output, open_output
except ImportError as error:
    # The SDK alone is installed, without what the command needs beside it.
    sys.exit(f"noetl-metrics: {error}: pip install 'noetl-metrics-sdk[cli]'")

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the process's exit code.

    Args:
        arguments: the command line without the program's name, or None for the process's own.
    """
    open_output()
    instruction = os.environ.get(VARIABLE)
    if instruction:  # a shell asks for completions
        return shell_complete(noetl_metrics, {}, PROGRAM, VARIABLE, instruction)
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)  # noqa: T201 - for the operator
        return USAGE
    except (click.ClickException, CommandError) as error:
        print(f"{PROGRAM}: {_one_line(error)}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        return _without_output(error)
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        with noetl_metrics.make_context(PROGRAM, list(arguments)) as context:
            code = noetl_metrics.invoke(context)
    except click.exceptions.Exit as ending:  # after --help, for example
        return ending.exit_code
    return code if isinstance(code, int) else 0


def _without_output(error: OSError) -> int:
    """End a command whose output takes no more: its reader is gone, or a disk is full."""
    discard_output()
    if isinstance(error, BrokenPipeError):
        return PIPE_CLOSED
    place = error.filename or "the output"
    print(f"{PROGRAM}: {place} cannot be written: {error.strerror}", file=sys.stderr)  # noqa: T201
    return FAILED


def _one_line(error: click.ClickException | CommandError) -> str:
    """Return what an error says; of a wrong option also which command's help has more."""
    if isinstance(error, CommandError):
        return str(error)
    message = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    return message if context is None else f"{message} ({context.command_path} --help)"


if __name__ == "__main__":
    sys.exit(main())
