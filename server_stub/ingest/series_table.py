"""The series that each component has reported: checked and encoded once, and bounded. Pure.

A series comes with every batch, so the server keeps the part of its rows that never changes. A
sample then costs the server a look-up and two numbers. The limit on series goes by this table, and
each server process has a table of its own.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from noetl_metrics_sdk.model.metric import MetricType
from noetl_metrics_sdk.model.names import check_label_name, check_metric_name, check_text
from server_stub.ingest.body_values import has_more_members
from server_stub.ingest.copy_format import row_tail

if TYPE_CHECKING:
    from datetime import date

SERIES_CACHED_MAX = 300_000
"""How many series the server keeps for all components, at some 600 bytes each. Beyond that it
forgets the component that has been silent for longest, and counts it anew when it comes back."""

SERIES_KEPT_BYTES_MAX = 4096
"""The server keeps the encoded row of a series up to this size. Of a larger one it keeps a digest,
for the count, and encodes it anew each time."""

CACHED_BYTES_MAX = 192 * 1024 * 1024
"""How many bytes the kept series of all components take."""

SERIES_OVERHEAD_BYTES = 400
"""What a kept series takes besides its texts."""

LABELS_DECODED_MAX = 1000
"""So many labels more than are allowed are still decoded, to say how many there are."""

_TYPES = frozenset(metric_type.value for metric_type in MetricType)
_labels_decoder = msgspec.json.Decoder(dict[str, str])
_encode_json = msgspec.json.Encoder().encode

SeriesKey = tuple[str, str, bytes, str | None, str | None]
"""Name, type, labels as the client wrote them, help text and unit."""


class SeriesLimits(NamedTuple):
    """How large a series may be, and how many a component may have.

    A series has at most `labels_max` labels. The value of a label, the help text and the unit have
    at most `text_length_max` characters each. A component has at most `series_max` series in one
    UTC day.
    """

    labels_max: int
    text_length_max: int
    series_max: int


class ComponentSeries:
    """The series of one component in one UTC day.

    `tails` has the end of the rows of each series that is kept, and `others` a digest of each other
    one. `size_bytes` is what the kept ones take.
    """

    __slots__ = ("day", "others", "size_bytes", "tails")

    def __init__(self, day: date) -> None:
        self.day = day
        self.tails: dict[SeriesKey, bytes] = {}
        self.others: set[bytes] = set()
        self.size_bytes = 0

    @property
    def count(self) -> int:
        """How many series there are."""
        return len(self.tails) + len(self.others)


class SeriesTable:
    """The series of every component.

    Args:
        limits: how large a series may be, and how many a component may have.
        cached_max: how many series the table keeps.
        cached_bytes_max: how many bytes those that it keeps take.
    """

    def __init__(
        self,
        limits: SeriesLimits,
        cached_max: int = SERIES_CACHED_MAX,
        cached_bytes_max: int = CACHED_BYTES_MAX,
    ) -> None:
        self._limits = limits
        self._cached_max = cached_max
        self._cached_bytes_max = cached_bytes_max
        self._cached = 0
        self.cached_bytes = 0
        # The component that has reported last comes last.
        self._by_component: dict[int, ComponentSeries] = {}

    def of(self, runtime_id: int, day: date) -> ComponentSeries:
        """Return the series of a component in a UTC day."""
        found = self._by_component.pop(runtime_id, None)
        if found is None or found.day != day:
            if found is not None:
                self._forget(found)
            found = ComponentSeries(day)
        self._by_component[runtime_id] = found
        return found

    def add(self, runtime_id: int, day: date, key: SeriesKey) -> bytes:
        """Check a series that `tails` does not have; return the end of its rows.

        `tails` keeps it from now on, unless it is too large or there is no room.

        Raises:
            ValueError: the series cannot be stored, or is one too many; the message says what is
                right.
        """
        component = self.of(runtime_id, day)
        is_full = component.count >= self._limits.series_max
        if is_full and not component.others:
            raise self._too_many()
        tail = _encode_series(key, self._limits)
        digest = _digest(tail) if component.others else b""
        if digest in component.others:
            return tail
        if is_full:
            raise self._too_many()
        size_bytes = SERIES_OVERHEAD_BYTES + len(key[2]) + len(tail)
        is_kept = size_bytes <= SERIES_KEPT_BYTES_MAX
        self._cached += 1
        self._make_room(size_bytes if is_kept else 0)
        if is_kept and self.cached_bytes + size_bytes <= self._cached_bytes_max:
            component.tails[key] = tail
            component.size_bytes += size_bytes
            self.cached_bytes += size_bytes
        else:
            component.others.add(digest or _digest(tail))
        return tail

    def _too_many(self) -> ValueError:
        return ValueError(
            f"the runtime has reported {self._limits.series_max} series today, and no more are "
            "allowed: use fewer label values, or raise the server's --series-per-runtime-max"
        )

    def _make_room(self, size_bytes: int) -> None:
        while len(self._by_component) > 1 and (
            self._cached > self._cached_max
            or self.cached_bytes + size_bytes > self._cached_bytes_max
        ):
            silent_longest = next(iter(self._by_component))
            self._forget(self._by_component.pop(silent_longest))

    def _forget(self, component: ComponentSeries) -> None:
        self._cached -= component.count
        self.cached_bytes -= component.size_bytes


def _encode_series(key: SeriesKey, limits: SeriesLimits) -> bytes:
    metric_name, metric_type, labels_json, help_text, unit = key
    check_metric_name(metric_name)
    if metric_type not in _TYPES:
        raise ValueError(
            f"metric_type {metric_type[:60]!r} is not valid: use one of {', '.join(MetricType)}"
        )
    if has_more_members(labels_json, limits.labels_max + LABELS_DECODED_MAX):
        raise ValueError(
            f"the sample has thousands of labels: at most {limits.labels_max} are allowed"
        )
    labels = {} if labels_json in {b"", b"null"} else _labels_decoder.decode(labels_json)
    if len(labels) > limits.labels_max:
        raise ValueError(
            f"the sample has {len(labels)} labels: at most {limits.labels_max} are allowed"
        )
    for name, value in labels.items():
        check_label_name(name)
        _check_length(f"label {name!r}", value, limits)
    for what, text in (("help_text", help_text), ("unit", unit)):
        if text is not None:
            _check_length(what, text, limits)
    return row_tail(metric_name, metric_type, _encode_json(labels), help_text, unit)


def _digest(tail: bytes) -> bytes:
    return hashlib.blake2b(tail, digest_size=16).digest()


def _check_length(what: str, text: str, limits: SeriesLimits) -> None:
    if len(text) > limits.text_length_max:
        raise ValueError(
            f"{what} has {len(text)} characters, beginning with {text[:40]!r}: "
            f"at most {limits.text_length_max} are allowed"
        )
    # The search for what cannot be stored takes forty times as long as this look.
    if not text.isascii() or "\x00" in text:
        check_text(what, text)
