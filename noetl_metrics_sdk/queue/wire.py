"""Encode a batch of samples as the bytes of `POST /api/metrics`.

The parts that never change are encoded once and kept: the name, type, help, unit and constant
labels of a form, and the labels of a label set. For a sample only its two numbers are then encoded.
docs/protocol.md describes the body.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence  # noqa: TC003 - compiled, a NamedTuple's notes are read
from json.encoder import encode_basestring
from math import isnan
from typing import TYPE_CHECKING, Final, NamedTuple, final

from noetl_metrics_sdk.model.names import exported_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noetl_metrics_sdk.model.stamped_sample import LabelSet, SampleForm, StampedSample

FORMS_CACHED_MAX = 100_000
"""How many encoded forms are kept. When there are more, the cache starts afresh."""

ENVELOPE_BYTES = 64
"""How many bytes a body has around its samples: braces, the runtime id, the key of the array."""

# Stands for a form with a label of the same name as an identity label. It is encoded anew for every
# sample.
_NOT_CACHEABLE: Final = b""
_AFTER_LABELS: Final = b'},"metric_value":'


class Batch(NamedTuple):
    """Samples that travel together and are accepted together.

    `key` names the batch for ever: it is `boot id:sequence`, and the `Idempotency-Key` of the
    request. `items` are the samples, each as its JSON.
    """

    key: str
    items: Sequence[bytes]

    def body(self, runtime_id: str) -> bytes:
        """Return the request body that reports these samples for a component."""
        head = b'{"runtime_id":' + json.dumps(runtime_id).encode() + b',"metrics":['
        if not self.items:
            return head + b"]}"
        # One join makes the body: it may have a million bytes, and each copy of it takes time.
        parts = list(self.items)
        parts[0] = head + parts[0]
        parts[-1] += b"]}"
        return b",".join(parts)


@final
class SampleEncoder:
    """Encodes samples, and keeps the bytes of each form and label set.

    Args:
        constant_labels: labels that every sample gets. A label of the series itself wins over a
            constant label of the same name. A label with an empty value is no label.
        identity_labels: labels that tell this process from others. They win over labels of the
            series, because the totals of two processes must never mix. The label of the series then
            becomes `exported_…`, as Prometheus names it.
    """

    __slots__ = ("_constant_labels", "_heads", "_identity_labels", "_tail", "_tail_timestamp")

    def __init__(
        self,
        constant_labels: Mapping[str, str],
        identity_labels: Mapping[str, str] | None = None,
    ) -> None:
        self._constant_labels = {name: value for name, value in constant_labels.items() if value}
        self._identity_labels = dict(identity_labels or {})
        self._heads: dict[SampleForm, bytes] = {}
        # The time of the last sample, encoded: all samples of one collection have the same time.
        self._tail_timestamp = 0.0
        self._tail = _encode_tail(0.0)

    def encode(self, sample: StampedSample) -> bytes:
        """Return the sample's JSON."""
        form = sample.form
        head = self._heads.get(form)
        if head is None:
            head = self._remember_head(form)
        # A label with an empty value is left out, which few series have.
        if head and not sample.label_set.has_empty:
            labels = _encoded_labels(form, sample.label_set)
        else:
            head = self._encode_head(form, {**self._constant_labels, **sample.labels})
            labels = _AFTER_LABELS
        if sample.timestamp != self._tail_timestamp:
            self._tail_timestamp = sample.timestamp
            self._tail = _encode_tail(sample.timestamp)
        number = json_number(sample.value).encode()
        return b"".join([head, labels, number, self._tail])

    def _remember_head(self, form: SampleForm) -> bytes:
        own = {} if form.own_label is None else {form.own_label[0]: form.own_label[1]}
        names = {*form.label_names, *own}
        if {exported_name(name, self._identity_labels) for name in names} != names:
            head = _NOT_CACHEABLE
        else:
            labels = {
                name: value for name, value in self._constant_labels.items() if name not in names
            }
            labels.update(own)
            head = self._encode_head(form, labels)
            if form.label_names and not head.endswith(b"{"):
                head += b","
        if len(self._heads) >= FORMS_CACHED_MAX:
            self._heads.clear()
        self._heads[form] = head
        return head

    def _encode_head(self, form: SampleForm, labels: Mapping[str, str]) -> bytes:
        """Return the JSON up to and including these labels and the labels of this process."""
        added = self._identity_labels
        all_labels = {exported_name(name, added): value for name, value in labels.items()}
        all_labels.update(added)
        fields = {
            "metric_name": form.name,
            "metric_type": form.type.value,
            "help_text": form.help_text,
            "unit": form.unit,
            "labels": all_labels,
        }
        text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        return text.removesuffix("}}").encode()


def json_number(value: float) -> str:
    """Return a value as JSON: a number, or a string for NaN and the infinities."""
    if value - value == 0.0:  # true for all numbers except NaN and the infinities
        # The repr() of a subclass may differ, as NumPy's does. So such a number is converted.
        return repr(value) if type(value) is float else repr(float(value))
    if isnan(value):
        return '"NaN"'
    return '"+Inf"' if value > 0 else '"-Inf"'


def _encoded_labels(form: SampleForm, label_set: LabelSet) -> bytes:
    encoded = label_set.encoded
    if encoded is None:
        pairs = [
            f"{encode_basestring(name)}:{encode_basestring(value)}"
            for name, value in zip(form.label_names, label_set.values, strict=True)
        ]
        encoded = ",".join(pairs).encode() + _AFTER_LABELS
        label_set.encoded = encoded
    return encoded


def _encode_tail(timestamp: float) -> bytes:
    return f',"timestamp":{timestamp!r}}}'.encode()
