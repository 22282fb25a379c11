"""Rows in the form in which PostgreSQL sends them for a page, made of samples."""

from __future__ import annotations

import math
import struct
from collections import defaultdict
from typing import TYPE_CHECKING

from server_stub.query.latest import LONG_SERIES_BYTES, LatestPage, SeriesOfName

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from server_stub.query.exposition import LatestSample

_INT8_TYPE, _TEXT_TYPE = 20, 25


def record_of(sample: LatestSample) -> bytes:
    """Return the record of a series, as `record_send` writes it."""
    texts = (
        sample.component_name, sample.component_type, sample.metric_type, sample.labels,
        sample.help_text, sample.unit,
    )  # fmt: skip
    written = struct.pack(">iiiq", 1 + len(texts), _INT8_TYPE, 8, sample.runtime_id)
    for text in texts:
        value = (text or "").encode()
        written += struct.pack(">ii", _TEXT_TYPE, -1 if text is None else len(value)) + value
    return written


def series_of_name(name: str, samples: Sequence[LatestSample]) -> SeriesOfName:
    """Return the samples of one name."""
    records = list(map(record_of, samples))
    times = [math.nan if one.taken_at is None else one.taken_at for one in samples]
    return SeriesOfName(
        len(samples),
        name,
        b"".join(records),
        struct.pack(f">{len(samples)}i", *map(len, records)),
        struct.pack(f">{len(samples)}d", *[one.metric_value for one in samples]),
        struct.pack(f">{len(samples)}d", *times),
    )


def latest_page(samples: Iterable[LatestSample]) -> LatestPage:
    """Return what `LatestSamples` reads if the table has these samples."""
    by_name: dict[tuple[str, bytes], list[LatestSample]] = defaultdict(list)
    for one in samples:
        record = record_of(one)
        by_name[one.metric_name, record if len(record) > LONG_SERIES_BYTES else b""].append(one)
    return LatestPage([series_of_name(name, found) for (name, _), found in by_name.items()], [], 0)
