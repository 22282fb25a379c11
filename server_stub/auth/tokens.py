"""Tokens: what the server knows of one, and its line in a token file. Pure.

A token is 256 random bits. There is nothing to guess, so a fast hash is as good as a slow one. The
server keeps only the hash, which a reader of the file cannot use as a token.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from noetl_metrics_sdk.model.component_types import COMPONENT_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable

TOKEN_BYTES = 32

LINE_FORM = "NAME SCOPE[,SCOPE] sha256:HASH [runtime=KIND/NAME]"

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

_HASH = re.compile(r"sha256:([0-9a-f]{64})")


class Scope(StrEnum):
    """What a token lets its bearer do."""

    WRITE = "write"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class BoundComponent:
    """The component that a token is bound to."""

    component_type: str
    name: str

    def __str__(self) -> str:
        return f"{self.component_type}/{self.name}"


@dataclass(frozen=True, slots=True)
class Token:
    """What the server knows of a token: its name, its scopes, and its hash.

    `bound_to` is the component that it may write for, or None if it may write for all.
    """

    name: str
    scopes: frozenset[Scope]
    digest: bytes
    bound_to: BoundComponent | None = None

    def line(self) -> str:
        """Return the token's line in a token file."""
        scopes = ",".join(scope for scope in Scope if scope in self.scopes)
        line = f"{self.name} {scopes} sha256:{self.digest.hex()}"
        return line if self.bound_to is None else f"{line} runtime={self.bound_to}"


def parse_tokens(text: str) -> tuple[Token, ...]:
    """Return the tokens of a token file, which has one a line.

    Empty lines, and lines that begin with a `#`, are skipped.

    Raises:
        ValueError: a line is not valid, or there is no token. The message names the line and does
            not show it, because an operator may have put a token itself there.
    """
    tokens: list[Token] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            token = _parse_line(line)
            if any(token.name == other.name for other in tokens):
                raise ValueError(f"the name {token.name!r} is taken: give each token its own")  # noqa: TRY301
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        tokens.append(token)
    if not tokens:
        raise ValueError("there is no token: python -m server_stub.tokens new makes one")
    return tuple(tokens)


def _parse_line(line: str) -> Token:
    # The last field has a component's name, which may have spaces in it.
    fields = line.split(maxsplit=3)
    if len(fields) < 3:  # noqa: PLR2004 - the three that there must be
        raise ValueError(f"it must be {LINE_FORM}")
    name, scopes, hashed = fields[:3]
    found = _HASH.fullmatch(hashed)
    if found is None:
        raise ValueError("the third field must be sha256: and 64 digits from 0 to f")
    bound_to = None
    if len(fields) > 3:  # noqa: PLR2004
        bound = fields[3].strip()
        if not bound.startswith("runtime="):
            raise ValueError("the fourth field must be runtime=KIND/NAME, or nothing")
        bound_to = parse_bound_component(bound.removeprefix("runtime="))
    return make_token(name, scopes.split(","), bytes.fromhex(found[1]), bound_to)


def parse_bound_component(text: str) -> BoundComponent:
    """Return the component that `KIND/NAME` means.

    Raises:
        ValueError: it is not of this form.
    """
    component_type, _, name = text.partition("/")
    if component_type not in COMPONENT_TYPES or not name.strip():
        raise ValueError(
            f"the runtime {text[:200]!r} must be KIND/NAME, like worker_pool/cpu-01; "
            f"KIND is one of {', '.join(COMPONENT_TYPES)}"
        )
    return BoundComponent(component_type, name)


def make_token(
    name: str, scopes: Iterable[str], digest: bytes, bound_to: BoundComponent | None = None
) -> Token:
    """Return a token.

    Args:
        name: the token's name in the log.
        scopes: what the token lets its bearer do.
        digest: its SHA-256.
        bound_to: the component that it may write for, or None if it may write for all.

    Raises:
        ValueError: the name or a scope is not valid, or an admin is bound to a component.
    """
    if not _NAME.fullmatch(name):
        raise ValueError("the name must be 1 to 64 letters, digits, '.', '_' or '-'")
    try:
        known = frozenset(Scope(scope) for scope in scopes)
    except ValueError:
        raise ValueError(f"a scope must be one of {', '.join(Scope)}") from None
    if bound_to is not None and Scope.ADMIN in known:
        raise ValueError(
            "a token with the scope admin may do everything: bind another to a runtime"
        )
    if bound_to is not None and [bound_to.name.strip()] != bound_to.name.splitlines():
        raise ValueError(
            f"the runtime {str(bound_to)[:200]!r} cannot stand in a line: "
            "give its name without line breaks, and without spaces at its ends"
        )
    return Token(name, known, digest, bound_to)


def hash_token(secret: str) -> bytes:
    """Return the SHA-256 of a token as a client presents it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def find_token(secret: str, tokens: Iterable[Token]) -> Token | None:
    """Return the token that a client presents, or None if the server does not know it.

    The time that this takes does not tell how near a wrong token came: the function compares its
    hash with the hashes of all tokens, each to its end.
    """
    digest = hash_token(secret)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.digest, digest):
            found = token
    return found
