"""Every error that the server answers with, or ends with.

ServerError
├── BodyMalformedError         the body is not JSON, not of a known form, or not gzip
├── BodyTooLargeError          the body is too large, before or after decompression
├── EncodingUnknownError       the Content-Encoding is none that the server takes
├── ParameterInvalidError      a query parameter, header or name is not valid
├── ComponentNotFoundError     no such component is registered
├── TokenInvalidError          there is no token, or it is not known
├── ForbiddenError             the token is not for this route, or not for this component
├── StoreUnavailableError      the database cannot take it now; try again after `retry_after`
│   ├── PartitionBlockedError  something stands in the way of a partition
│   └── HistoryUnavailableError  the time-series database does not answer a query
├── ReceiverUnavailableError   a time-series database cannot take it now, or cannot be reached
├── ReceiverRefusedError       a time-series database takes the request, but not these samples
└── StartupError               the server cannot start; the message is for the operator

The message of each but the last one becomes the `detail` of the answer: it says what to change
and never holds SQL. The table from error to status is in `responses.py`.
"""

from __future__ import annotations


class ServerError(Exception):
    """The root of the server's own errors."""


class BodyMalformedError(ServerError):
    """The body cannot be read."""


class BodyTooLargeError(ServerError):
    """The body, or what it decompresses to, exceeds a limit."""


class EncodingUnknownError(ServerError):
    """The body is encoded in a way that the server does not know."""


class ParameterInvalidError(ServerError):
    """A parameter has a value that is not valid."""


class ComponentNotFoundError(ServerError):
    """No component of this id or name is registered."""


class TokenInvalidError(ServerError):
    """The caller has not said who they are."""


class ForbiddenError(ServerError):
    """The caller may not do this."""


class StoreUnavailableError(ServerError):
    """The database is away or busy.

    Args:
        message: what to tell the client.
        retry_after_seconds: when to try again.
    """

    def __init__(self, message: str, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class PartitionBlockedError(StoreUnavailableError):
    """A partition cannot be made until an operator makes room for it."""


class HistoryUnavailableError(StoreUnavailableError):
    """The time-series database does not answer."""


class ReceiverUnavailableError(ServerError):
    """The time-series database does not take requests.

    Args:
        message: what to tell the operator.
        retry_after_seconds: when it wants to be asked again, or None.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class ReceiverRefusedError(ServerError):
    """The time-series database refuses these samples, and would again."""


class StartupError(ServerError):
    """The server cannot start."""
