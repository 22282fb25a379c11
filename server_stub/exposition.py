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

import json
import math
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model import check_label_name, check_metric_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_HELP_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n"})
_VALUE_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})
_LABEL_AFTER_SUFFIX = {
    "histogram": {"_bucket": "le", "_sum": None, "_count": None},
    "summary": {"": "quantile", "_sum": None, "_count": None},
}


class LatestSample(NamedTuple):
    """The latest sample of one series, with the component that reported it."""

    runtime_id: int
    component_name: str
    component_type: str
    metric_name: str
    metric_type: str
    metric_value: float
    labels: Mapping[str, object] | None
    help_text: str | None


class _Line(NamedTuple):
    """One sample of a family: `part` is the suffix, `bound` the value of `le` or `quantile`."""

    sort_key: tuple[object, ...]
    name: str
    labels: Mapping[str, str]
    value: float
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
    valid: list[tuple[LatestSample, dict[str, str], _Claim]] = []
    omitted_count = 0
    for sample in samples:
        try:
            check_metric_name(sample.metric_name)
            labels = _label(sample)
        except InvalidMetricError:
            omitted_count += 1
        else:
            valid.append((sample, labels, _claim(sample, labels)))
    contested = _contested([(sample.metric_name, claim) for sample, _, claim in valid])
    families: dict[_Claim, list[_Line]] = defaultdict(list)
    for sample, labels, claim in valid:
        untyped = _Claim(sample.metric_name, "untyped")
        family = untyped if claim.family in contested else claim
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


def _label(sample: LatestSample) -> dict[str, str]:
    labels: dict[str, str] = {}
    added = {
        "runtime_id": str(sample.runtime_id),
        "component": sample.component_name,
        "component_type": sample.component_type,
    }
    own = sample.labels or {}
    for name, value in own.items():
        check_label_name(name)
        shown = name
        while shown in added or (shown != name and shown in own):
            shown = "exported_" + shown
        labels[shown] = value if isinstance(value, str) else json.dumps(value)
    return labels | added


def _claim(sample: LatestSample, labels: Mapping[str, str]) -> _Claim:
    suffixes = _LABEL_AFTER_SUFFIX.get(sample.metric_type)
    if suffixes is None:
        return _Claim(sample.metric_name, sample.metric_type)
    for suffix, bound_label in suffixes.items():
        family = sample.metric_name.removesuffix(suffix)
        if not sample.metric_name.endswith(suffix) or not family:
            continue
        if bound_label is None or _is_number(labels.get(bound_label)):
            return _Claim(family, sample.metric_type)
    return _Claim(sample.metric_name, "untyped")


def _is_number(text: str | None) -> bool:
    try:
        return text is not None and not math.isnan(float(text))
    except ValueError:
        return False


def _contested(claims: Sequence[tuple[str, _Claim]]) -> set[str]:
    """Return the families that cannot stand beside the others under their own type."""
    by_name: dict[str, set[_Claim]] = defaultdict(set)
    for sample_name, claim in claims:
        by_name[claim.family].add(claim)
        by_name[sample_name].add(claim)
    return {claim.family for found in by_name.values() if len(found) > 1 for claim in found}


def _line(sample: LatestSample, labels: dict[str, str], family: _Claim) -> _Line:
    suffix = sample.metric_name.removeprefix(family.family)
    bound_label = _LABEL_AFTER_SUFFIX.get(family.type, {}).get(suffix)
    bound = float(labels[bound_label]) if bound_label else math.inf
    series = sorted((name, value) for name, value in labels.items() if name != bound_label)
    # The buckets or quantiles of one series first, by their bounds, then its sum and count.
    part = 0 if bound_label else 1 if suffix == "_sum" else 2
    sort_key = (sample.runtime_id, series, part, bound)
    return _Line(sort_key, sample.metric_name, labels, sample.metric_value, sample.help_text)


def _render_family(family: _Claim, lines: list[_Line]) -> str:
    lines.sort(key=lambda line: line.sort_key)
    help_text = next((line.help_text for line in lines if line.help_text), "")
    # A parser strips the ends of a help text, so blank ends would not come back anyway.
    head = [f"# HELP {family.family} {help_text.translate(_HELP_ESCAPES)}\n"] if help_text else []
    head.append(f"# TYPE {family.family} {family.type}\n")
    return "".join(head + [_render_line(line) for line in lines])


def _render_line(line: _Line) -> str:
    labels = ",".join(
        f'{name}="{value.translate(_VALUE_ESCAPES)}"' for name, value in line.labels.items()
    )
    return f"{line.name}{{{labels}}} {format_value(line.value)}\n"
