"""Every error that this package raises.

MetricsError
├── InvalidMetricError (also a ValueError)   a name, label, unit or amount that is refused
├── DuplicateMetricError (also a ValueError) a name that the registry already has
├── ConfigurationError (also a ValueError)   a setting that is missing or not valid
└── DeliveryError                            the server did not take a batch
    ├── RecoverableError                     try again, after ``retry_after`` if it is given
    │   └── UnauthorizedError                401, 403: the credentials are wrong
    ├── UnknownRuntimeError                  404: register again, then try again
    ├── PayloadTooLargeError                 413: split the batch
    └── RejectedError                        any other 4xx: never send this batch again

A ``RecoverableError`` is the only one after which the same bytes are sent again. Delivery
errors stay inside the delivery thread: they are logged and counted, and never reach a job.
"""

from __future__ import annotations


class MetricsError(Exception):
    """The root of every error of this package."""


class InvalidMetricError(MetricsError, ValueError):
    """A name, label, unit or amount that is not valid; the message says what a valid one is."""


class DuplicateMetricError(MetricsError, ValueError):
    """A metric name that the registry already has."""


class ConfigurationError(MetricsError, ValueError):
    """A setting that is missing or not valid; the message names it and says what to change."""


class DeliveryError(MetricsError):
    """The server did not take what was sent.

    Args:
        message: what happened, with the server's own reason where it gave one.
        status: the HTTP status, or None where there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class RecoverableError(DeliveryError):
    """A failure that trying again may mend.

    Args:
        message: what happened.
        status: the HTTP status, or None where there was no answer.
        retry_after: how long the server asked to be left alone, in seconds, if it did.
    """

    def __init__(
        self, message: str, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message, status)
        self.retry_after = retry_after


class UnauthorizedError(RecoverableError):
    """401 or 403: nothing is lost, but somebody has to mend the credentials."""


class UnknownRuntimeError(DeliveryError):
    """404: the server has no component of this id (any more)."""


class PayloadTooLargeError(DeliveryError):
    """413: the batch has to be split."""


class RejectedError(DeliveryError):
    """Any other 4xx: the server will never take this batch."""
