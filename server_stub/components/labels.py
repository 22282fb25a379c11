"""The labels of a series together with its component's, made once and kept. Pure.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import cast

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.exposition.samples import ExposedLabels
from noetl_metrics_sdk.model.names import check_label_name

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
        InvalidMetricError: a label has a name that a page cannot hold, or the labels are no JSON
            object that Python can read: another program has inserted the row.
    """
    labels: dict[str, str] = {}
    added = {
        "runtime_id": str(runtime_id),
        "component": component_name,
        "component_type": component_type,
    }
    found = _object_of(own or "{}")
    for name, value in found.items():
        check_label_name(name)
        shown = name
        while shown in added or (shown != name and shown in found):
            shown = "exported_" + shown
        labels[shown] = value if isinstance(value, str) else json.dumps(value)
    return ExposedLabels(labels | added)


def _object_of(text: str) -> dict[str, object]:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMetricError(f"the labels {text[:100]} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise InvalidMetricError(f"the labels {text[:100]} are not valid: they must be an object")
    return cast("dict[str, object]", found)
