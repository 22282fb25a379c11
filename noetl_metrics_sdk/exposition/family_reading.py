"""The values of the instruments of one name at the moment of a page, and the text that they become.

The text is what `families` and `page` would make of the same samples, as long as no other collector
has a part in the family. Otherwise the page is made of the samples. The values of a label set are
read at one moment, so a histogram is whole here.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

from itertools import compress
from typing import TYPE_CHECKING, NamedTuple, cast

from noetl_metrics_sdk.exposition.claims import OWN_LABELS
from noetl_metrics_sdk.exposition.kept_series import labels_of, slices
from noetl_metrics_sdk.exposition.page import WrittenFamily, description
from noetl_metrics_sdk.exposition.samples import ExposedLabels, ExposedSample, PageFormat
from noetl_metrics_sdk.model.metric import MetricType
from noetl_metrics_sdk.model.numbers import format_bound, format_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from noetl_metrics_sdk.exposition.claims import SampleKind
    from noetl_metrics_sdk.exposition.kept_series import KeptSeries
    from noetl_metrics_sdk.instruments.definition import Definition
    from noetl_metrics_sdk.instruments.instrument import Instrument, ScalarInstrument
    from noetl_metrics_sdk.process.pacing import Pacer


class FamilyReading(NamedTuple):
    """What the instruments of one name hold: everything that a page shows of them."""

    definition: Definition
    """The description of one of the instruments; they differ by their label names only."""
    holders: Sequence[Instrument]
    labels: Sequence[str]
    """The labels of each series as text, as in `KeptSeries`."""
    values: Sequence[float]
    """The values of one series after the other: one for each form of the definition."""
    created: Sequence[float]
    """When each series was zero, in seconds since the epoch; empty if the page does not say it."""
    has_twins: bool

    def kinds(self) -> set[SampleKind]:
        """Return what decides about the family, for all samples."""
        if not self.holders:
            return set()
        kind = self.definition.type.value
        own_label = OWN_LABELS.get(kind)
        found: set[SampleKind] = {
            (form.name, kind, form.own_label is not None and form.own_label[0] == own_label)
            for form in self.definition.forms
        }
        if self.created:
            found.add((_created_name(self.definition.name), "gauge", False))
        return found

    def samples(self) -> Iterator[ExposedSample]:
        """Yield the samples of all series."""
        kind = self.definition.type.value
        forms = self.definition.forms
        for position, holder in enumerate(self.holders):
            own = labels_of(holder)
            labels = ExposedLabels(own)
            values = self.values[position * len(forms) : (position + 1) * len(forms)]
            for form, value in zip(forms, values, strict=True):
                shown = (
                    labels
                    if form.own_label is None
                    else ExposedLabels(own | dict([form.own_label]))
                )
                yield ExposedSample(form.name, kind, value, shown, form.help_text, form.unit)
            if self.created:
                yield created_sample(self.definition.name, self.created[position], labels)

    def can_be_written(self, family: tuple[str, str], page_format: PageFormat) -> bool:
        """Return whether `written` makes the text that the samples would become.

        Args:
            family: the name and the type of the family that all of the samples belong to.
            page_format: the format of the page.
        """
        return (
            not self.has_twins
            and family[1] == self.definition.type
            and (page_format is PageFormat.TEXT or self._is_openmetrics())
        )

    def written(
        self, family: tuple[str, str], page_format: PageFormat, pacer: Pacer
    ) -> WrittenFamily:
        """Return the family in the form in which a page has it.

        Args:
            family: the name and the type of the family that all of the samples belong to.
            page_format: the format of the page.
            pacer: rests during loops over many series.
        """
        forms = self.definition.forms
        lines = description(
            *family, self.definition.documentation, self.definition.unit, page_format
        )
        for some in slices(len(self.labels), pacer):
            lines += self._lines_of_one(some) if len(forms) == 1 else self._lines(some, page_format)
        return WrittenFamily(*family, lines)

    def _is_openmetrics(self) -> bool:
        """Return whether OpenMetrics allows the values, and the bounds of a histogram."""
        kind, forms, values = self.definition.type, self.definition.forms, self.values
        if kind is MetricType.GAUGE:
            return True
        if kind is MetricType.COUNTER:
            return all(value >= 0 for value in values)
        parts = [values[place :: len(forms)] for place in range(len(forms))]
        *ordered, sums, _ = parts
        if kind is MetricType.HISTOGRAM:
            lowest = forms[0].own_label
            is_valid = lowest is not None and float(lowest[1]) >= 0
        else:
            is_valid = not any(value < 0 for part in ordered for value in part)
        return is_valid and all(value >= 0 for value in sums)  # False for NaN

    def _lines_of_one(self, some: slice) -> list[str]:
        """Return the lines of some series that have one value each."""
        name = self.definition.forms[0].name
        labels, values = self.labels[some], self.values[some]
        lines = [
            f"{name}{text} {format_value(value)}\n"
            for text, value in zip(labels, values, strict=True)
        ]
        if not self.created:
            return lines
        created_name = _created_name(self.definition.name)
        return [
            f"{line}{created_name}{text} {format_value(created_at)}\n"
            for line, text, created_at in zip(lines, labels, self.created[some], strict=True)
        ]

    def _lines(self, some: slice, page_format: PageFormat) -> list[str]:
        """Return the lines of some series that have several values each."""
        forms = self.definition.forms
        named = [(form.name, _own_text(form.own_label, page_format)) for form in forms]
        created_name = _created_name(self.definition.name)
        lines: list[str] = []
        for position, text in enumerate(self.labels[some], some.start):
            shared = f"{text[:-1]}," if text else "{"
            first = position * len(forms)
            lines += [
                f"{name}{shared + own if own else text} {format_value(value)}\n"
                for (name, own), value in zip(
                    named, self.values[first : first + len(forms)], strict=True
                )
            ]
            if self.created:
                lines.append(f"{created_name}{text} {format_value(self.created[position])}\n")
        return lines


def read_family(
    definition: Definition, kept: KeptSeries, page_format: PageFormat, pacer: Pacer
) -> FamilyReading:
    """Read the values of the series that the page shows.

    Args:
        definition: the description of the instruments.
        kept: their series.
        page_format: the format of the page. The text format has no start times, which would be
            series of their own there.
        pacer: rests during loops over many series.
    """
    has_created = page_format is PageFormat.OPENMETRICS and definition.forms[-1].counts_from_zero
    is_scalar = len(definition.forms) == 1
    values: list[float | None] = []
    created: list[float] = []
    for some in slices(len(kept.holders), pacer):
        holders = kept.holders[some]
        # First: if a series begins anew meanwhile, its time must not be later than its value's.
        if has_created:
            created += [holder.created_at for holder in holders]
        if is_scalar:
            scalars = cast("Sequence[ScalarInstrument]", holders)
            values += [one.value if one.bring_up_to_date() else None for one in scalars]
        else:
            for holder in holders:
                values += holder.values()
    holders, labels = kept.holders, kept.labels
    if is_scalar and None in values:
        there = [value is not None for value in values]
        holders = list(compress(holders, there))
        labels = list(compress(labels, there))
        created = list(compress(created, there))
    return FamilyReading(
        definition, holders, labels, [value for value in values if value is not None], created,
        kept.has_twins,
    )  # fmt: skip


def created_sample(family_name: str, created_at: float, labels: ExposedLabels) -> ExposedSample:
    """Return the sample that says when a series began, in the form that OpenMetrics has for it."""
    return ExposedSample(_created_name(family_name), "gauge", created_at, labels)


def _created_name(family_name: str) -> str:
    return f"{family_name}_created"


def _own_text(own_label: tuple[str, str] | None, page_format: PageFormat) -> str:
    """Return the last label of a sample with the end of the labels, or nothing if it has none."""
    if own_label is None:
        return ""
    name, text = own_label
    if page_format is PageFormat.OPENMETRICS:
        text = format_bound(float(text))
    return f'{name}="{text}"}}'
