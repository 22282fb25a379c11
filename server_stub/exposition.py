"""The latest samples in the Prometheus text format 0.0.4. Pure: no I/O, no clock.

Every series gets the labels `runtime_id`, `component` and `component_type`. A label of the
sample's own that has one of these names becomes `exported_…`, as Prometheus itself names it.
Samples carry no timestamps: Prometheus takes a series with timestamps out of its handling of
stale series, and a value that has not changed is reported only once in a while.

Components may describe one name differently: the first help text, by runtime_id, is shown. Where
their types differ, or two families would share a sample's name, these families are shown as
untyped, each sample under its own name, which every parser takes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model import check_metric_name
from server_stub.exposed_labels import ExposedLabels, exposed_labels

if TYPE_CHECKING:
    from collections.abc import Iterable

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
_LABEL_AFTER_SUFFIX = {
    "histogram": {"_bucket": "le", "_sum": None, "_count": None},
    "summary": {"": "quantile", "_sum": None, "_count": None},
}


class LatestSample(NamedTuple):
    """The latest sample of one series, with the component that reported it.

    `labels` is JSON, as PostgreSQL writes it.
    """

    runtime_id: int
    component_name: str
    component_type: str
    metric_name: str
    metric_type: str
    metric_value: float
    labels: str | None
    help_text: str | None


class _Line(NamedTuple):
    """One sample of a family, as it is shown."""

    sort_key: tuple[object, ...]
    text: str
    help_text: str | None


class _Claim(NamedTuple):
    """The family that a sample belongs to by its name and type."""

    family: str
    type: str


def render(samples: Iterable[LatestSample]) -> str:
    """Return the page.

    Args:
        samples: at most one sample of each series. One whose name or label names the text
            format cannot hold is left out, and counted in a comment at the end of the page.
    """
    valid: list[tuple[LatestSample, ExposedLabels, _Claim]] = []
    known: dict[str, str] = {}
    omitted_count = 0
    for sample in samples:
        try:
            if sample.metric_name not in known:
                known[sample.metric_name] = check_metric_name(sample.metric_name)
            labels = exposed_labels(*sample[:3], sample.labels)
        except InvalidMetricError:
            omitted_count += 1
        else:
            valid.append((sample, labels, _claim(sample, labels)))
    contested = _contested({(sample.metric_name, claim) for sample, _, claim in valid})
    families: dict[_Claim, list[_Line]] = defaultdict(list)
    for sample, labels, claim in valid:
        family = _Claim(sample.metric_name, "untyped") if claim.family in contested else claim
        families[family].append(_line(sample, labels, family))
    page = [_render_family(family, families[family]) for family in sorted(families)]
    if omitted_count:
        page.append(f"# {omitted_count} series omitted: their names are not valid in this format\n")
    return "".join(page)


def format_value(value: float) -> str:
    """Return a value as the text format writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)


def _claim(sample: LatestSample, labels: ExposedLabels) -> _Claim:
    suffixes = _LABEL_AFTER_SUFFIX.get(sample.metric_type)
    if suffixes is None:
        return _Claim(sample.metric_name, sample.metric_type)
    for suffix, bound_label in suffixes.items():
        family = sample.metric_name.removesuffix(suffix)
        if not sample.metric_name.endswith(suffix) or not family:
            continue
        if bound_label is None or labels.bound(bound_label) is not None:
            return _Claim(family, sample.metric_type)
    return _Claim(sample.metric_name, "untyped")


def _contested(claims: Iterable[tuple[str, _Claim]]) -> set[str]:
    """Return the families that cannot stand beside the others under their own type."""
    by_name: dict[str, set[_Claim]] = defaultdict(set)
    for sample_name, claim in claims:
        by_name[claim.family].add(claim)
        by_name[sample_name].add(claim)
    return {claim.family for found in by_name.values() if len(found) > 1 for claim in found}


def _line(sample: LatestSample, labels: ExposedLabels, family: _Claim) -> _Line:
    suffix = sample.metric_name.removeprefix(family.family)
    bound_label = _LABEL_AFTER_SUFFIX.get(family.type, {}).get(suffix)
    bound = labels.bound(bound_label) if bound_label else None
    # The buckets or quantiles of one series first, by their bounds, then its sum and count.
    part = 0 if bound_label else 1 if suffix == "_sum" else 2
    key = (
        sample.runtime_id,
        labels.key_without(bound_label),
        part,
        math.inf if bound is None else bound,
    )
    text = f"{sample.metric_name}{{{labels.text}}} {format_value(sample.metric_value)}\n"
    return _Line(key, text, sample.help_text)


def _render_family(family: _Claim, lines: list[_Line]) -> str:
    lines.sort(key=lambda line: line.sort_key)
    help_text = next((line.help_text for line in lines if line.help_text), "")
    # A parser strips the ends of a help text, so blank ends would not come back anyway.
    head = [f"# HELP {family.family} {help_text.translate(_HELP_ESCAPES)}\n"] if help_text else []
    head.append(f"# TYPE {family.family} {family.type}\n")
    return "".join([*head, *[line.text for line in lines]])
