"""A sample on its way out: checked, stamped, and made of parts that are shared.

What never changes about a sample is in two objects that are made once: the *form*, which all
series of an instrument share, and the *label set*, which all samples of a child share. A
sample then costs two references and two numbers, and encoding it the digits of the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from noetl_metrics_sdk.model.compilation import mypyc_attr

if TYPE_CHECKING:
    from noetl_metrics_sdk.model.metric import MetricType

SAMPLE_BYTES: Final = 160
"""What a sample takes as it is sent beside its texts: field names, type, value and time."""

QUOTING_BYTES: Final = 3
"""What JSON adds to a text: quotes, and a colon or a comma."""

# Acyclic: they refer to nothing but strings, numbers and each other, so that compiled, the garbage
# collector is not set to work by the thousands that a flush makes.


@mypyc_attr(acyclic=True)
@final
class SampleForm:
    """What the samples at one place of a metric family have in common.

    A counter has one form; a histogram has one for each bucket, for the sum, and for the count.

    Args:
        name: the samples' name, with its suffix.
        type: the type of the family.
        help_text: what it measures.
        unit: the unit of the values.
        label_names: the names of the labels whose values are in the label set.
        own_label: the name and value of the label that tells this form from the family's
            others: `("le", "0.5")`; None if there is none.
    """

    __slots__ = (
        "_hash", "help_text", "label_names", "name", "own_label", "size_bytes", "type", "unit",
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
        self._hash = hash((name, type, help_text, unit, label_names, own_label))
        # About what it adds to each of its samples as they are sent.
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
        """Return the labels of the series of this form and that label set."""
        labels = dict(zip(self.label_names, label_set.values, strict=True))
        if self.own_label is not None:
            labels[self.own_label[0]] = self.own_label[1]
        return labels


@mypyc_attr(acyclic=True)
@final
class LabelSet:
    """The label values of a child, and what was encoded of them with its first sample.

    Args:
        values: a value for each of the form's label names, in their order.
    """

    __slots__ = ("encoded", "size_bytes", "values")

    def __init__(self, values: tuple[str, ...]) -> None:
        self.values = values
        self.size_bytes = sum([len(value) + QUOTING_BYTES for value in values])
        self.encoded: bytes | None = None


@mypyc_attr(acyclic=True)
@final
class StampedSample:
    """One value of one series at one time, ready to be sent.

    Args:
        form: what its series is one of.
        label_set: which one it is.
        value: any float.
        timestamp: when it was taken, in seconds since the epoch.
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
        """About how many bytes it takes as it is sent."""
        return self.form.size_bytes + self.label_set.size_bytes

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
