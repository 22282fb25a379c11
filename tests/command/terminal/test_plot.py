"""Drawings of curves."""

from __future__ import annotations

import pytest

from noetl_metrics_cli.terminal.plot import Cell, Frame, Scale, draw, scale_of

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 9.0], Scale(0, 10, 5)),
        ([], Scale(0, 1, 0.5)),
        ([0.0, 0.0], Scale(-1, 1, 1)),
        ([7.0], Scale(0, 10, 5)),
        ([95.0, 100.0], Scale(95, 100, 5)),
        ([-3.0, 4.0], Scale(-5, 5, 5)),
    ],
)
def test_a_scale_has_round_ends_and_holds_all_values(values, expected):
    """It begins at 0, unless the values are far from it or below."""
    assert expected == scale_of(values, 3)
    assert all(expected.low <= value <= expected.high for value in values)


def test_a_scale_names_its_ticks():
    """The lowest comes first, and the last is the end."""
    assert [0, 5, 10] == Scale(0, 10, 5).ticks()


FRAME = Frame(0, 4, 1, Scale(0, 4, 1))


def drawn(*curves, is_braille=False):
    rows = draw(curves, FRAME, 5, 5, is_braille=is_braille)
    return ["".join(cell.character for cell in row) for row in rows]


def test_a_curve_goes_from_point_to_point():
    """The largest value is in the uppermost row, and a later curve covers an earlier one."""
    rising = [(time, float(time)) for time in range(5)]
    assert ["    *", "   * ", "  *  ", " *   ", "*    "] == drawn(rising)
    falling = [(time, 4.0 - time) for time in range(5)]
    assert ["+   *", " + * ", "  +  ", " * + ", "*   +"] == drawn(rising, falling)


def test_a_bucket_without_samples_is_a_gap():
    """Points that are further apart than a step have no line between them."""
    assert ["     ", "     ", "*  **", "     ", "     "] == drawn([(0, 2.0), (3, 2.0), (4, 2.0)])


def test_braille_has_eight_dots_in_a_character():
    """A character knows the curve that it belongs to."""
    (row, *_) = draw([[(0, 4.0)]], FRAME, 5, 5, is_braille=True)
    assert [Cell("\u2801", 0)] + [Cell(" ", None)] * 4 == row


def test_points_outside_of_the_range_are_left_out():
    """The server widens a range to whole buckets."""
    assert ["     "] * 5 == drawn([(-3, 2.0), (9, 2.0)])
