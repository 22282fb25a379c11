"""A quantile from the cumulative counts of a histogram's buckets. Pure.

It is the `histogram_quantile` of PromQL for classic histograms
(https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BUCKETS_LEAST = 2
"""One of them is that up to infinity, which says nothing of where its observations are."""


def parse_bound(text: str) -> float | None:
    """Return the upper bound that a label `le` says, or None where it says none."""
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound


def histogram_quantile(quantile: float, counts: Mapping[float, float]) -> float:
    """Return a quantile of the observations that a histogram has counted.

    Args:
        quantile: from 0 to 1.
        counts: upper bound to how many observations are no greater.

    Returns:
        A value interpolated linearly within the bucket that the quantile falls in, whose lower
        bound is 0 if it is the lowest one and its upper bound is above 0. The highest bound but
        infinity where it falls above all others. NaN without an observation or without a bucket
        up to infinity.
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
    return lower + (bounds[place] - lower) * ((rank - below) / within)


def _never_falling(heights: list[float]) -> list[float]:
    """Return cumulative counts that never fall: those of several processes may come apart."""
    risen: list[float] = []
    highest = -math.inf
    for height in heights:
        highest = max(highest, height)
        risen.append(highest)
    return risen
