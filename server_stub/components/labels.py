"""The labels of a series together with its component's, made once and kept. Pure.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import json
from functools import lru_cache

from noetl_metrics_sdk.exposition.samples import ExposedLabels
from noetl_metrics_sdk.model.names import check_label_name, exported_name

ADDED_LABELS = ("runtime_id", "component", "component_type")
"""The labels that every series gets from its component, on pages and in a time-series database."""

LABEL_SETS_KEPT = 32_768
"""How many sets of labels the server keeps between pages, of about a kilobyte each. If there are
more series, it makes labels anew for every page."""


@lru_cache(LABEL_SETS_KEPT)
def exposed_labels(
    runtime_id: int, component_name: str, component_type: str, own: str | None
) -> ExposedLabels:
    """Return the labels under which a page shows a series.

    Args:
        runtime_id: the id of the component that reported the series.
        component_name: the component's name.
        component_type: the component's type.
        own: the series' own labels, as JSON, or None.

    Raises:
        InvalidMetricError: a label has a name that a page cannot hold.
    """
    labels: dict[str, str] = {}
    added = dict(zip(ADDED_LABELS, (str(runtime_id), component_name, component_type), strict=True))
    found: dict[str, object] = json.loads(own or "{}")
    for name, value in found.items():
        check_label_name(name)
        labels[exported_name(name, ADDED_LABELS)] = (
            value if isinstance(value, str) else json.dumps(value)
        )
    return ExposedLabels(labels | added)
