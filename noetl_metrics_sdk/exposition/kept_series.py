"""The series of this package's instruments, with what never changes of them kept between pages.

The labels as text and the order of the series are made once. When an instrument gets or loses label
sets, only the new ones are made, and what was kept of the others is forgotten.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.exposition.samples import ExposedLabels
from noetl_metrics_sdk.process.pacing import STEPS_BETWEEN_RESTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from noetl_metrics_sdk.instruments.instrument import Instrument
    from noetl_metrics_sdk.process.pacing import Pacer


_Order = tuple[tuple[str, str], ...]


class KeptSeries(NamedTuple):
    """The series of instruments that have one name, in the order of a page."""

    generations: tuple[int, ...]
    """How often each instrument's label sets had changed."""
    holders: Sequence[Instrument]
    """What holds the values of each series."""
    labels: Sequence[str]
    """The labels of each series as text, in braces; empty if there are none."""
    has_twins: bool
    """Whether two label sets differ by empty labels only, which a page does not show."""


def kept_series(
    instruments: Sequence[Instrument], before: KeptSeries | None, pacer: Pacer
) -> KeptSeries:
    """Return the series of instruments that have one name.

    Args:
        instruments: the instruments. There are several if they differ by their label names.
        before: the series of the same instruments on an earlier page, or None.
        pacer: rests during loops over many series.
    """
    # Read before the children are. If another thread makes a child meanwhile, the next page finds
    # that the generation has changed.
    generations = tuple([one.definition.generation for one in instruments])
    if before is not None and before.generations == generations:
        return before
    found = [holder for one in instruments for holder in one.holders()]
    texts: dict[int, str] = {}
    holders = found
    if before is not None:
        texts = dict(zip(map(id, before.holders), before.labels, strict=True))
        present = set(map(id, found))
        # What is nearly in order takes little time to sort.
        holders = [one for one in before.holders if id(one) in present] + [
            one for one in found if id(one) not in texts
        ]
    keyed: list[tuple[_Order, str, Instrument]] = []
    for some in slices(len(holders), pacer):
        keyed += [
            (_order(one), texts.get(id(one)) or ExposedLabels(labels_of(one)).text, one)
            for one in holders[some]
        ]
    keyed.sort(key=itemgetter(0))
    pacer.rest_if_due()
    has_twins = any(one == following for (one, *_), (following, *_) in pairwise(keyed))
    if has_twins:  # of twins the first one counts, in the order of the instruments
        places = {id(holder): place for place, holder in enumerate(found)}
        keyed.sort(key=lambda one: places[id(one[2])])
    return KeptSeries(
        generations,
        [holder for _, _, holder in keyed],
        [text for _, text, _ in keyed],
        has_twins,
    )


def labels_of(holder: Instrument) -> dict[str, str]:
    """Return the labels of what holds the values of a series."""
    return dict(zip(holder.definition.label_names, holder.label_values, strict=True))


def slices(count: int, pacer: Pacer) -> Iterator[slice]:
    """Yield the slices of a sequence of some length, and rest between them when it is due."""
    for start in range(0, count, STEPS_BETWEEN_RESTS):
        pacer.rest_if_due()
        yield slice(start, start + STEPS_BETWEEN_RESTS)


def _order(holder: Instrument) -> _Order:
    return tuple([pair for pair in sorted(labels_of(holder).items()) if pair[1]])
