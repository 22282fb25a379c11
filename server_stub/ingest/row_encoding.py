"""Samples become rows as PostgreSQL reads them, or rejects. Pure: no I/O, no clock.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from server_stub.ingest.body import Reject, reason_of
from server_stub.ingest.copy_format import VALUE_BYTES, pack_value, row_head
from server_stub.ingest.rejection import RejectKind, SampleError, kind_of
from server_stub.time_series_database.known_series import Row
from server_stub.timestamps import parse_timestamp, to_epoch_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from server_stub.ingest.body import Sample
    from server_stub.ingest.series_table import KeptKey, SeriesKey, SeriesTable

_SPECIAL_VALUES = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}

_MILLISECOND = timedelta(milliseconds=1)


class TimeBounds(NamedTuple):
    """How far a sample's time may lie from its arrival, in seconds."""

    age_seconds_max: float
    ahead_seconds_max: float


class _Origin(NamedTuple):
    """The component that reported a sample, and when the sample was taken.

    `owner` and `timestamp` are the sample's own `runtime_id` and `timestamp`, as the client wrote
    them. `tails` has the end of the rows of each of the component's series.
    """

    owner: str | float | None
    timestamp: str | float | None
    runtime_id: int
    taken_at: datetime
    tails: Mapping[KeptKey, bytes]


# The origin before the first sample. No sample has it, because a NaN equals nothing.
_NO_ORIGIN = _Origin(math.nan, math.nan, 0, datetime.min.replace(tzinfo=UTC), {})


