"""The token file: a new token is appended, and a token that is revoked leaves it.

A running server reads the file again when it changes.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from server_stub.auth.tokens import (
    TOKEN_BYTES,
    Token,
    hash_token,
    make_token,
    parse_bound_component,
    parse_tokens,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class NewToken(NamedTuple):
    """A token that was made just now: what a client presents, and what the server knows of it."""

    secret: str
    token: Token


def new_token(name: str, scopes: Sequence[str], runtime: str | None) -> NewToken:
    """Make a token.

    Args:
        name: the token's name in the log.
        scopes: what it lets its bearer do.
        runtime: the component that it may write for, as `KIND/NAME`, or None for all.

    Raises:
        ValueError: one of them is not valid; the message says what is right.
    """
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    bound_to = None if runtime is None else parse_bound_component(runtime)
    return NewToken(secret, make_token(name, scopes, hash_token(secret), bound_to))


def append_token(path: Path, token: Token) -> None:
    """Append a token's line to a file, unless that would make the file invalid.

    Raises:
        ValueError: the file is no token file with it: its name is taken, for example.
        OSError: the file cannot be read or written.
    """
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    added = token.line() + "\n"
    if before and not before.endswith("\n"):
        added = "\n" + added
    try:
        parse_tokens(before + added)
    except ValueError as error:
        raise ValueError(f"{path} is not a token file with it: {error}") from None
    with path.open("a", encoding="utf-8") as file:
        file.write(added)


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Return the tokens of a file.

    Raises:
        ValueError: it is no token file.
        OSError: it cannot be read.
    """
    try:
        return parse_tokens(path.read_text(encoding="utf-8"))
    except UnicodeError:
        raise ValueError(f"{path} is not a token file: it is not UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a token file: {error}") from None


def revoke_token(path: Path, name: str) -> None:
    """Take a token's line out of a file; the other lines stay as they are.

    Args:
        path: the file, which has this token and others.
        name: the token's name.

    Raises:
        ValueError: the file has no such token, or no other one.
        OSError: the file cannot be read or written.
    """
    tokens = read_tokens(path)
    if name not in {token.name for token in tokens}:
        raise ValueError(f"{path} has no token {name!r}")
    if len(tokens) == 1:
        # A server keeps its tokens when their file has none, as an operator may be at work on it.
        raise ValueError(
            f"{name!r} is the only token of {path}, and a server keeps its tokens when their file "
            "has none: make another token first"
        )
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    _replace(path, "".join(line for line in lines if _name_of(line) != name))


def _name_of(line: str) -> str | None:
    fields = line.split(maxsplit=1)
    return None if not fields or fields[0].startswith("#") else fields[0]


def _replace(path: Path, text: str) -> None:
    """Replace the content of a file at once, so that a server never reads a half of it."""
    target = path.resolve()
    status = target.stat()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(status.st_mode & 0o7777)
        with suppress(PermissionError):  # only root may give a file away
            os.chown(temporary, status.st_uid, status.st_gid)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
