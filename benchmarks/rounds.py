"""Medians of interleaved rounds: a disturbance of the machine hits every contender alike."""

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
        contenders: each name, and the function that returns its figure.
        rounds: how many rounds.
    """
    names = list(contenders)
    figures: dict[Name, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in [*names[first:], *names[:first]]:
            gc.collect()
            gc.disable()  # as timeit does: the measurement is of the call
            try:
                figures[name].append(contenders[name]())
            finally:
                gc.enable()
    return {name: statistics.median(found) for name, found in figures.items()}
