"""Write numbers as text, as Prometheus does: bounds of buckets, quantiles and values."""

from __future__ import annotations

import math


def format_bound(bound: float) -> str:
    """Return a bucket's bound as the text of the label `le`, in prometheus_client's notation."""
    if bound in (math.inf, -math.inf):
        return "+Inf" if bound > 0 else "-Inf"
    digits = repr(bound)
    point = digits.find(".")
    # Go writes numbers from a million on with an exponent, and every Prometheus client does as Go.
    if bound > 0 and "e" not in digits and point > 6:  # noqa: PLR2004
        mantissa = f"{digits[0]}.{digits[1:point]}{digits[point + 1 :]}".rstrip("0.")
        return f"{mantissa}e+{point - 1:02}"
    return digits


def format_value(value: float) -> str:
    """Return a value as the text format and OpenMetrics write it."""
    if math.isfinite(value):
        return repr(value)
    if math.isnan(value):
        return "NaN"
    return "+Inf" if value > 0 else "-Inf"
