"""A sort in portions, between which other threads run. Pure: no I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Item = TypeVar("_Item")

PORTION = 10_000
"""How many items are sorted at once. 40,000 keys of series take 28 ms in one sort; they take 6 ms
in each portion, and 11 ms in the sort that merges the portions."""


def sort_in_portions(items: list[_Item], key: Callable[[_Item], Any]) -> None:
    """Sort a list in place, as `list.sort` does.

    No other thread runs while Python sorts texts, not even the event loop's.

    Args:
        items: the list.
        key: returns what an item is sorted by.
    """
    for start in range(0, len(items), PORTION):
        items[start : start + PORTION] = sorted(items[start : start + PORTION], key=key)
    # Python's sort finds the portions, which are sorted, and only merges them.
    if len(items) > PORTION:
        items.sort(key=key)
