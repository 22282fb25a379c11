"""Where the tokens come from: a file that is read again when it changes, and the settings.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from server_stub.auth.tokens import parse_tokens
from server_stub.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from server_stub.auth.tokens import Token
    from server_stub.settings import Settings

CHECK_SECONDS = 1.0
"""The least time between two looks at the file."""

_logger = logging.getLogger(__name__)


class TokenSource:
    """The tokens that the server lets in.

    Args:
        settings: names the file, or has tokens itself.
        monotonic: a monotonic clock, in seconds.

    Raises:
        StartupError: a token is not valid, the file has no token, or it cannot be read.
    """

    def __init__(self, settings: Settings, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._path = None if settings.token_file is None else Path(settings.token_file)
        self._checked_at = monotonic()
        self._version: tuple[int, ...] | None = None
        try:
            given = None if settings.tokens is None else settings.tokens.replace(";", "\n")
            self._given = () if given is None else parse_tokens(given)
        except ValueError as error:
            raise StartupError(f"the tokens of --tokens are not valid: {error}") from None
        try:
            self._tokens = self._read()
        except (OSError, ValueError) as error:
            raise StartupError(
                f"the token file {self._path} cannot be used: {_reason(error)}"
            ) from None

    @property
    def is_configured(self) -> bool:
        """Whether there are tokens; without tokens, the server lets every caller in."""
        return bool(self._tokens)

    def current(self) -> tuple[Token, ...]:
        """Return the tokens; those from the file are as it was at most a second ago.

        If the file cannot be used any more, the server logs an error and keeps the tokens that it
        has: an operator who has written only half of the file must not lock every caller out.
        """
        now = self._monotonic()
        if self._path is None or now - self._checked_at < CHECK_SECONDS:
            return self._tokens
        self._checked_at = now
        before = self._version
        try:
            # A look at a small local file holds the event loop up for microseconds, once a second.
            if self._file_version() != before:
                self._tokens = self._read()
                _logger.info("read %d tokens from %s", len(self._tokens), self._path)
        except (OSError, ValueError) as error:
            if isinstance(error, OSError):
                self._version = None  # the file counts as new when it is back
            if self._version != before:
                _logger.error(  # noqa: TRY400 - the message says it all
                    "the token file %s cannot be used, the tokens stay as they were: %s",
                    self._path,
                    _reason(error),
                )
        return self._tokens

    def _read(self) -> tuple[Token, ...]:
        if self._path is None:
            return self._given
        # The version comes first: if the file changes while it is read, the next look sees that.
        self._version = self._file_version()
        tokens = parse_tokens(self._path.read_text(encoding="utf-8"))
        given = {token.name for token in self._given}
        taken = next((token.name for token in tokens if token.name in given), None)
        if taken is not None:
            raise ValueError(f"--tokens has a token {taken!r} too: give each its own name")
        return self._given + tokens

    def _file_version(self) -> tuple[int, ...]:
        assert self._path is not None
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "it is not UTF-8" if isinstance(error, UnicodeError) else str(error)
