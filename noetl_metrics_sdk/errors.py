"""Every error that this package raises.

The tree::

    MetricsError
    ├── InvalidMetricError (also a ValueError)   a name, label, unit or amount that is refused
    ├── DuplicateMetricError (also a ValueError) a name that the registry already has
    ├── ConfigurationError (also a ValueError)   a setting that is missing or not valid
    ├── StartError (also a RuntimeError)         the process can have no thread for the client
    └── DeliveryError                            the server did not take a batch
        ├── RecoverableError                     try again, after `retry_after` if it is given
        │   ├── UnauthorizedError                401, 403: the credentials are wrong
        │   └── RouteMissingError                404, 405: no metrics server has the route
        ├── UnknownRuntimeError                  404 for the component: register it, then try again
        ├── PayloadTooLargeError                 413: split the batch
        └── RejectedError                        400, 422: never send this batch again

A `RecoverableError` is the only one after which the delivery thread sends the same bytes again.
The delivery thread logs and counts delivery errors. They never reach a job.
"""

from __future__ import annotations


class MetricsError(Exception):
    """The root of every error of this package."""


class InvalidMetricError(MetricsError, ValueError):
    """A name, label, unit or amount is not valid; the message says what a valid one looks like."""


class DuplicateMetricError(MetricsError, ValueError):
    """The registry already has a metric of this name."""


class ConfigurationError(MetricsError, ValueError):
    """A setting is missing or not valid; the message names it and says what to change."""


class StartError(MetricsError, RuntimeError):
    """The process can have no more threads; a later call of `start()` may succeed."""


class DeliveryError(MetricsError):
    """The server did not take a request.

    Args:
        message: what happened, with the server's own reason if it gave one.
        status: the HTTP status, or None if there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RecoverableError(DeliveryError):
    """A failure after which another attempt may succeed.

    Args:
        message: what happened.
        status: the HTTP status, or None if there was no answer.
        retry_after: how many seconds the server asked the client to wait, or None if it did not.
    """

    def __init__(
        self, message: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after


class UnauthorizedError(RecoverableError):
    """401 or 403: nothing is lost, but an operator has to mend the credentials."""


class RouteMissingError(RecoverableError):
    """404 or 405 for the route itself: nothing is lost, but an operator has to mend the address."""


class UnknownRuntimeError(DeliveryError):
    """404: the server has no component with this id, or no longer has it."""


class PayloadTooLargeError(DeliveryError):
    """413: the batch is too large, and the client has to split it."""


class RejectedError(DeliveryError):
    """400 or 422 from a metrics server: it will never take this batch."""
