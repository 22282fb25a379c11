"""Choose the samples of an instrument to send, by what the client last sent of each series.

It applies the rule that `change_filter` has for other collectors to the many series of the
package's own instruments: it makes no sample of a series that has not changed. The first report of
what counts from zero is preceded by a sample of 0.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Final, final

from noetl_metrics_sdk.collection.beginning import time_of_collection, times_of_beginning
from noetl_metrics_sdk.instruments.instrument import ScalarInstrument
from noetl_metrics_sdk.instruments.locking import NEEDS_LOCK
from noetl_metrics_sdk.model.stamped_sample import (
    NO_ZERO_DROPPED,
    NOTHING_DROPPED,
    LabelSet,
    StampedSample,
)
from noetl_metrics_sdk.process.pacing import STEPS_BETWEEN_RESTS

if TYPE_CHECKING:
    from noetl_metrics_sdk.instruments.instrument import Instrument
    from noetl_metrics_sdk.process.pacing import Pacer

_NEVER: Final = float("-inf")
_REPLACED: Final = -1.0
"""In place of a reading of the clock: another child of the same label set was there before."""

IDENTITIES_MAX: Final = 100
"""Of how many identities of clients a definition remembers what was reported."""


class _Sent:
    """What was last sent of one label set."""

    __slots__ = ("all_sent_at", "counts_since", "holder", "label_set")

    def __init__(self, holder: Instrument, counts_since: float) -> None:
        self.holder = holder
        self.label_set = LabelSet(holder.label_values)
        # When all of its samples were last sent, by a monotonic clock.
        self.all_sent_at = _NEVER
        # The `counts_since` of the values that were last sent.
        self.counts_since = counts_since


@final
class _SentValue(_Sent):
    """The value that was last sent of a label set with one sample."""

    __slots__ = ("value",)

    def __init__(self, holder: Instrument, counts_since: float) -> None:
        super().__init__(holder, counts_since)
        self.value = 0.0


@final
class _SentValues(_Sent):
    """The values that were last sent of a label set with several samples."""

    __slots__ = ("values",)

    def __init__(self, holder: Instrument, counts_since: float) -> None:
        super().__init__(holder, counts_since)
        self.values: list[float] | None = None


@final
class InstrumentTracker:
    """Remembers the values that were last sent of each series of one instrument.

    What counts from zero begins with a sample of 0, so that a chart has the first count too.

    Args:
        instrument: the instrument.
        refresh_interval: after how many seconds an unchanged series is sent again.
        pacer: rests during loops over many series.
        absent_at: the last time at which no series of the instrument was there, in seconds since
            the epoch: the last collection, or the client's start.
        identity: what the series of a client have in common, and the series of others do not.
            Another client of this process with the same identity may have sent some series already.
    """

    __slots__ = (
        "_counts_from_zero", "_generation", "_identity", "_instrument", "_is_scalar", "_pacer",
        "_previous_at", "_refresh_interval", "_reported_until", "_sent",
    )  # fmt: skip

    def __init__(
        self,
        instrument: Instrument,
        refresh_interval: float,
        pacer: Pacer,
        absent_at: float,
        identity: object = None,
    ) -> None:
        self._instrument = instrument
        self._is_scalar = isinstance(instrument, ScalarInstrument)
        # Of a histogram or summary, the last form is the count, which does.
        self._counts_from_zero = instrument.definition.forms[-1].counts_from_zero
        self._refresh_interval = refresh_interval
        self._pacer = pacer
        self._previous_at = absent_at
        self._identity = identity
        self._reported_until = instrument.definition.reported_until.get(identity, _NEVER)
        self._generation = -1
        self._sent: list[_Sent] = []

    def changed(self, taken_at: float, now: float) -> list[StampedSample]:
        """Return the samples that have to be sent.

        Args:
            taken_at: the time of the samples, in seconds since the epoch.
            now: the current time of a monotonic clock, in seconds.
        """
        if self._generation >= 0:
            taken_at = time_of_collection(self._previous_at, taken_at)
        if self._generation != self._instrument.definition.generation:
            self._follow_children()
        samples: list[StampedSample] = []
        sent_before = now - self._refresh_interval
        latest_at = taken_at
        for step, sent in enumerate(self._sent):
            if step % STEPS_BETWEEN_RESTS == 0:
                self._pacer.rest_if_due()
            if self._is_scalar:
                sent_at = self._add_scalar(samples, sent, sent_before, taken_at, now)
            else:
                sent_at = self._add_all(samples, sent, sent_before, taken_at, now)
            latest_at = max(latest_at, sent_at)
        self._previous_at = latest_at
        self._note_reported()
        return samples

    def _add_scalar(
        self,
        samples: list[StampedSample],
        sent: _Sent,
        sent_before: float,
        taken_at: float,
        now: float,
    ) -> float:
        assert isinstance(sent, _SentValue)
        holder = sent.holder
        assert isinstance(holder, ScalarInstrument)
        if not holder.bring_up_to_date():
            return taken_at
        if NEEDS_LOCK:
            # A reset changes both: its value must not be read with the time from before it.
            with self._instrument.definition.lock:
                value = holder.value
                counts_since = holder.counts_since
        else:
            value = holder.value
            counts_since = holder.counts_since
        if self._counts_from_zero and counts_since != sent.counts_since:
            taken_at = self._begin(samples, sent, counts_since, [value], taken_at)
        if sent.label_set.dropped_zero_at != NOTHING_DROPPED:
            self._repeat_zeros(samples, sent, [value])
        elif sent.all_sent_at > sent_before and _is_same(value, sent.value):
            return taken_at
        sent.value = value
        sent.all_sent_at = now
        form = self._instrument.definition.forms[0]
        samples.append(StampedSample(form, sent.label_set, value, taken_at))
        return taken_at

    def _add_all(
        self,
        samples: list[StampedSample],
        sent: _Sent,
        sent_before: float,
        taken_at: float,
        now: float,
    ) -> float:
        assert isinstance(sent, _SentValues)
        with self._instrument.definition.lock:
            values = sent.holder.values()
            counts_since = sent.holder.counts_since
        if counts_since != sent.counts_since:
            taken_at = self._begin(samples, sent, counts_since, values, taken_at)
        before = sent.values
        is_due = before is None or sent.all_sent_at <= sent_before
        if sent.label_set.dropped_zero_at != NOTHING_DROPPED:
            is_due = True
            self._repeat_zeros(samples, sent, values)
        for position, form in enumerate(self._instrument.definition.forms):
            value = values[position]
            if is_due or before is None or not _is_same(value, before[position]):
                samples.append(StampedSample(form, sent.label_set, value, taken_at))
        sent.values = values
        if is_due:
            sent.all_sent_at = now
        return taken_at

    def _begin(
        self,
        samples: list[StampedSample],
        sent: _Sent,
        counts_since: float,
        values: list[float],
        taken_at: float,
    ) -> float:
        """Add samples of 0 for values that have begun; return the time of the values' samples."""
        was_there = sent.counts_since != _NEVER
        zero_at, taken_at = times_of_beginning(self._previous_at, taken_at, was_there=was_there)
        self._add_zeros(samples, sent, values, zero_at)
        sent.counts_since = counts_since
        sent.all_sent_at = _NEVER
        self._reported_until = max(self._reported_until, counts_since)
        return taken_at

    def _repeat_zeros(self, samples: list[StampedSample], sent: _Sent, values: list[float]) -> None:
        """Add again a sample of 0 that was dropped, and note that all of the label set is sent."""
        zero_at = sent.label_set.dropped_zero_at
        sent.label_set.dropped_zero_at = NOTHING_DROPPED
        if zero_at != NO_ZERO_DROPPED:
            self._add_zeros(samples, sent, values, zero_at)

    def _add_zeros(
        self, samples: list[StampedSample], sent: _Sent, values: list[float], zero_at: float
    ) -> None:
        for position, form in enumerate(self._instrument.definition.forms):
            # A value that is zero itself says by its own sample that the series was zero.
            if form.counts_from_zero and values[position] != 0.0:
                samples.append(StampedSample(form, sent.label_set, 0.0, zero_at))

    def _note_reported(self) -> None:
        """Note for later clients of this identity what was reported; forget the oldest identity."""
        reported_until = self._instrument.definition.reported_until
        if self._identity not in reported_until and len(reported_until) >= IDENTITIES_MAX:
            reported_until.pop(next(iter(reported_until)), None)
        reported_until[self._identity] = self._reported_until

    def _follow_children(self) -> None:
        known = {id(sent.holder): sent for sent in self._sent}
        # Read before the children are. If another thread makes a child meanwhile, the generation
        # has changed at the next turn, which then finds the child.
        self._generation = self._instrument.definition.generation
        followed: list[_Sent] = []
        unknown: list[Instrument] = []
        for step, holder in enumerate(self._instrument.holders()):
            if step % STEPS_BETWEEN_RESTS == 0:
                self._pacer.rest_if_due()
            sent = known.pop(id(holder), None)
            if sent is None:
                unknown.append(holder)
            else:
                followed.append(sent)
        removed = {sent.label_set.values for sent in known.values()}
        for step, holder in enumerate(unknown):
            if step % STEPS_BETWEEN_RESTS == 0:
                self._pacer.rest_if_due()
            counts_since = _NEVER
            if holder.label_values in removed:
                counts_since = _REPLACED
            elif holder.counts_since <= self._reported_until:
                counts_since = holder.counts_since
            followed.append(
                _SentValue(holder, counts_since)
                if self._is_scalar
                else _SentValues(holder, counts_since)
            )
        self._sent = followed


def _is_same(value: float, before: float) -> bool:
    # NaN differs from itself, but an empty summary must not be sent at every flush.
    return value == before or (isnan(value) and isnan(before))
