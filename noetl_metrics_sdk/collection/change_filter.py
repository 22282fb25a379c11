"""Choose the samples to send: those whose series has changed, or was not sent for long enough.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.collection.beginning import time_of_told_beginning
from noetl_metrics_sdk.model.stamped_sample import (
    NOTHING_DROPPED,
    LabelSet,
    SampleForm,
    StampedSample,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noetl_metrics_sdk.model.metric import Sample, Series


class _LastSent(NamedTuple):
    form: SampleForm
    label_set: LabelSet
    value: float
    timestamp: float
    at: float
    described_as: tuple[object, str, str]


class ChangeFilter:
    """Remembers the last sample that was sent of each series of collectors that are no instruments.

    An idle series then costs one row per refresh interval. That row also tells a reader that the
    series is still alive. The filter forgets a series of which it has passed no sample on for two
    refresh intervals.

    If a collector tells when a series was 0, a sample of 0 with that time precedes its first
    report.

    Args:
        refresh_interval: after how many seconds an unchanged series is sent again.
    """

    def __init__(self, refresh_interval: float) -> None:
        self._refresh_interval = refresh_interval
        # Guards everything below: the collecting thread and the system-metrics thread use it.
        self._lock = threading.RLock()
        self._last_sent: dict[Series, _LastSent] = {}
        self._purge_at: float | None = None

    def changed(self, samples: Iterable[Sample], now: float) -> list[StampedSample]:
        """Return the samples that have to be sent.

        Args:
            samples: collected samples, checked and stamped.
            now: the current time of a monotonic clock, in seconds.
        """
        passed: list[StampedSample] = []
        with self._lock:
            for sample in samples:
                self._pass_locked(sample, now, passed)
            self._purge_locked(now)
        return passed

    def knows(self, series: Series) -> bool:
        """Return whether the filter remembers a sample of this series with the same description."""
        last = self._last_sent.get(series)
        return last is not None and last.described_as == series.description()

    def _pass_locked(self, sample: Sample, now: float, passed: list[StampedSample]) -> None:
        """Append the sample if it has to be sent, after a sample of 0 if its series has begun."""
        series = sample.series
        timestamp = sample.timestamp
        assert timestamp is not None
        last = self._last_sent.get(series)
        if last is not None and last.label_set.dropped_zero_at != NOTHING_DROPPED:
            last = None  # what was last sent of the series was dropped on its way
        previous_at = None if last is None else last.timestamp
        zero_at = time_of_told_beginning(sample.created_at, previous_at, timestamp)
        if last is not None and now - last.at < self._refresh_interval and zero_at is None:
            unchanged = sample.value == last.value or (
                # NaN differs from itself, but an empty summary must not be sent at every flush.
                sample.value != sample.value and last.value != last.value
            )
            if unchanged:
                return
        described_as = series.description()
        if last is not None and last.described_as == described_as:
            form, label_set = last.form, last.label_set
        else:
            form, label_set = parts_of(series)
        self._last_sent[series] = _LastSent(
            form, label_set, sample.value, timestamp, now, described_as
        )
        if zero_at is not None and form.counts_from_zero and sample.value != 0.0:
            passed.append(StampedSample(form, label_set, 0.0, zero_at))
        passed.append(StampedSample(form, label_set, sample.value, timestamp))

    def _purge_locked(self, now: float) -> None:
        if self._purge_at is None or now >= self._purge_at:
            oldest = now - 2 * self._refresh_interval
            self._last_sent = {
                series: last for series, last in self._last_sent.items() if last.at > oldest
            }
            self._purge_at = now + self._refresh_interval


def parts_of(series: Series) -> tuple[SampleForm, LabelSet]:
    """Return the two parts of a series that its samples share: the form and the label set."""
    form = SampleForm(series.name, series.type, series.help_text, series.unit, tuple(series.labels))
    return form, LabelSet(tuple(series.labels.values()))
