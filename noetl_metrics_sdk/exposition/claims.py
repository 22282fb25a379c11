"""Choose the family of each sample of a page, by the samples' names and types alone. Pure.

Each name belongs to one family. Two families would share a name if their components or collectors
disagree about its type. Then the page shows all of them as untyped, each sample under its own name.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.exposition.samples import PageFormat
from noetl_metrics_sdk.model.metric import INFO, STATE_SET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from noetl_metrics_sdk.exposition.samples import ExposedSample

UNTYPED = "untyped"

VALUE, SUM, COUNT, CREATED = range(4)
"""The place of a sample among the samples of its series."""

# For each suffix: the label that only these samples have, and their place among the samples of a
# series.
PARTS: dict[str, dict[str, tuple[str | None, int]]] = {
    "histogram": {"_bucket": ("le", VALUE), "_sum": (None, SUM), "_count": (None, COUNT)},
    "summary": {"": ("quantile", VALUE), "_sum": (None, SUM), "_count": (None, COUNT)},
}
OWN_LABELS = {"histogram": "le", "summary": "quantile"}
# OpenMetrics 1.0, "Suffixes": with these suffixes a family's name belongs to that family alone.
_RESERVED = {
    "counter": ("_total", "_created"),
    "histogram": ("_bucket", "_sum", "_count", "_created"),
    "summary": ("_sum", "_count", "_created"),
    INFO: ("_info",),
}


SampleKind = tuple[str, str, bool]
"""What decides about the family of a sample: its name, its type, and whether it has a bound, which
is a number in the label of its type's own, `le` or `quantile`."""


class Claim(NamedTuple):
    """The family and the place in it that a sample has."""

    family: str
    type: str
    own_label: str | None = None
    part: int = VALUE


def kind_of(sample: ExposedSample) -> SampleKind:
    """Return what decides about the family of a sample."""
    own_label = OWN_LABELS.get(sample.type)
    has_bound = own_label is not None and sample.labels.bound(own_label) is not None
    return sample.name, sample.type, has_bound


def settled_claims(kinds: Iterable[SampleKind], page_format: PageFormat) -> dict[SampleKind, Claim]:
    """Return the claim that each kind of sample gets beside the others.

    Args:
        kinds: every kind of sample that is on the page.
        page_format: the format of the page.
    """
    claims = {kind: _claim(*kind, page_format) for kind in kinds}
    is_openmetrics = page_format is PageFormat.OPENMETRICS
    if is_openmetrics:
        _take_created(claims)
    names: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for kind, claim in claims.items():
        reserved = _RESERVED.get(claim.type, ()) if is_openmetrics else ()
        for name in (claim.family, kind[0], *[claim.family + end for end in reserved]):
            names[name].add(claim[:2])
    contested = {family for found in names.values() if len(found) > 1 for family in found}
    return {
        kind: Claim(kind[0], UNTYPED) if claim[:2] in contested else claim
        for kind, claim in claims.items()
    }


def _claim(name: str, metric_type: str, has_bound: bool, page_format: PageFormat) -> Claim:
    if metric_type == "counter" and page_format is PageFormat.OPENMETRICS:
        family = name.removesuffix("_total")
        return Claim(family, metric_type) if family not in {"", name} else Claim(name, UNTYPED)
    if metric_type in {INFO, STATE_SET}:
        return _claim_of_texts(name, metric_type, page_format)
    if metric_type not in PARTS:
        return Claim(name, metric_type)
    for suffix, (own_label, part) in PARTS[metric_type].items():
        family = name.removesuffix(suffix)
        if name.endswith(suffix) and family and (own_label is None or has_bound):
            return Claim(family, metric_type, own_label, part)
    return Claim(name, UNTYPED)


def _claim_of_texts(name: str, metric_type: str, page_format: PageFormat) -> Claim:
    """Return the claim of a sample of an info or of a state set, whose texts are labels."""
    if page_format is not PageFormat.OPENMETRICS:
        return Claim(name, "gauge")
    if metric_type == STATE_SET:
        return Claim(name, metric_type, name)
    family = name.removesuffix("_info")
    return Claim(family, metric_type) if family not in {"", name} else Claim(name, UNTYPED)


def _take_created(claims: dict[SampleKind, Claim]) -> None:
    """Move the start times of series, which are gauges in the text format, into their families."""
    types: dict[str, set[str]] = defaultdict(set)
    for claim in claims.values():
        types[claim.family].add(claim.type)
    for kind, claim in claims.items():
        family = kind[0].removesuffix("_created")
        found = types.get(family, set())
        if claim.type == "gauge" and family != kind[0] and len(found) == 1:
            (metric_type,) = found
            if "_created" in _RESERVED.get(metric_type, ()):
                claims[kind] = Claim(family, metric_type, None, CREATED)
