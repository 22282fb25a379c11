"""Write a page for Prometheus: text format 0.0.4, or OpenMetrics 1.0. Pure: no I/O, no clock.

The samples of a page have no timestamps, because Prometheus does not apply its handling of stale
series to samples with timestamps.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.exposition.claims import UNTYPED
from noetl_metrics_sdk.exposition.families import families_of
from noetl_metrics_sdk.exposition.samples import PageFormat
from noetl_metrics_sdk.model.numbers import format_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noetl_metrics_sdk.exposition.families import Entry, Family
    from noetl_metrics_sdk.exposition.samples import ExposedSample

_HELP_ESCAPES = {
    PageFormat.TEXT: str.maketrans({"\\": r"\\", "\n": r"\n"}),
    PageFormat.OPENMETRICS: str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""}),
}


class Page(NamedTuple):
    """A page, and how many series are missing on it."""

    text: str
    omitted_count: int
    """How many series were left out."""


class WrittenFamily(NamedTuple):
    """A family in the form in which a page has it."""

    name: str
    type: str
    lines: list[str]
    """Its description and its samples."""


def render(
    samples: Iterable[ExposedSample],
    page_format: PageFormat,
    invalid_count: int = 0,
    written: Iterable[WrittenFamily] = (),
) -> Page:
    """Return the page.

    Args:
        samples: at most one sample of each series. The page has the families in the order of their
            names. If a family has several help texts or units, the page has the first.
        page_format: the format of the page.
        invalid_count: how many series the caller has left out because a page cannot hold their
            names.
        written: further families, to whose names no sample lays claim.
    """
    families, incomplete_count = families_of(samples, page_format)
    parts: list[str] = []
    for family in sorted([*written, *[_written(one, page_format) for one in families]], key=_order):
        parts += family.lines
    if page_format is PageFormat.OPENMETRICS:
        parts.append("# EOF\n")  # without comments, which OpenMetrics does not have
    else:
        if invalid_count:
            parts.append(
                f"# {invalid_count} series omitted: their names are not valid in this format\n"
            )
        if incomplete_count:
            parts.append(f"# {incomplete_count} series omitted: not whole, or reported twice\n")
    return Page("".join(parts), invalid_count + incomplete_count)


def description(
    name: str, kind: str, help_text: str, unit: str, page_format: PageFormat
) -> list[str]:
    """Return the lines that describe a family.

    Args:
        name: the family's name.
        kind: the family's type.
        help_text: what the family measures, or nothing.
        unit: the unit of its values, or nothing.
        page_format: the format of the page.
    """
    lines: list[str] = []
    # A parser strips blanks at the ends of a help text, so the page need not keep them.
    if help_text:
        lines.append(f"# HELP {name} {help_text.translate(_HELP_ESCAPES[page_format])}\n")
    if page_format is PageFormat.TEXT:
        lines.append(f"# TYPE {name} {kind}\n")
        return lines
    lines.append(f"# TYPE {name} {'unknown' if kind == UNTYPED else kind}\n")
    if unit and name.endswith(f"_{unit}"):  # a unit is valid only if the name ends in it
        lines.append(f"# UNIT {name} {unit}\n")
    return lines


def _order(family: WrittenFamily) -> tuple[str, str]:
    return family.name, family.type


def _written(family: Family, page_format: PageFormat) -> WrittenFamily:
    help_text = unit = ""
    for entries in family.series.values():
        for entry in entries:
            help_text = help_text or entry.sample.help_text or ""
            unit = unit or entry.sample.unit or ""
        if help_text and unit:
            break
    lines = description(family.name, family.type, help_text, unit, page_format)
    if page_format is PageFormat.OPENMETRICS and family.type in {"histogram", "summary"}:
        lines += [_canonical_line(entry) for entries in family.series.values()
                  for entry in entries]  # fmt: skip
        return WrittenFamily(family.name, family.type, lines)
    for entries in family.series.values():
        for entry in entries:
            sample = entry.sample
            lines.append(f"{sample.name}{sample.labels.text} {format_value(sample.value)}\n")
    return WrittenFamily(family.name, family.type, lines)


def _canonical_line(entry: Entry) -> str:
    labels = entry.sample.labels
    text = labels.text if entry.own_label is None else labels.canonical_text(entry.own_label)
    return f"{entry.sample.name}{text} {format_value(entry.sample.value)}\n"
