"""The labels of a series as the text format shows them, made once and kept. Pure."""

from __future__ import annotations

import json
import math
from functools import lru_cache
from typing import TYPE_CHECKING

from noetl_metrics_sdk.model import check_label_name

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL_SETS_KEPT = 32_768
"""How many are kept between pages, of about a kilobyte each. More series than that are made anew
for every page."""

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class ExposedLabels:
    """The labels of one series: its own, and those of the component that reported it.

    Args:
        labels: name to value, in the order in which they are shown.
    """

    __slots__ = ("_keys", "_labels", "text")

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = labels
        self._keys: dict[str | None, tuple[tuple[str, str], ...]] = {}
        self.text = ",".join(
            f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()
        )
        """As they stand between the braces."""

    def bound(self, name: str) -> float | None:
        """Return the number that a label says, or None where it says none."""
        try:
            number = float(self._labels[name])
        except (KeyError, ValueError):
            return None
        return None if math.isnan(number) else number

    def key_without(self, name: str | None) -> tuple[tuple[str, str], ...]:
        """Return what tells the series from others, apart from one label, in a stable order."""
        key = self._keys.get(name)
        if key is None:
            key = tuple(sorted(pair for pair in self._labels.items() if pair[0] != name))
            self._keys[name] = key
        return key


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
        InvalidMetricError: the text format cannot hold a label's name.
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
