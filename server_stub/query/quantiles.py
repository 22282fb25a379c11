"""Quantiles over time, from what the buckets of histograms have grown by."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from server_stub.histogram_quantile import histogram_quantile, parse_bound
from server_stub.query.series import Curve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BUCKET_LABEL = "le"
"""The label that tells the upper bound of a histogram's bucket."""

_SUFFIX = "_bucket"


def bucket_metric_name(metric_name: str) -> str:
    """Return the name of the rows of a histogram's buckets: with `_bucket` once."""
    return metric_name if metric_name.endswith(_SUFFIX) else metric_name + _SUFFIX


def quantile_curves(quantile: float, increases: Iterable[Curve]) -> list[Curve]:
    """Return the quantile of each group over time.

    Args:
        quantile: from 0 to 1.
        increases: the increase of each bucket, grouped by the groups' labels and, last, `le`. A
            bucket without a point at a time has not grown, as long as another of its group has
            one. Those without a bound are left out.
    """
    groups: dict[tuple[str, ...], dict[float, list[Curve]]] = {}
    for curve in increases:
        *group_values, label = curve.group_values
        bound = parse_bound(label)
        if bound is not None:
            by_bound = groups.setdefault(tuple(group_values), defaultdict(list))
            by_bound[bound].append(curve)
    return [
        _quantile_curve(quantile, group_values, by_bound)
        for group_values, by_bound in groups.items()
    ]


def _quantile_curve(
    quantile: float, group_values: Sequence[str], by_bound: dict[float, list[Curve]]
) -> Curve:
    counts_by_time: dict[float, dict[float, float]] = {}
    for bound, curves in by_bound.items():
        # One bound may be written in two ways: 1 and 1.0.
        for curve in curves:
            for time, count in zip(curve.times, curve.values, strict=True):
                counts = counts_by_time.setdefault(time, dict.fromkeys(by_bound, 0.0))
                counts[bound] += count
    times = sorted(counts_by_time)
    values = [histogram_quantile(quantile, counts_by_time[time]) for time in times]
    return Curve(group_values, times, values)
