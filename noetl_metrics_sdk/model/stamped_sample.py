"""A sample on its way out: checked, stamped, and made of parts that samples share.

The parts that never change are in two objects that are made once. All series of an instrument share
the *form*, and all samples of a child share the *label set*. A sample then costs two references and
two numbers, and encoding it costs the digits of the two numbers.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

from math import isinf
from typing import TYPE_CHECKING, Final, final

from noetl_metrics_sdk.model.compilation import mypyc_attr
from noetl_metrics_sdk.model.metric import counts_from_zero

if TYPE_CHECKING:
    from noetl_metrics_sdk.model.metric import MetricType

SAMPLE_BYTES: Final = 160
"""How many bytes a sample takes besides its texts when it is sent: field names, type, value and
time."""

QUOTING_BYTES: Final = 3
"""How many bytes JSON adds to a text: quotes, and a colon or a comma."""

NOTHING_DROPPED: Final = float("inf")
NO_ZERO_DROPPED: Final = float("-inf")
"""In place of the time of a sample of 0 that was dropped: no sample of the label set was dropped
since it was last sent, or some were, and no sample of 0 among them."""

# The classes below are acyclic: they refer only to strings, numbers and each other. So in compiled
# code the garbage collector does not track them, and the thousands of samples of a flush do not
# start it.


@mypyc_attr(acyclic=True)
@final
class SampleForm:
    """The description that all samples at one place of a metric family share.

    A counter has one form. A histogram has one for each bucket, one for the sum, and one for the
    count.

    Args:
        name: the samples' name, with its suffix.
        type: the type of the family.
        help_text: what the metric measures.
        unit: the unit of the values.
        label_names: the names of the labels whose values are in the label set.
        own_label: the name and value of the label that tells this form from the other forms of the
            family, like `("le", "0.5")`; None if there is none.
    """

    __slots__ = (
        "_hash", "counts_from_zero", "help_text", "label_names", "name", "own_label", "size_bytes",
        "type", "unit",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        type: MetricType,  # noqa: A002 - the field's word
        help_text: str,
        unit: str,
        label_names: tuple[str, ...],
        own_label: tuple[str, str] | None = None,
    ) -> None:
        self.name = name
        self.type = type
        self.help_text = help_text
        self.unit = unit
        self.label_names = label_names
        self.own_label = own_label
        names = label_names if own_label is None else (*label_names, own_label[0])
        self.counts_from_zero = counts_from_zero(type, names)
        self._hash = hash((name, type, help_text, unit, label_names, own_label))
        # About how many bytes the form adds to each of its samples when they are sent.
        texts = [name, help_text, unit, *label_names, *(own_label or ())]
        self.size_bytes = SAMPLE_BYTES + sum([len(text) + QUOTING_BYTES for text in texts])

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, SampleForm):
            return False
        return (
            self.name == other.name
            and self.type is other.type
            and self.help_text == other.help_text
            and self.unit == other.unit
            and self.label_names == other.label_names
            and self.own_label == other.own_label
        )

    def labels(self, label_set: LabelSet) -> dict[str, str]:
        """Return the labels of the series that has this form and the given label set."""
        labels = dict(zip(self.label_names, label_set.values, strict=True))
        if label_set.has_empty:
            labels = {name: value for name, value in labels.items() if value}
        if self.own_label is not None:
            labels[self.own_label[0]] = self.own_label[1]
        return labels


@mypyc_attr(acyclic=True)
@final
class LabelSet:
    """The label values of a child, and their JSON once the child's first sample is encoded.

    What was dropped of the label set is noted in it. So a full buffer finds no series in a list,
    and the next collection, which looks at each series anyway, sends anew what was dropped.

    Args:
        values: a value for each label name of the form, in the order of the names. A label whose
            value is empty is no label.
    """

    __slots__ = ("dropped_zero_at", "encoded", "has_empty", "size_bytes", "values")

    def __init__(self, values: tuple[str, ...]) -> None:
        # The time of the oldest sample of 0 that was dropped since the label set was last sent.
        self.dropped_zero_at: float = NOTHING_DROPPED
        self.values = values
        self.has_empty = "" in values
        self.size_bytes = sum([len(value) + QUOTING_BYTES for value in values])
        self.encoded: bytes | None = None


@mypyc_attr(acyclic=True)
@final
class StampedSample:
    """One value of one series at one time, ready to be sent.

    Args:
        form: the form of the series.
        label_set: the label set of the series.
        value: any float.
        timestamp: when the value was taken, in seconds since the epoch.
    """

    __slots__ = ("form", "label_set", "timestamp", "value")

    def __init__(
        self, form: SampleForm, label_set: LabelSet, value: float, timestamp: float
    ) -> None:
        self.form = form
        self.label_set = label_set
        self.value = value
        self.timestamp = timestamp

    @property
    def size_bytes(self) -> int:
        """About how many bytes the sample takes when it is sent."""
        return self.form.size_bytes + self.label_set.size_bytes

    def note_dropped(self) -> None:
        """Have the next collection send the sample's label set anew, as the sample is dropped."""
        label_set = self.label_set
        if isinf(label_set.dropped_zero_at):  # no sample of 0 is noted yet
            is_zero = self.value == 0.0 and self.form.counts_from_zero
            label_set.dropped_zero_at = self.timestamp if is_zero else NO_ZERO_DROPPED

    @property
    def name(self) -> str:
        """The series' name."""
        return self.form.name

    @property
    def labels(self) -> dict[str, str]:
        """The series' labels."""
        return self.form.labels(self.label_set)

    def __repr__(self) -> str:
        labels = ",".join(f'{name}="{value}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}} {self.value!r} at {self.timestamp!r}"
