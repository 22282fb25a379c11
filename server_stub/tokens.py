"""`python -m server_stub.tokens new`: makes a token, and the line for the token file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from server_stub.auth.token_file import append_token, new_token
from server_stub.auth.tokens import LINE_FORM, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Make a token: print it, once only, and then its line for the token file."""
    parser = argparse.ArgumentParser(
        prog="python -m server_stub.tokens",
        description="Makes tokens. A token file has one a line: " + LINE_FORM,
        allow_abbrev=False,
    )
    new = parser.add_subparsers(required=True, metavar="new").add_parser(
        "new",
        help="make a token; prints it, once, and then the line for the token file",
        allow_abbrev=False,
    )
    new.add_argument("name", metavar="NAME", help="what the log calls it")
    new.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=[str(scope) for scope in Scope],
        help="what it is for; may be given more than once",
    )
    new.add_argument(
        "--runtime", metavar="KIND/NAME", help="bind it to a component: it writes for no other"
    )
    new.add_argument(
        "--append", metavar="FILE", help="append the line to this file, and print the token alone"
    )
    given = parser.parse_args(arguments)
    try:
        secret, token = new_token(given.name, given.scope, given.runtime)
        if given.append is not None:
            append_token(Path(given.append), token)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    print(secret)  # noqa: T201 - the interface
    if given.append is None:
        print(token.line())  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