class RowEncoder:
    """Encodes the samples of one request; `rejects` has the samples that cannot be stored.

    Args:
        series: the series that the components have reported.
        owners: the component's id, or the reason why a sample is rejected, by the sample's
            `runtime_id`, or by None if it has none.
        received_at: the time for samples that have none of their own.
        bounds: which times a sample may have.
    """

    __slots__ = (
        "_bounds", "_earliest", "_latest", "_owners", "_received_at", "_series", "rejects",
    )  # fmt: skip

    def __init__(
        self,
        series: SeriesTable,
        owners: Mapping[str | float | None, int | str],
        received_at: datetime,
        bounds: TimeBounds,
    ) -> None:
        self._series = series
        self._owners = owners
        self._received_at = received_at
        self._bounds = bounds
        self._earliest = received_at - timedelta(seconds=bounds.age_seconds_max)
        self._latest = received_at + timedelta(seconds=bounds.ahead_seconds_max)
        self.rejects: list[Reject] = []

    def encode(self, samples: Iterable[tuple[int, Sample]]) -> bytes:
        """Return the rows of samples, in the binary format of COPY.

        Args:
            samples: each with its place in the request.
        """
        parts: list[bytes] = []
        origin = _NO_ORIGIN
        owner, timestamp, runtime_id, taken_at, tails = origin
        head = b""
        for position, sample in samples:
            # This is `_series_key`, without its call for each sample: that takes 5 % more time.
            key = (
                sample.metric_name,
                sample.metric_type,
                bytes(sample.labels),
                sample.help_text,
                sample.unit,
            )
            tail = tails.get(key)
            value = sample.metric_value
            # Nearly all samples need no further check: their series is known, they have the origin
            # of the sample before, and their value is a float.
            if (
                tail is None
                or sample.runtime_id != owner
                or sample.timestamp != timestamp
                or type(value) is not float
            ):
                found, tail, value = self._checked(position, sample, key, origin)
                if found is not origin:
                    origin = found
                    owner, timestamp, runtime_id, taken_at, tails = origin
                    head = row_head(runtime_id, taken_at)
                if tail is None:
                    continue
            # All parts are joined at the end: joining the parts of each row takes 5 % more time.
            parts += (head, pack_value(VALUE_BYTES, value), tail)
        return b"".join(parts)

    def rows(
        self, samples: Iterable[tuple[int, Sample]], components: Mapping[int, tuple[str, str]]
    ) -> list[tuple[int, Row]]:
        """Return samples as rows, each with its place in the request.

        Args:
            samples: each with its place in the request.
            components: the name and the type of each component, by its id.
        """
        return [
            (position, Row(
                0, origin.runtime_id, sample.metric_name, bytes(sample.labels).decode() or None,
                value, to_epoch_microseconds(origin.taken_at) // 1000,
                *components[origin.runtime_id], sample.metric_type, sample.help_text, sample.unit,
                (self._received_at - origin.taken_at) // _MILLISECOND,
            ))
            for position, sample, origin, value in self._storable(samples)
        ]  # fmt: skip

    def check(self, samples: Iterable[tuple[int, Sample]]) -> None:
        """Add the samples that cannot be stored to `rejects`, and encode none.

        Args:
            samples: each with its place in the request.
        """
        for _ in self._storable(samples):
            pass

    def _storable(
        self, samples: Iterable[tuple[int, Sample]]
    ) -> Iterator[tuple[int, Sample, _Origin, float]]:
        origin = _NO_ORIGIN
        for position, sample in samples:
            origin, tail, value = self._checked(position, sample, _series_key(sample), origin)
            if tail is not None:
                yield position, sample, origin, value

    def _checked(
        self, position: int, sample: Sample, key: SeriesKey, origin: _Origin
    ) -> tuple[_Origin, bytes | None, float]:
        """Check a sample, and reject it if it cannot be stored.

        Args:
            position: its place in the request.
            sample: the sample.
            key: its series.
            origin: the origin of the sample before; nearly all samples of a batch have the same.

        Returns:
            The sample's origin, the end of its row, and its value. For a reject the end is None,
            and the origin is the one of the sample before if its own is not valid.
        """
        checking = RejectKind.UNKNOWN_RUNTIME
        try:
            if sample.runtime_id != origin.owner or sample.timestamp != origin.timestamp:
                runtime_id = self._owner_of(sample)
                checking = RejectKind.INVALID_TIMESTAMP
                taken_at = self._time_of(sample)
                tails = self._series.of(runtime_id, self._received_at)
                origin = _Origin(sample.runtime_id, sample.timestamp, runtime_id, taken_at, tails)
            checking = RejectKind.INVALID_LABELS
            tail = origin.tails.get(key)
            if tail is None:
                tail = self._series.add(origin.runtime_id, key)
            checking = RejectKind.INVALID_VALUE
            return origin, tail, _parse_value(sample.metric_value)
        except ValueError as error:
            self.rejects.append(Reject(position, reason_of(error), kind_of(error, checking)))
            # The caller goes on with the origin that was found: to make room for this component's
            # series, the table may have forgotten the component of the sample before.
            return origin, None, math.nan

    def _owner_of(self, sample: Sample) -> int:
        owner = self._owners[sample.runtime_id]
        if isinstance(owner, str):
            raise ValueError(owner)  # noqa: TRY004 - it is the sample's value that is wrong
        return owner

    def _time_of(self, sample: Sample) -> datetime:
        if sample.timestamp is None:
            return self._received_at
        moment = parse_timestamp(sample.timestamp)
        if moment < self._earliest:
            raise SampleError(
                RejectKind.TOO_OLD,
                f"timestamp {sample.timestamp!r} is more than "
                f"{self._bounds.age_seconds_max:g} s in the past: "
                "use the time at which the sample was taken, epoch seconds or ISO 8601",
            )
        if moment > self._latest:
            raise SampleError(
                RejectKind.TOO_FAR_AHEAD,
                f"timestamp {sample.timestamp!r} is more than "
                f"{self._bounds.ahead_seconds_max:g} s in the future: "
                "set the worker's clock, and write epoch seconds rather than milliseconds",
            )
        return moment


def _series_key(sample: Sample) -> SeriesKey:
    return (
        sample.metric_name,
        sample.metric_type,
        bytes(sample.labels),
        sample.help_text,
        sample.unit,
    )


def _parse_value(value: float | str) -> float:
    if not isinstance(value, str):
        return value
    number = _SPECIAL_VALUES.get(value)
    if number is None:
        raise ValueError(
            f"metric_value {value!r} is not valid: "
            "use a number, or one of the strings 'NaN', '+Inf', '-Inf'"
        )
    return number
