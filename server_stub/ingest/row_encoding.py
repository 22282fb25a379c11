"""Samples to rows as PostgreSQL reads them, and to rejects. Pure: no I/O, no clock."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from server_stub.ingest.body import Reject, reason_of
from server_stub.ingest.copy_format import VALUE_BYTES, pack_value, row_head
from server_stub.time_series_database.requests import Row
from server_stub.timestamps import parse_timestamp, to_epoch_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from server_stub.ingest.body import Sample
    from server_stub.ingest.series_table import SeriesKey, SeriesTable

_SPECIAL_VALUES = {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}


class TimeBounds(NamedTuple):
    """How far a sample's time may lie from its arrival, in seconds."""

    age_seconds_max: float
    ahead_seconds_max: float


class RowEncoder:
    """Encodes the samples of one request; `rejects` are those that cannot be stored.

    Args:
        series: what is known of the components' series.
        owners: what a sample may say in `runtime_id`, None for nothing, to the component's id, or
            to the reason why it is refused.
        received_at: the time of samples that have none of their own.
        bounds: which times are right.
    """

    __slots__ = ("_bounds", "_owners", "_received_at", "_series", "rejects")

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
        self.rejects: list[Reject] = []

    def encode(self, samples: Iterable[tuple[int, Sample]]) -> bytes:
        """Return the rows of samples, in the binary format of COPY.

        Args:
            samples: each with its place in the request.
        """
        rows: list[bytes] = []
        owner: object = self  # no sample's
        timestamp: object = self
        head, runtime_id = b"", 0
        day = self._received_at.date()
        tails: Mapping[SeriesKey, bytes] = {}
        for position, sample in samples:
            try:
                # Nearly all samples of a batch have the owner and the time of the one before.
                if sample.runtime_id != owner or sample.timestamp != timestamp:
                    owner = timestamp = self
                    runtime_id = self._owner_of(sample)
                    head = row_head(runtime_id, self._time_of(sample))
                    tails = self._series.of(runtime_id, day).tails
                    owner, timestamp = sample.runtime_id, sample.timestamp
                key = (
                    sample.metric_name,
                    sample.metric_type,
                    bytes(sample.labels),
                    sample.help_text,
                    sample.unit,
                )
                tail = tails.get(key)
                if tail is None:
                    tail = self._series.add(runtime_id, day, key)
                value = sample.metric_value
                if type(value) is not float:
                    value = _parse_value(value)
                rows.append(head + pack_value(VALUE_BYTES, value) + tail)
            except ValueError as error:
                self.rejects.append(Reject(position, reason_of(error)))
        return b"".join(rows)

    def rows(
        self, samples: Iterable[tuple[int, Sample]], components: Mapping[int, tuple[str, str]]
    ) -> list[tuple[int, Row]]:
        """Return samples as rows, each with its place in the request.

        Args:
            samples: likewise.
            components: name and type of each component.
        """
        rows: list[tuple[int, Row]] = []
        day = self._received_at.date()
        for position, sample in samples:
            try:
                runtime_id = self._owner_of(sample)
                timestamp = self._time_of(sample)
                labels = bytes(sample.labels)
                key = (
                    sample.metric_name,
                    sample.metric_type,
                    labels,
                    sample.help_text,
                    sample.unit,
                )
                if key not in self._series.of(runtime_id, day).tails:
                    self._series.add(runtime_id, day, key)
                rows.append((position, Row(
                    0, runtime_id, sample.metric_name, labels.decode() or None,
                    _parse_value(sample.metric_value), to_epoch_microseconds(timestamp) // 1000,
                    *components[runtime_id], sample.metric_type, sample.help_text, sample.unit,
                )))  # fmt: skip
            except ValueError as error:
                self.rejects.append(Reject(position, reason_of(error)))
        return rows

    def _owner_of(self, sample: Sample) -> int:
        owner = self._owners[sample.runtime_id]
        if isinstance(owner, str):
            raise ValueError(owner)  # noqa: TRY004 - it is the sample's value that is wrong
        return owner

    def _time_of(self, sample: Sample) -> datetime:
        if sample.timestamp is None:
            return self._received_at
        moment = parse_timestamp(sample.timestamp)
        age = self._received_at - moment
        if age > timedelta(seconds=self._bounds.age_seconds_max):
            raise ValueError(
                f"timestamp {sample.timestamp!r} is more than "
                f"{self._bounds.age_seconds_max:g} s in the past: "
                "use the time at which the sample was taken, epoch seconds or ISO 8601"
            )
        if -age > timedelta(seconds=self._bounds.ahead_seconds_max):
            raise ValueError(
                f"timestamp {sample.timestamp!r} is more than "
                f"{self._bounds.ahead_seconds_max:g} s in the future: "
                "set the worker's clock, and write epoch seconds rather than milliseconds"
            )
        return moment


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
