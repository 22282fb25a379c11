"""A sort in portions."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from server_stub.exposition.portioned_sort import PORTION, sort_in_portions


@dataclass
class Counted:
    """A number that counts in how many comparisons it and others took part, sort by sort."""

    number: float
    comparisons: list[int]

    def __lt__(self, other: Counted) -> bool:
        self.comparisons[-1] += 1
        return self.number < other.number


@pytest.mark.parametrize("count", [0, 1, PORTION, PORTION + 1, 3 * PORTION + 17])
def test_a_sort_in_portions_is_a_sort(count: int) -> None:
    """It gives the order of `sorted`, in which equal items stay in their order."""
    source = random.Random(count)
    items = [(source.randrange(count), number) for number in range(count)]
    expected = sorted(items, key=lambda item: item[0])
    sort_in_portions(items, lambda item: item[0])
    assert items == expected


def test_no_sort_of_a_portion_takes_as_long_as_a_whole_sort() -> None:
    """Of four portions, no sort compares items half as often as one sort of all of them."""
    source = random.Random(1)
    comparisons = [0]
    items = [Counted(source.random(), comparisons) for _ in range(4 * PORTION)]
    sorted(items)
    whole = comparisons[0]

    def key(item: Counted) -> Counted:
        # A sort asks for all keys before it compares any.
        if comparisons[-1]:
            comparisons.append(0)
        return item

    sort_in_portions(items, key)
    assert len(comparisons) == 1 + 4 + 1
    assert max(comparisons[1:]) < whole / 2
