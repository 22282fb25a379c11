"""Which samples are worth sending: those whose series changed, or was quiet for long enough."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.model.stamped_sample import LabelSet, SampleForm, StampedSample

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noetl_metrics_sdk.model.metric import Sample, Series


class _LastSent(NamedTuple):
    form: SampleForm
    label_set: LabelSet
    value: float
    at: float
    described_as: tuple[object, str, str]


class ChangeFilter:
    """Remembers what was last passed on of each series of collectors that are no instruments.

    An idle series then costs one row per refresh interval, which also tells a reader that the
    series is still alive. A series that was not offered for two refresh intervals is forgotten.

    Args:
        refresh_interval: after how many seconds an unchanged series is sent again.
    """

    def __init__(self, refresh_interval: float) -> None:
        self._refresh_interval = refresh_interval
        # Guards everything below: the collecting and the system-metrics thread both come here.
        self._lock = threading.RLock()
        self._last_sent: dict[Series, _LastSent] = {}
        self._purge_at: float | None = None

    def changed(self, samples: Iterable[Sample], now: float) -> list[StampedSample]:
        """Return those samples that have to be sent.

        Args:
            samples: what was collected, checked and stamped.
            now: a monotonic clock's reading, in seconds.
        """
        passed: list[StampedSample] = []
        with self._lock:
            for sample in samples:
                stamped = self._pass_locked(sample, now)
                if stamped is not None:
                    passed.append(stamped)
            self._purge_locked(now)
        return passed

    def knows(self, series: Series) -> bool:
        """Return whether a sample of this very series was passed on not long ago."""
        last = self._last_sent.get(series)
        return last is not None and last.described_as == series.description()

    def forget(self, label_sets: set[int]) -> None:
        """Have these label sets sent at the next opportunity: their last samples were dropped.

        Args:
            label_sets: the `id()` of each.
        """
        with self._lock:
            self._last_sent = {
                series: last
                for series, last in self._last_sent.items()
                if id(last.label_set) not in label_sets
            }

    def _pass_locked(self, sample: Sample, now: float) -> StampedSample | None:
        series = sample.series
        last = self._last_sent.get(series)
        described_as = series.description()
        if last is not None and now - last.at < self._refresh_interval:
            unchanged = sample.value == last.value or (
                # NaN differs from itself; an empty summary must not be sent at every flush.
                sample.value != sample.value and last.value != last.value
            )
            if unchanged:
                return None
        if last is not None and last.described_as == described_as:
            form, label_set = last.form, last.label_set
        else:
            form, label_set = parts_of(series)
        self._last_sent[series] = _LastSent(form, label_set, sample.value, now, described_as)
        assert sample.timestamp is not None
        return StampedSample(form, label_set, sample.value, sample.timestamp)

    def _purge_locked(self, now: float) -> None:
        if self._purge_at is None or now >= self._purge_at:
            oldest = now - 2 * self._refresh_interval
            self._last_sent = {
                series: last for series, last in self._last_sent.items() if last.at > oldest
            }
            self._purge_at = now + self._refresh_interval


def parts_of(series: Series) -> tuple[SampleForm, LabelSet]:
    """Return a series as the two parts that its samples are made of."""
    form = SampleForm(series.name, series.type, series.help_text, series.unit, tuple(series.labels))
    return form, LabelSet(tuple(series.labels.values()))
