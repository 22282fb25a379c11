"""Curves drawn with characters: dots of braille in colours, or a sign for each curve. Pure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SIGNS = "*+ox#@%&"
"""What the curves are drawn with where there are no colours."""

CURVES_MAX = len(SIGNS)

_BRAILLE = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot of a braille character, by row and column."""

_GAP_STEPS = 1.5
"""Points that are further apart have no line between them: a bucket without samples is a gap."""


class Cell(NamedTuple):
    """A character of a drawing, and the curve that it belongs to, or None."""

    character: str
    curve: int | None


class Scale(NamedTuple):
    """The range of an axis of values, with round ends."""

    low: float
    high: float
    tick: float

    def ticks(self) -> list[float]:
        """Return the values that the axis names, the lowest first."""
        count = round((self.high - self.low) / self.tick)
        return [self.low + number * self.tick for number in range(count + 1)]


class Frame(NamedTuple):
    """What a drawing shows: a range of times, how far its points are apart, and its scale."""

    start: float
    end: float
    step: float
    scale: Scale


def scale_of(values: Sequence[float], ticks_max: int) -> Scale:
    """Return a scale that holds all values; it begins at 0 unless they are far from it.

    Args:
        values: finite numbers; there may be none.
        ticks_max: the most values that the axis is to name.
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low > 0 and low < high * 0.6:
        low = 0.0
    if low == high:
        low, high = (0.0, high) if high > 0 else (low - 1, high + 1)
    tick = _round_tick((high - low) / max(ticks_max - 1, 1))
    return Scale(math.floor(low / tick) * tick, math.ceil(high / tick) * tick, tick)


def draw(
    curves: Sequence[Sequence[tuple[float, float]]],
    frame: Frame,
    width: int,
    height: int,
    *,
    is_braille: bool,
) -> list[list[Cell]]:
    """Return the rows of a drawing, the uppermost first.

    Args:
        curves: the points of each curve, as pairs of a time and a finite value.
        frame: what is shown.
        width: in characters.
        height: in characters.
        is_braille: whether a character has eight dots, or a curve a sign of its own.
    """
    across, down = (2, 4) if is_braille else (1, 1)
    dots: dict[tuple[int, int], int] = {}
    owners: dict[tuple[int, int], int] = {}
    for number, points in enumerate(curves):
        for x, y in _line_dots(points, frame, width * across, height * down):
            cell = (y // down, x // across)
            dots[cell] = dots.get(cell, 0) | (_DOTS[y % down][x % across] if is_braille else 0)
            owners[cell] = number
    return [
        [
            _cell(dots.get((row, column), 0), owners.get((row, column)), is_braille=is_braille)
            for column in range(width)
        ]
        for row in range(height)
    ]


def _cell(bits: int, owner: int | None, *, is_braille: bool) -> Cell:
    if owner is None:
        return Cell(" ", None)
    return Cell(chr(_BRAILLE + bits) if is_braille else SIGNS[owner % CURVES_MAX], owner)


def _line_dots(
    points: Sequence[tuple[float, float]], frame: Frame, width: int, height: int
) -> Iterator[tuple[int, int]]:
    """Yield the dots of a curve, as pairs of a column and a row from above."""
    before: tuple[float, int, int] | None = None
    for time, value in points:
        x = round((time - frame.start) / (frame.end - frame.start) * (width - 1))
        share = (value - frame.scale.low) / (frame.scale.high - frame.scale.low)
        y = round((1 - share) * (height - 1))
        if not 0 <= x < width:
            continue
        if before is not None and time - before[0] <= frame.step * _GAP_STEPS:
            yield from _between(before[1], before[2], x, y)
        yield x, y
        before = (time, x, y)


def _between(x0: int, y0: int, x1: int, y1: int) -> Iterator[tuple[int, int]]:
    count = max(abs(x1 - x0), abs(y1 - y0))
    for number in range(1, count):
        yield (round(x0 + (x1 - x0) * number / count), round(y0 + (y1 - y0) * number / count))


def _round_tick(size: float) -> float:
    """Return the next distance of ticks that is 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size * 0.999)
