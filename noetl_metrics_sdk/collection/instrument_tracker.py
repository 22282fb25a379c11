"""Choose the samples of an instrument to send, by what the client last sent of each series.

It applies the rule that `change_filter` has for other collectors to the many series of the
package's own instruments: it makes no sample of a series that has not changed.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING, Final, final

from noetl_metrics_sdk.instruments.instrument import ScalarInstrument
from noetl_metrics_sdk.model.stamped_sample import LabelSet, StampedSample
from noetl_metrics_sdk.process.pacing import STEPS_BETWEEN_RESTS

if TYPE_CHECKING:
    from noetl_metrics_sdk.instruments.instrument import Instrument
    from noetl_metrics_sdk.process.pacing import Pacer

_NEVER: Final = float("-inf")


@final
class _Sent:
    """The values that were last sent of one label set."""

    __slots__ = ("all_sent_at", "holder", "label_set", "value", "values")

    def __init__(self, holder: Instrument) -> None:
        self.holder = holder
        self.label_set = LabelSet(holder.label_values)
        # When all of its samples were last sent, by a monotonic clock.
        self.all_sent_at = _NEVER
        # `value` if the instrument has one sample for each label set, `values` if it has several.
        self.value = 0.0
        self.values: list[float] | None = None


@final
class InstrumentTracker:
    """Remembers the values that were last sent of each series of one instrument.

    Args:
        instrument: the instrument.
        refresh_interval: after how many seconds an unchanged series is sent again.
        pacer: rests during loops over many series.
    """

    __slots__ = ("_generation", "_instrument", "_pacer", "_refresh_interval", "_sent")

    def __init__(self, instrument: Instrument, refresh_interval: float, pacer: Pacer) -> None:
        self._instrument = instrument
        self._refresh_interval = refresh_interval
        self._pacer = pacer
        self._generation = -1
        self._sent: list[_Sent] = []

    def changed(self, taken_at: float, now: float) -> list[StampedSample]:
        """Return the samples that have to be sent.

        Args:
            taken_at: the time of the samples, in seconds since the epoch.
            now: the current time of a monotonic clock, in seconds.
        """
        if self._generation != self._instrument.definition.generation:
            self._follow_children()
        samples: list[StampedSample] = []
        sent_before = now - self._refresh_interval
        is_scalar = isinstance(self._instrument, ScalarInstrument)
        for step, sent in enumerate(self._sent):
            if step % STEPS_BETWEEN_RESTS == 0:
                self._pacer.rest_if_due()
            if is_scalar:
                self._add_scalar(samples, sent, sent_before, taken_at, now)
            else:
                self._add_all(samples, sent, sent_before, taken_at, now)
        return samples

    def send_anew(self, label_sets: set[int]) -> None:
        """Send these label sets anew at the next collection, as samples of them were dropped.

        Args:
            label_sets: the `id()` of each label set.
        """
        for sent in self._sent:
            if id(sent.label_set) in label_sets:
                sent.all_sent_at = _NEVER

    def _add_scalar(
        self,
        samples: list[StampedSample],
        sent: _Sent,
        sent_before: float,
        taken_at: float,
        now: float,
    ) -> None:
        holder = sent.holder
        assert isinstance(holder, ScalarInstrument)
        if not holder.bring_up_to_date():
            return
        value = holder.value
        if sent.all_sent_at > sent_before and _is_same(value, sent.value):
            return
        sent.value = value
        sent.all_sent_at = now
        form = self._instrument.definition.forms[0]
        samples.append(StampedSample(form, sent.label_set, value, taken_at))

    def _add_all(
        self,
        samples: list[StampedSample],
        sent: _Sent,
        sent_before: float,
        taken_at: float,
        now: float,
    ) -> None:
        values = sent.holder.values()
        before = sent.values
        is_due = before is None or sent.all_sent_at <= sent_before
        for position, form in enumerate(self._instrument.definition.forms):
            value = values[position]
            if is_due or before is None or not _is_same(value, before[position]):
                samples.append(StampedSample(form, sent.label_set, value, taken_at))
        sent.values = values
        if is_due:
            sent.all_sent_at = now

    def _follow_children(self) -> None:
        known = {id(sent.holder): sent for sent in self._sent}
        # Read before the children are. If another thread makes a child meanwhile, the generation
        # has changed at the next turn, which then finds the child.
        self._generation = self._instrument.definition.generation
        followed: list[_Sent] = []
        for step, holder in enumerate(self._instrument.holders()):
            if step % STEPS_BETWEEN_RESTS == 0:
                self._pacer.rest_if_due()
            sent = known.get(id(holder))
            followed.append(_Sent(holder) if sent is None else sent)
        self._sent = followed


def _is_same(value: float, before: float) -> bool:
    # NaN differs from itself, but an empty summary must not be sent at every flush.
    return value == before or (isnan(value) and isnan(before))
