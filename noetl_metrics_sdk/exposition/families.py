"""Group the samples of a page into metric families, and choose the type that each can have. Pure.

The page shows a histogram or a summary whole or not at all. If a series lacks its `+Inf` bucket,
its sum or its count, or if its parts are of different moments, the page leaves the series out and
counts it.

OpenMetrics is stricter than the text format. A family that has no valid form in it is `unknown`
there, with each sample under its own name. So no value is lost, and the page stays valid. This is
done for:

- a counter whose name does not end in `_total`, or with a value that is negative or NaN;
- a histogram with a negative bound, with a sum that is negative or NaN, or with a count that is no
  whole number;
- a summary with a quantile outside 0 to 1 or a quantile whose value is negative, with a sum that is
  negative or NaN, or with a count that is negative or no whole number;
- an info whose value is not 1, and a state set with a value that is neither 0 nor 1 or without the
  label of its own name. The text format has neither of the two types: there they are gauges.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.exposition.claims import (
    COUNT,
    CREATED,
    PARTS,
    UNTYPED,
    VALUE,
    kind_of,
    settled_claims,
)
from noetl_metrics_sdk.exposition.samples import ExposedSample, PageFormat
from noetl_metrics_sdk.model.metric import INFO, STATE_SET

if TYPE_CHECKING:
    from collections.abc import Iterable


class Entry(NamedTuple):
    """A sample, and its place among the samples of its series."""

    part: int
    bound: float
    own_label: str | None
    sample: ExposedSample


SeriesKey = tuple[str, ...]


class Family(NamedTuple):
    """All samples of one name and type, by series, in the order of a page."""

    name: str
    type: str
    series: dict[SeriesKey, list[Entry]]


def families_of(
    samples: Iterable[ExposedSample], page_format: PageFormat
) -> tuple[list[Family], int]:
    """Return the families of a page, and how many series are left out.

    Args:
        samples: the samples of the page, in any order. If a series of a counter or gauge has
            several, the first one counts.
        page_format: the format of the page.
    """
    samples = list(samples)
    kinds = list(map(kind_of, samples))
    claims = settled_claims(set(kinds), page_format)
    groups: dict[tuple[str, str], dict[SeriesKey, list[Entry]]] = defaultdict(dict)
    for sample, sample_kind in zip(samples, kinds, strict=True):
        shown, kind, own_label, part = claims[sample_kind]
        has_bound = own_label is not None and kind != STATE_SET
        bound = sample.labels.bound(own_label) if has_bound and own_label else math.inf
        assert bound is not None
        entry = Entry(part, bound, own_label, sample)
        labels = sample.labels
        key = labels.key() if own_label is None else labels.key_without(own_label)
        groups[shown, kind].setdefault(key, []).append(entry)
    omitted_count = 0
    families: list[Family] = []
    for (name, kind), series in groups.items():
        omitted_count += _drop_invalid_series(kind, series)
        family = Family(name, kind, dict(sorted(series.items())))
        if page_format is PageFormat.OPENMETRICS and not _is_openmetrics(family):
            families += _untyped(family)
        else:
            families.append(family)
    return [family for family in families if family.series], omitted_count


def _drop_invalid_series(kind: str, series: dict[SeriesKey, list[Entry]]) -> int:
    """Drop series that are not whole, or that occur twice; return how many were dropped."""
    dropped = 0
    for key, entries in list(series.items()):
        if len(entries) > 1:
            entries.sort(key=lambda entry: entry[:2])
        if kind in PARTS:
            is_valid = _is_whole(kind, entries)
        elif kind == STATE_SET:
            states = {entry.sample.labels.text: entry for entry in reversed(entries)}
            dropped += len(entries) - len(states)
            series[key] = [states[text] for text in reversed(states)]
            is_valid = True
        else:
            # If several collectors report the same series, the first one counts.
            first = {entry.part: entry for entry in reversed(entries)} if entries[1:] else {}
            if first and len(first) < len(entries):
                dropped += len(entries) - len(first)
                series[key] = [first[part] for part in sorted(first)]
            is_valid = entries[0].part != CREATED
        if not is_valid:
            del series[key]
            dropped += 1
    return dropped


def _is_whole(kind: str, entries: list[Entry]) -> bool:
    parts: tuple[list[Entry], ...] = ([], [], [], [])
    for entry in entries:
        parts[entry.part].append(entry)
    values, sums, counts, created = parts
    bounds = [entry.bound for entry in values]
    if len(sums) != 1 or len(counts) != 1 or len(created) > 1 or len(set(bounds)) < len(bounds):
        return False
    if kind == "summary":
        return True
    if not bounds or bounds[-1] != math.inf:
        return False
    counted = [0.0, *[entry.sample.value for entry in values], counts[0].sample.value]
    # Every observation changes the last bucket, so no other part may be of a later moment.
    last_at = values[-1].sample.taken_at or 0.0
    return (
        all(low <= high for low, high in pairwise(counted))
        and counted[-1] == counted[-2]
        and all((entry.sample.taken_at or 0.0) <= last_at for entry in values)
    )


def _is_openmetrics(family: Family) -> bool:
    """Return whether a family is valid in OpenMetrics under its type."""
    check = _CHECKS.get(family.type)
    return check is None or all(
        check(entry) for entries in family.series.values() for entry in entries
    )


def _is_counter_sample(entry: Entry) -> bool:
    return entry.part == CREATED or entry.sample.value >= 0  # False for NaN


def _is_histogram_sample(entry: Entry) -> bool:
    value = entry.sample.value
    if entry.part in {VALUE, COUNT}:
        return value.is_integer() and entry.bound >= 0
    return entry.part == CREATED or value >= 0


def _is_summary_sample(entry: Entry) -> bool:
    value = entry.sample.value
    if entry.part == VALUE:
        return 0 <= entry.bound <= 1 and not value < 0
    if entry.part == COUNT:
        return value.is_integer() and value >= 0
    return entry.part == CREATED or value >= 0


def _is_info_sample(entry: Entry) -> bool:
    return entry.sample.value == 1


def _is_state_sample(entry: Entry) -> bool:
    return entry.sample.value in {0, 1} and entry.sample.labels.get(entry.sample.name) is not None


_CHECKS = {
    "counter": _is_counter_sample,
    INFO: _is_info_sample,
    STATE_SET: _is_state_sample,
    "histogram": _is_histogram_sample,
    "summary": _is_summary_sample,
}


def _untyped(family: Family) -> list[Family]:
    """Return an untyped family for each sample name of a family."""
    by_name: dict[str, dict[SeriesKey, list[Entry]]] = defaultdict(dict)
    for entries in family.series.values():
        for entry in entries:
            by_name[entry.sample.name][entry.sample.labels.key()] = [
                Entry(VALUE, math.inf, None, entry.sample)
            ]
    return [Family(name, UNTYPED, series) for name, series in by_name.items()]
