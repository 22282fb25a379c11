"""The labels of a series together with its component's, made once and kept. Pure.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import json
from typing import cast

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.exposition.samples import ExposedLabels
from noetl_metrics_sdk.model.names import check_label_name, exported_name

ADDED_LABELS = ("runtime_id", "component", "component_type")
"""The labels that every series gets from its component, on pages and in a time-series database."""

KEPT_BYTES_MAX = 32 * 1024 * 1024
"""How many bytes the sets of labels take that the server keeps between pages. The server
makes others anew for every page."""

SET_OVERHEAD_BYTES = 1000
COPIES = 4
"""How many times a kept set has its texts: by themselves, together, as JSON, and in the key."""

_Key = tuple[int, str, str, str | None]


class LabelSets:
    """The sets of labels that are kept, in two generations.

    When the younger one has half of the bytes, it becomes the older one, which is forgotten: by
    each set that comes, as many bytes as that set has, since no other thread runs while a
    dictionary frees all that it has. Pages are made in threads, several at once. Without a lock a
    set may be made twice, and count twice.

    Args:
        bytes_max: how many bytes they take.
    """

    def __init__(self, bytes_max: int) -> None:
        self._generation_bytes_max = bytes_max // 2
        self._younger: dict[_Key, ExposedLabels] = {}
        self._older: dict[_Key, ExposedLabels] = {}
        self._forgotten: dict[_Key, ExposedLabels] = {}
        self._younger_bytes = 0

    def __len__(self) -> int:
        return len(self._younger) + len(self._older) + len(self._forgotten)

    def get(self, key: _Key) -> ExposedLabels | None:
        """Return the set of a key, or None if it is not kept."""
        found = self._younger.get(key)
        if found is None:
            found = self._older.get(key)
            if found is not None:
                self.keep(key, found)
        return found

    def keep(self, key: _Key, labels: ExposedLabels) -> None:
        """Keep a set, and forget those that have to make room for it."""
        size_bytes = _size_bytes(key)
        if self._younger_bytes + size_bytes > self._generation_bytes_max:
            self._forgotten, self._older, self._younger = self._older, self._younger, {}
            self._younger_bytes = 0
        self._younger[key] = labels
        self._younger_bytes += size_bytes
        self._forget(size_bytes)

    def _forget(self, size_bytes: int) -> None:
        while size_bytes > 0:
            try:
                key, _ = self._forgotten.popitem()
            except KeyError:
                return
            size_bytes -= _size_bytes(key)


def _size_bytes(key: _Key) -> int:
    return SET_OVERHEAD_BYTES + COPIES * len(key[3] or "")


_label_sets = LabelSets(KEPT_BYTES_MAX)


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
    key = (runtime_id, component_name, component_type, own)
    exposed = _label_sets.get(key)
    if exposed is None:
        exposed = ExposedLabels(_exposed(*key))
        _label_sets.keep(key, exposed)
    return exposed


def _exposed(
    runtime_id: int, component_name: str, component_type: str, own: str | None
) -> dict[str, str]:
    labels: dict[str, str] = {}
    added = dict(zip(ADDED_LABELS, (str(runtime_id), component_name, component_type), strict=True))
    for name, value in _object_of(own or "{}").items():
        check_label_name(name)
        labels[exported_name(name, ADDED_LABELS)] = (
            value if isinstance(value, str) else json.dumps(value)
        )
    return labels | added


def _object_of(text: str) -> dict[str, object]:
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMetricError(f"the labels {text[:100]} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise InvalidMetricError(f"the labels {text[:100]} are not valid: they must be an object")
    return cast("dict[str, object]", found)
