"""The page of the server for Prometheus, made of what is known of its series. Pure: no I/O.

A name whose series have a family for themselves is written as it is known, with the values of now.
The SDK's `exposition` groups and checks all others.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.exposition.claims import kind_of, settled_claims
from noetl_metrics_sdk.exposition.page import Page, WrittenFamily, description
from noetl_metrics_sdk.exposition.page import render as rendered
from noetl_metrics_sdk.exposition.samples import PageFormat
from noetl_metrics_sdk.model.numbers import format_value
from server_stub.exposition.known_series import known_name
from server_stub.exposition.portioned_sort import sort_in_portions
from server_stub.exposition.series_rows import numbers
from server_stub.query.exposition import exposed_samples
from server_stub.query.latest import LONG_SERIES_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from noetl_metrics_sdk.exposition.claims import Claim, SampleKind
    from noetl_metrics_sdk.exposition.samples import ExposedSample
    from server_stub.exposition.known_pages import KnownPage
    from server_stub.exposition.known_series import KnownName, Place
    from server_stub.query.latest import LatestPage, SeriesOfName


class _Name(NamedTuple):
    """What a page has of one name, and what is known of it."""

    found: SeriesOfName
    known: KnownName


def render(
    latest: LatestPage, page_format: PageFormat, before: KnownPage
) -> tuple[Page, KnownPage]:
    """Return the page, and what is known of its series for the next one.

    Args:
        latest: what it shows.
        page_format: the format of the page.
        before: what is known of an earlier page, or nothing.
    """
    names: list[_Name] = []
    placed: list[tuple[Place, ExposedSample]] = []
    samples, invalid_count = exposed_samples(latest.samples)
    for found in latest.names:
        if len(found.series) > found.series_count * LONG_SERIES_BYTES:
            # Long texts would take much room if they were kept: these samples are made anew.
            known = known_name(found, None)
            placed += known.samples(found)
        else:
            known = known_name(found, before.get(found.metric_name))
            names.append(_Name(found, known))
        invalid_count += known.invalid_count
    written, others = _divided(names, placed, samples, page_format)
    page = rendered(others, page_format, invalid_count, written)
    return page, {one.found.metric_name: one.known for one in names}


def _divided(
    names: Sequence[_Name],
    placed: list[tuple[Place, ExposedSample]],
    samples: list[ExposedSample],
    page_format: PageFormat,
) -> tuple[list[WrittenFamily], list[ExposedSample]]:
    """Write the families that one name has for itself; return all other samples.

    The samples come in the order of their places: if a series is there twice, the first one counts.
    """
    kinds = [one.known.kinds for one in names]
    others = {kind_of(sample) for _, sample in placed} | set(map(kind_of, samples))
    claims = settled_claims({kind for found in [*kinds, others] for kind in found}, page_format)
    parts = Counter(claim[:2] for claim in claims.values())
    written: list[WrittenFamily] = []
    for one in names:
        is_own = not others.issuperset(one.known.kinds)
        family = _written(one, claims, parts, page_format) if is_own else None
        if family is not None:
            written.append(family)
        else:
            placed += one.known.samples(one.found)
    sort_in_portions(placed, lambda one: one[0])
    return written, [sample for _, sample in placed] + samples


def _written(
    name: _Name,
    claims: Mapping[SampleKind, Claim],
    parts: Mapping[tuple[str, str], int],
    page_format: PageFormat,
) -> WrittenFamily | None:
    """Return the family of a name, or None if `families` has to group or to check it."""
    known = name.known
    if not known.order:
        return None
    (kind,) = known.kinds
    family, family_type, _, _ = claims[kind]
    if family_type != kind[1] or parts[family, family_type] > 1:
        return None
    found = numbers(name.found.values)
    values = [found[place] for place in known.order]
    if (
        family_type == "counter"
        and page_format is PageFormat.OPENMETRICS
        and not all(value >= 0 for value in values)  # False for NaN
    ):
        return None
    # A sum is finite only if everything in it is. The sum of finite values may be infinite, too.
    texts = map(repr if math.isfinite(sum(values)) else format_value, values)
    lines = description(family, family_type, known.help_text, known.unit, page_format)
    lines += [
        f"{beginning}{text}\n" for beginning, text in zip(known.beginnings, texts, strict=True)
    ]
    return WrittenFamily(family, family_type, lines)
