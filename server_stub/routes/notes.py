"""Notes beside an answer: what there is instead, where it is empty or a number has no meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from server_stub.catalog.labels import COUNT_SUFFIX, OF_A_FAMILY
from server_stub.query.quantiles import bucket_metric_name
from server_stub.web.near_names import said_instead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from server_stub.query.descriptions import Descriptions
    from server_stub.query.series import Curve

_OF_COMPONENTS = frozenset({"runtime_id", "component_name", "component_type"})
_SHOWN_CHARACTERS_MAX = 100
_FOR_GAUGES = "use avg, min, max, sum or last"


async def notes_on_name(descriptions: Descriptions, metric_name: str) -> list[str]:
    """Return why an answer about a metric is empty.

    Args:
        descriptions: tells which metrics there are.
        metric_name: the name that the client asked for.
    """
    shown = repr(metric_name[:_SHOWN_CHARACTERS_MAX])
    if (await descriptions.describe(metric_name)).types:
        return [f"the metric {shown} has samples, but none in this range for these filters"]
    return [f"there is no metric {shown}: {said_instead(metric_name, await descriptions.names())}"]


async def notes_on_labels(descriptions: Descriptions, metric_name: str) -> list[str]:
    """Return why a metric has no labels.

    Args:
        descriptions: tells which metrics there are.
        metric_name: the name that the client asked for, or that of a histogram or summary.
    """
    count_name = metric_name + COUNT_SUFFIX
    is_family = {*OF_A_FAMILY} & {*(await descriptions.describe(count_name)).types}
    return await notes_on_name(descriptions, count_name if is_family else metric_name)


async def notes_on_chart(
    descriptions: Descriptions,
    metric_name: str,
    aggregation: str,
    group_by: Sequence[str],
    curves: Sequence[Curve],
) -> list[str]:
    """Return what a chart does not show, and why.

    Args:
        descriptions: tells which metrics there are.
        metric_name: the name that the client asked for.
        aggregation: the aggregation.
        group_by: the labels that make the groups.
        curves: the groups.
    """
    shown = repr(metric_name[:_SHOWN_CHARACTERS_MAX])
    if not curves:
        asked = metric_name
        if aggregation == "quantile":
            asked = bucket_metric_name(metric_name)
            types = (await descriptions.describe(metric_name)).types
            if types and "histogram" not in types:
                kind = " or ".join(types)
                return [f"{shown} is a {kind}, and a quantile is of a histogram: {_FOR_GAUGES}"]
        return await notes_on_name(descriptions, asked)
    missing = [
        name
        for place, name in enumerate(group_by)
        if name not in _OF_COMPONENTS and not any(curve.group_values[place] for curve in curves)
    ]
    is_growth = aggregation in {"rate", "increase"}
    if not (missing or is_growth):
        return []
    described = await descriptions.describe(metric_name)
    notes = [
        f"no series of {shown} has the label {name!r}: {said_instead(name, described.label_names)}"
        for name in missing
        if described.label_names and name not in described.label_names
    ]
    if is_growth and described.types == ["gauge"]:
        notes.append(f"{shown} is a gauge, and its {aggregation} has no meaning: {_FOR_GAUGES}")
    return notes
