"""Group the samples of a page into metric families, and choose the type that each can have. Pure.

Each name belongs to one family. Two families would share a name if their components or collectors
disagree about its type. Then the page shows all of them as untyped, each sample under its own name.

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

from noetl_metrics_sdk.exposition.samples import ExposedSample, PageFormat
from noetl_metrics_sdk.model.metric import INFO, STATE_SET

if TYPE_CHECKING:
    from collections.abc import Iterable

UNTYPED = "untyped"

# For each suffix: the label that only these samples have, and their place among the samples of a
# series.
_VALUE, _SUM, _COUNT, _CREATED = range(4)
_PARTS: dict[str, dict[str, tuple[str | None, int]]] = {
    "histogram": {"_bucket": ("le", _VALUE), "_sum": (None, _SUM), "_count": (None, _COUNT)},
    "summary": {"": ("quantile", _VALUE), "_sum": (None, _SUM), "_count": (None, _COUNT)},
}
_OWN_LABELS = {"histogram": "le", "summary": "quantile"}
# OpenMetrics 1.0, "Suffixes": with these suffixes a family's name belongs to that family alone.
_RESERVED = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "summary": ("_sum", "_count", "_created"),
    INFO: ("_info",),
}


class Claim(NamedTuple):
    """The family and the place in it that a sample has, by the sample's name and type."""

    family: str
    type: str
    own_label: str | None = None
    part: int = _VALUE


class Entry(NamedTuple):
    """A sample, and its place among the samples of its series."""

    part: int
    bound: float
    own_label: str | None
    sample: ExposedSample


SeriesKey = tuple[tuple[str, str], ...]


class Family(NamedTuple):
    """All samples of one name and type, by series, in the order of a page."""

    name: str
    type: str
    series: dict[SeriesKey, list[Entry]]


def families_of(
    samples: Iterable[ExposedSample], page_format: PageFormat
) -> tuple[list[Family], int]:
    """Return the families of a page, in the order of their names, and how many series are left out.

    Args:
        samples: the samples of the page, in any order. If a series of a counter or gauge has
            several, the first one counts.
        page_format: the format of the page.
    """
    claims: dict[tuple[str, str, bool], Claim] = {}
    claimed: list[tuple[ExposedSample, Claim]] = []
    for sample in samples:
        own_label = _OWN_LABELS.get(sample.type)
        has_bound = own_label is not None and sample.labels.bound(own_label) is not None
        known = (sample.name, sample.type, has_bound)
        claim = claims.get(known)
        if claim is None:
            claim = claims[known] = _claim(*known, page_format)
        claimed.append((sample, claim))
    settled = _settled({(name, claim) for (name, _, _), claim in claims.items()}, page_format)
    groups: dict[tuple[str, str], dict[SeriesKey, list[Entry]]] = defaultdict(dict)
    for sample, claim in claimed:
        shown, kind, own_label, part = settled[sample.name, claim]
        has_bound = own_label is not None and kind != STATE_SET
        bound = sample.labels.bound(own_label) if has_bound and own_label else math.inf
        assert bound is not None
        entry = Entry(part, bound, own_label, sample)
        groups[shown, kind].setdefault(sample.labels.key_without(own_label), []).append(entry)
    omitted_count = 0
    families: list[Family] = []
    for (name, kind), series in groups.items():
        omitted_count += _drop_invalid_series(kind, series)
        family = Family(name, kind, dict(sorted(series.items())))
        if page_format is PageFormat.OPENMETRICS and not _is_openmetrics(family):
            families += _untyped(family)
        else:
            families.append(family)
    return sorted([family for family in families if family.series], key=_order), omitted_count


def _order(family: Family) -> tuple[str, str]:
    return family.name, family.type


def _claim(name: str, kind: str, has_bound: bool, page_format: PageFormat) -> Claim:
    if kind == "counter" and page_format is PageFormat.OPENMETRICS:
        family = name.removesuffix("_total")
        return Claim(family, kind) if family not in {"", name} else Claim(name, UNTYPED)
    if kind in {INFO, STATE_SET}:
        return _claim_of_texts(name, kind, page_format)
    if kind not in _PARTS:
        return Claim(name, kind)
    for suffix, (own_label, part) in _PARTS[kind].items():
        family = name.removesuffix(suffix)
        if name.endswith(suffix) and family and (own_label is None or has_bound):
            return Claim(family, kind, own_label, part)
    return Claim(name, UNTYPED)


def _claim_of_texts(name: str, kind: str, page_format: PageFormat) -> Claim:
    """Return the claim of a sample of an info or of a state set, whose texts are labels."""
    if page_format is not PageFormat.OPENMETRICS:
        return Claim(name, "gauge")
    if kind == STATE_SET:
        return Claim(name, kind, name)
    family = name.removesuffix("_info")
    return Claim(family, kind) if family not in {"", name} else Claim(name, UNTYPED)


def _settled(
    claims: set[tuple[str, Claim]], page_format: PageFormat
) -> dict[tuple[str, Claim], Claim]:
    """Return the claim that each sample gets beside the others, by its name and its own claim."""
    final = {known: known[1] for known in claims}
    is_openmetrics = page_format is PageFormat.OPENMETRICS
    if is_openmetrics:
        _take_created(final)
    names: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for (sample_name, _), claim in final.items():
        reserved = _RESERVED.get(claim.type, ()) if is_openmetrics else ()
        for name in (claim.family, sample_name, *[claim.family + end for end in reserved]):
            names[name].add(claim[:2])
    contested = {family for found in names.values() if len(found) > 1 for family in found}
    return {
        known: Claim(known[0], UNTYPED) if claim[:2] in contested else claim
        for known, claim in final.items()
    }


def _take_created(claims: dict[tuple[str, Claim], Claim]) -> None:
    """Move the start times of series, which are gauges in the text format, into their families."""
    types: dict[str, set[str]] = defaultdict(set)
    for claim in claims.values():
        types[claim.family].add(claim.type)
    for known, claim in claims.items():
        family = known[0].removesuffix("_created")
        found = types.get(family, set())
        if claim.type == "gauge" and family != known[0] and len(found) == 1:
            (kind,) = found
            if "_created" in _RESERVED.get(kind, ()):
                claims[known] = Claim(family, kind, None, _CREATED)


def _drop_invalid_series(kind: str, series: dict[SeriesKey, list[Entry]]) -> int:
    """Drop series that are not whole, or that occur twice; return how many were dropped."""
    dropped = 0
    for key, entries in list(series.items()):
        if len(entries) > 1:
            entries.sort(key=lambda entry: entry[:2])
        if kind in _PARTS:
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
            is_valid = entries[0].part != _CREATED
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
    return entry.part == _CREATED or entry.sample.value >= 0  # False for NaN


def _is_histogram_sample(entry: Entry) -> bool:
    value = entry.sample.value
    if entry.part in {_VALUE, _COUNT}:
        return value.is_integer() and entry.bound >= 0
    return entry.part == _CREATED or value >= 0


def _is_summary_sample(entry: Entry) -> bool:
    value = entry.sample.value
    if entry.part == _VALUE:
        return 0 <= entry.bound <= 1 and not value < 0
    if entry.part == _COUNT:
        return value.is_integer() and value >= 0
    return entry.part == _CREATED or value >= 0


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
            by_name[entry.sample.name][entry.sample.labels.key_without(None)] = [
                Entry(_VALUE, math.inf, None, entry.sample)
            ]
    return [Family(name, UNTYPED, series) for name, series in by_name.items()]
