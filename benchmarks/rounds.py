"""Medians of interleaved rounds: what disturbs the machine disturbs every contender alike."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Hashable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Name = TypeVar("Name", bound=Hashable)


def medians(contenders: Mapping[Name, Callable[[], float]], rounds: int) -> dict[Name, float]:
    """Return each contender's median over the rounds.

    Every round asks each contender once, and each round begins with another one.

    Args:
        contenders: a name and what is measured: returns a figure.
        rounds: how many rounds.
    """
    names = list(contenders)
    figures: dict[Name, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            gc.collect()
            gc.disable()  # as timeit does: what is measured is the call
            try:
                figures[name].append(contenders[name]())
            finally:
                gc.enable()
    return {name: statistics.median(found) for name, found in figures.items()}
