"""Every error that the server answers with, or ends with.

ServerError
├── BodyMalformedError         the body is not JSON, not of a known form, or not gzip
├── BodyTooLargeError          the body is too large, before or after decompression
├── EncodingUnknownError       the server does not take this Content-Encoding
├── ParameterInvalidError      a query parameter, header or name is not valid
├── ComponentNotFoundError     no such component is registered
├── TokenInvalidError          the request has no token, or one that the server does not know
├── ForbiddenError             the token is not for this route, or not for this component
├── StoreUnavailableError      the database is away or busy; try again later
│   ├── DatabaseAwayError      the database cannot be reached
│   ├── DatabaseReadOnlyError  the database takes no writes
│   ├── PartitionBlockedError  something stands in the way of a partition
│   └── HistoryUnavailableError  the time-series database does not answer a query
├── ReceiverUnavailableError   a time-series database is busy, or cannot be reached
├── ReceiverRefusedError       a time-series database takes the request, but not these samples
└── StartupError               the server cannot start; the message is for the operator

The message of an error becomes the `detail` of the answer: it says what to change and never holds
SQL. The receiver's errors and `StartupError` have no answer of their own: their messages are for
the operator. The table from error to status is in `web/responses.py`.
"""

from __future__ import annotations


class ServerError(Exception):
    """The root of the server's own errors."""


class BodyMalformedError(ServerError):
    """The body cannot be read."""


class BodyTooLargeError(ServerError):
    """The body, or what it decompresses to, exceeds a limit."""


class EncodingUnknownError(ServerError):
    """The server does not know the encoding of the body."""


class ParameterInvalidError(ServerError):
    """A parameter has a value that is not valid."""


class ComponentNotFoundError(ServerError):
    """No component of this id or name is registered."""


class TokenInvalidError(ServerError):
    """The request has no token, or one that the server does not know."""


class ForbiddenError(ServerError):
    """The caller may not do this."""


class StoreUnavailableError(ServerError):
    """The database is away or busy.

    Args:
        message: what to tell the client.
        retry_after_seconds: after how many seconds the client may try again.
    """

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DatabaseAwayError(StoreUnavailableError):
    """The database cannot be reached."""

    def __init__(self) -> None:
        super().__init__("the database cannot be reached: try again later")


class DatabaseReadOnlyError(StoreUnavailableError):
    """The database takes no writes.

    Args:
        reason: why not; what follows "the database takes no writes now: ".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the database takes no writes now: {reason}. Try again later")


class PartitionBlockedError(StoreUnavailableError):
    """A partition cannot be made until an operator makes room for it."""


class HistoryUnavailableError(StoreUnavailableError):
    """The time-series database does not answer."""


class ReceiverUnavailableError(ServerError):
    """The time-series database does not take requests.

    Args:
        message: what to tell the operator.
        retry_after_seconds: after how many seconds the database wants the next request, or None if
            it does not say.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ReceiverRefusedError(ServerError):
    """The time-series database refuses these samples, and would refuse them again."""


class StartupError(ServerError):
    """The server cannot start."""
