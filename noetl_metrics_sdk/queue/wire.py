"""A batch of samples as the bytes of `POST /api/metrics`.

What never changes is encoded once and kept: of a form the name, type, help, unit and constant
labels, of a label set its labels. A sample then costs its two numbers. The body's form is
`docs/protocol.md`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence  # noqa: TC003 - compiled, a NamedTuple's notes are read
from json.encoder import encode_basestring
from math import isnan
from typing import TYPE_CHECKING, Final, NamedTuple, final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noetl_metrics_sdk.model.stamped_sample import LabelSet, SampleForm, StampedSample

FORMS_CACHED_MAX = 100_000
"""How many encoded forms are kept; beyond it the cache starts afresh."""

ENVELOPE_BYTES = 64
"""What a body has around its samples: braces, the runtime id, the key of the array."""

# A form whose labels clash with those that tell this process apart: encoded anew every time.
_NOT_CACHEABLE: Final = b""
_AFTER_LABELS: Final = b'},"metric_value":'


class Batch(NamedTuple):
    """Samples that travel together and are accepted together.

    `key` names the batch for ever: `boot id:sequence`, the `Idempotency-Key` of the request.
    `items` are the samples, each as its JSON.
    """

    key: str
    items: Sequence[bytes]

    def body(self, runtime_id: str) -> bytes:
        """Return the request body that reports these samples for a component."""
        head = b'{"runtime_id":' + json.dumps(runtime_id).encode() + b',"metrics":['
        if not self.items:
            return head + b"]}"
        # All at once: a body may have a million bytes, and each copy of it counts.
        parts = list(self.items)
        parts[0] = head + parts[0]
        parts[-1] += b"]}"
        return b",".join(parts)


@final
class SampleEncoder:
    """Encodes samples, remembering what it said of each form and label set.

    Args:
        constant_labels: labels that every sample gets. A label of the series itself wins over
            a constant one of the same name.
        identity_labels: labels that tell this process from others, and win over the series'
            own, which become `exported_…`, as Prometheus names them: totals of two processes
            must never mix.
    """

    __slots__ = ("_constant_labels", "_heads", "_identity_labels", "_tail", "_tail_timestamp")

    def __init__(
        self,
        constant_labels: Mapping[str, str],
        identity_labels: Mapping[str, str] | None = None,
    ) -> None:
        self._constant_labels = dict(constant_labels)
        self._identity_labels = dict(identity_labels or {})
        self._heads: dict[SampleForm, bytes] = {}
        # The samples of one collection all have the same time.
        self._tail_timestamp = 0.0
        self._tail = _encode_tail(0.0)

    def encode(self, sample: StampedSample) -> bytes:
        """Return the sample's JSON."""
        form = sample.form
        head = self._heads.get(form)
        if head is None:
            head = self._remember_head(form)
        if head:
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
        if names & self._identity_labels.keys():
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
        """Return the JSON up to the last of these labels, and of those of this process."""
        all_labels = dict(labels)
        for name, value in self._identity_labels.items():
            if name in all_labels:
                all_labels[f"exported_{name}"] = all_labels[name]
            all_labels[name] = value
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
    """Return a value as JSON: a number, or the string that stands for what JSON has none for."""
    if value - value == 0.0:  # as it is for all but NaN and the infinities
        # Not that of a subclass: NumPy's shows itself otherwise.
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
