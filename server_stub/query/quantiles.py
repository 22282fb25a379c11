"""Quantiles over time, from the increases of histograms' buckets. Pure.

A quantile is the `histogram_quantile` of PromQL for classic histograms
(https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile).

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from server_stub.query.series import Curve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BUCKET_LABEL = "le"
"""The label that tells the upper bound of a histogram's bucket."""

BUCKETS_LEAST = 2
"""One of them is the bucket up to infinity, which does not tell where its observations are."""

_SUFFIX = "_bucket"


def bucket_metric_name(metric_name: str) -> str:
    """Return the name of the rows of a histogram's buckets: with `_bucket` once."""
    return metric_name if metric_name.endswith(_SUFFIX) else metric_name + _SUFFIX


def quantile_curves(quantile: float, increases: Iterable[Curve]) -> list[Curve]:
    """Return the quantile of each group over time.

    Args:
        quantile: from 0 to 1.
        increases: the increase of each bucket, grouped by the groups' labels and, last, `le`. If a
            bucket has no point at a time, and another of its group has one, the bucket has not
            grown. Buckets without a bound are left out.
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
        # Clients may write one bound in two ways: 1 and 1.0.
        for curve in curves:
            for time, count in zip(curve.times, curve.values, strict=True):
                counts = counts_by_time.setdefault(time, dict.fromkeys(by_bound, 0.0))
                counts[bound] += count
    times = sorted(counts_by_time)
    values = [histogram_quantile(quantile, counts_by_time[time]) for time in times]
    return Curve(group_values, times, values)


def parse_bound(text: str) -> float | None:
    """Return the upper bound that a label `le` gives, or None if it gives none."""
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


def histogram_quantile(quantile: float, counts: Mapping[float, float]) -> float:
    """Return a quantile of the observations that a histogram has counted.

    Args:
        quantile: from 0 to 1.
        counts: how many observations are no greater than a bound, by upper bound.

    Returns:
        A value that is interpolated linearly within the bucket that the quantile falls in. The
        lowest bucket has the lower bound 0 if its upper bound is above 0. If the quantile falls
        above all bounds but infinity, the highest of these. NaN without an observation, or without
        a bucket up to infinity.
    """
    bounds = sorted(counts)
    if len(bounds) < BUCKETS_LEAST or bounds[-1] != math.inf:
        return math.nan
    heights = _never_falling([counts[bound] for bound in bounds])
    observations = heights[-1]
    if not observations > 0:
        return math.nan
    rank = quantile * observations
    place = next(place for place, height in enumerate(heights) if height >= rank)
    if place == len(bounds) - 1:
        return bounds[-2]
    if place == 0 and bounds[0] <= 0:
        return bounds[0]
    lower, below = (bounds[place - 1], heights[place - 1]) if place > 0 else (0.0, 0.0)
    within = heights[place] - below
    if not within > 0:  # the quantile 0, and nothing in the lowest bucket
        return math.nan
    # The addition may be rounded beyond the bound.
    return min(bounds[place], lower + (bounds[place] - lower) * ((rank - below) / within))


def _never_falling(heights: list[float]) -> list[float]:
    """Return cumulative counts that never fall; the counts of several processes may fall."""
    risen: list[float] = []
    highest = -math.inf
    for height in heights:
        highest = max(highest, height)
        risen.append(highest)
    return risen
