"""The kinds of reasons for which a sample is rejected. Pure: no I/O, no clock.

A client reads the reason in words, which quotes the sample. The server counts by kind: there are as
many series as kinds, whatever clients send.
"""

from __future__ import annotations

from enum import StrEnum


class RejectKind(StrEnum):
    """The values of the label `reason` of `noetl_api_samples_rejected_total`."""

    MALFORMED = "malformed"
    UNKNOWN_RUNTIME = "unknown_runtime"
    INVALID_NAME = "invalid_name"
    INVALID_TYPE = "invalid_type"
    INVALID_VALUE = "invalid_value"
    INVALID_LABELS = "invalid_labels"
    INVALID_TEXT = "invalid_text"
    INVALID_TIMESTAMP = "invalid_timestamp"
    TOO_LARGE = "too_large"
    TOO_OLD = "too_old"
    TOO_FAR_AHEAD = "too_far_ahead"
    TOO_MANY_SERIES = "too_many_series"
    REFUSED_BY_RECEIVER = "refused_by_receiver"


class SampleError(ValueError):
    """A sample cannot be stored.

    Args:
        kind: the kind of reason.
        message: what is wrong with the sample, and what is right.
    """

    def __init__(self, kind: RejectKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def kind_of(error: ValueError, otherwise: RejectKind) -> RejectKind:
    """Return the kind of an error.

    Args:
        error: a check's error.
        otherwise: the kind of what the check looks at, for an error that does not name its own.
    """
    return error.kind if isinstance(error, SampleError) else otherwise
