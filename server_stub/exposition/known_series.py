"""What never changes of the series of one name: their beginnings of lines and their order. Pure.

A series is known by the bytes of its row without its value. Nothing is read of a row whose bytes
are known. When series of a name come or go, only the new ones are made.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.exposition.claims import SampleKind, kind_of
from noetl_metrics_sdk.exposition.samples import ExposedLabels, ExposedSample
from noetl_metrics_sdk.model.names import check_metric_name
from server_stub.components.labels import exposed_labels
from server_stub.exposition.portioned_sort import sort_in_portions
from server_stub.exposition.series_rows import SeriesRow, decoded, numbers, split
from server_stub.query.latest import LONG_SERIES_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from server_stub.query.latest import SeriesOfName

LINE_OVERHEAD_BYTES = 500
"""What a kept series takes beside its texts, if it has one line."""

SAMPLE_OVERHEAD_BYTES = 3000
COPIES = 8
"""What a kept series takes that is a part of a histogram or a summary: its labels are kept as
objects, as texts and as keys, by both formats."""

_SCALAR_TYPES = {"counter", "gauge"}

Place = tuple[str, int, bool, str]
"""Where a sample comes among others: by its name, its component, and the JSON of its labels."""


class KnownSeries(msgspec.Struct, gc=False, eq=False):
    """What never changes of one series.

    Collections of garbage pass it over, and the series of a name: there may be tens of thousands,
    and none is part of a cycle.
    """

    kind: SampleKind | None
    """None if no page can hold its name or the name of a label."""
    key: str
    """Its labels in the order in which series are compared; empty unless it has a line."""
    beginning: str
    """Its line up to its value; empty unless it is a scalar that is not long."""
    help_text: str | None
    unit: str | None
    place: Place | None
    labels: ExposedLabels | None
    """Both are kept only of what has no line, which needs them on every page."""
    size_bytes: int


class KnownName(msgspec.Struct, gc=False, eq=False):
    """The series of one name. Collections of garbage pass over its tuples too."""

    series: Mapping[bytes, KnownSeries]
    """By the bytes of their rows, in the order in which the rows came."""
    kinds: tuple[SampleKind, ...]
    """Of its series, each once."""
    invalid_count: int
    """How many series no page can hold."""
    order: tuple[int, ...]
    """The places of the values among the rows, in the order of the page. Empty unless all series
    are of one kind, which has one line for each, and no two of them look alike on a page."""
    beginnings: tuple[str, ...]
    """The lines up to their values, in the order of the page."""
    help_text: str
    unit: str
    """The first of the page's order that is not empty."""
    size_bytes: int

    def samples(self, found: SeriesOfName) -> Iterator[tuple[Place, ExposedSample]]:
        """Yield the samples that a page can hold, each with its place among all others.

        Args:
            found: what these are the series of.
        """
        values, times = numbers(found.values), numbers(found.times)
        for (row, series), value, time in zip(self.series.items(), values, times, strict=True):
            if series.kind is None:
                continue
            place, labels = series.place, series.labels
            if place is None or labels is None:
                place, labels = _placed(found.metric_name, decoded(row))
            name, metric_type, _ = series.kind
            taken_at = time if time == time else None  # noqa: PLR0124 - NaN says that there is none
            yield (
                place,
                ExposedSample(
                    name, metric_type, value, labels, series.help_text, series.unit, taken_at
                ),
            )


def known_name(found: SeriesOfName, before: KnownName | None) -> KnownName:
    """Return what never changes of the series of one name.

    Args:
        found: the rows.
        before: what was known of the name on an earlier page, or None.
    """
    known: Mapping[bytes, KnownSeries] = {} if before is None else before.series
    if before is not None and b"".join(known) == found.series:
        return before
    name = found.metric_name
    series = {row: known.get(row) or _series_of(name, row) for row in split(found)}
    every = list(series.values())
    kinds = tuple({one.kind for one in every if one.kind is not None})
    size_bytes = sum([one.size_bytes for one in every])
    keys = [one.key for one in every]
    order = [place for place, one in enumerate(every) if one.kind is not None]
    invalid_count = len(every) - len(order)
    sort_in_portions(order, keys.__getitem__)
    is_of_lines = len(kinds) == 1 and all(one.beginning for one in every if one.kind is not None)
    if not is_of_lines or any(keys[one] == keys[other] for one, other in pairwise(order)):
        return KnownName(series, kinds, invalid_count, (), (), "", "", size_bytes)
    shown = [every[place] for place in order]
    return KnownName(
        series,
        kinds,
        invalid_count,
        tuple(order),
        tuple([one.beginning for one in shown]),
        next((one.help_text for one in shown if one.help_text), ""),
        next((one.unit for one in shown if one.unit), ""),
        size_bytes,
    )


def _series_of(name: str, record: bytes) -> KnownSeries:
    row = decoded(record)
    # The series of a name, and often all series of a component, say the same.
    help_text = None if row.help_text is None else sys.intern(row.help_text)
    unit = None if row.unit is None else sys.intern(row.unit)
    own_bytes = sys.getsizeof(record) + sys.getsizeof(help_text)
    try:
        check_metric_name(name)
        place, labels = _placed(name, row)
    except InvalidMetricError:
        size_bytes = LINE_OVERHEAD_BYTES + own_bytes
        return KnownSeries(None, "", "", help_text, unit, None, None, size_bytes)
    kind = kind_of(ExposedSample(name, sys.intern(row.metric_type), 0.0, labels))
    # Texts of a long series are made when its page is written, and only once.
    if row.metric_type not in _SCALAR_TYPES or len(record) > LONG_SERIES_BYTES:
        size_bytes = SAMPLE_OVERHEAD_BYTES + own_bytes + COPIES * len(record)
        return KnownSeries(kind, "", "", help_text, unit, place, labels, size_bytes)
    # PostgreSQL has no text with the character 0, so that texts compare as the tuples would.
    # The series of several names often have the same labels.
    key = sys.intern("\0".join(labels.key()))
    beginning = f"{name}{labels.text} "
    size_bytes = LINE_OVERHEAD_BYTES + own_bytes + sys.getsizeof(key) + sys.getsizeof(beginning)
    return KnownSeries(kind, key, beginning, help_text, unit, None, None, size_bytes)


def _placed(name: str, row: SeriesRow) -> tuple[Place, ExposedLabels]:
    labels = exposed_labels(row.runtime_id, row.component_name, row.component_type, row.labels)
    return (name, row.runtime_id, row.labels is None, row.labels or ""), labels
