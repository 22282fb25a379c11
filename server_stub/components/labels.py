"""The labels of a series with those of its component, made once and kept. Pure."""

from __future__ import annotations

import json
from functools import lru_cache

from noetl_metrics_sdk.exposition.samples import ExposedLabels
from noetl_metrics_sdk.model.names import check_label_name

LABEL_SETS_KEPT = 32_768
"""How many are kept between pages, of about a kilobyte each. More series than that are made anew
for every page."""


@lru_cache(LABEL_SETS_KEPT)
def exposed_labels(
    runtime_id: int, component_name: str, component_type: str, own: str | None
) -> ExposedLabels:
    """Return the labels under which a series is shown.

    Args:
        runtime_id: the component that reported it.
        component_name: its name.
        component_type: its type.
        own: the series' own labels, as JSON, or None.

    Raises:
        InvalidMetricError: a page cannot hold a label's name.
    """
    labels: dict[str, str] = {}
    added = {
        "runtime_id": str(runtime_id),
        "component": component_name,
        "component_type": component_type,
    }
    found: dict[str, object] = json.loads(own or "{}")
    for name, value in found.items():
        check_label_name(name)
        shown = name
        while shown in added or (shown != name and shown in found):
            shown = "exported_" + shown
        labels[shown] = value if isinstance(value, str) else json.dumps(value)
    return ExposedLabels(labels | added)
