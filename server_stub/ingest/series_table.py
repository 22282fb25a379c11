"""The series that are alive: checked and encoded once, and bounded. Pure: no I/O, no clock.

A series comes with every batch, so the server keeps the part of its rows that never changes. A
sample then costs the server a look-up and two numbers. The limit on series goes by this table, and
each server process has a table of its own.

The table has two generations. A new series goes into the younger one, and so does a series of the
older one that is reported again. When the younger generation is an hour old, or has half of the
bytes that the table may have, it becomes the older one, and the older one is forgotten.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from noetl_metrics_sdk.model.metric import MetricType, without_empty
from noetl_metrics_sdk.model.names import (
    NAME_LENGTH_MAX,
    check_label_name,
    check_metric_name,
    check_text,
)
from server_stub.ingest.body_values import has_more_members
from server_stub.ingest.copy_format import description_fields, labels_field, name_fields
from server_stub.ingest.rejection import RejectKind, SampleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GENERATION_AGE_MAX = timedelta(hours=1)
"""A series counts as alive until it has not been reported for one or two of these."""

SERIES_BYTES_MAX = 192 * 1024 * 1024
"""How much memory the table may take. Series that are reported beyond that are encoded anew."""

SERIES_KEPT_BYTES_MAX = 4096
"""The table keeps a series whose texts have up to this size. Of a larger one it keeps a digest, for
the count, and the server encodes it anew each time."""

LABELS_DECODED_MAX = 1000
"""So many labels more than are allowed are still decoded, to say how many there are."""

CHARACTER_BYTES_MAX = 12
"""A character of four bytes is written as two escapes of JSON, such as `\\ud83d\\ude00`."""

DESCRIPTIONS_KEPT_MAX = 512
"""Of so many names with their types, help texts and units the server keeps what it has made."""

LABEL_NAMES_KEPT_MAX = 1024
"""So many names of labels are remembered as valid, each of 255 characters at most."""

_SERIES_OVERHEAD_BYTES = 600
"""What Python needs for a series besides its texts: two dictionary entries and eight objects."""

_PROCESS_OVERHEAD_BYTES = 300

PROCESS_LABEL = "worker_id"
"""The label by which the SDK tells the processes of a component apart."""

_NEVER = datetime.min.replace(tzinfo=UTC)
_TYPES = frozenset(metric_type.value for metric_type in MetricType)
_labels_decoder = msgspec.json.Decoder(dict[str, str])
_encode_json = msgspec.json.Encoder().encode
_check_label_name = lru_cache(LABEL_NAMES_KEPT_MAX)(check_label_name)

SeriesKey = tuple[str, str, bytes, str | None, str | None]
"""Name, type, labels as the client wrote them, help text and unit."""

KeptKey = SeriesKey | bytes
"""The key of a series, or its digest if the key is too large to be kept."""


class SeriesLimits(NamedTuple):
    """How large a series may be, and how many a process may have.

    A series has at most `labels_max` labels. The value of a label, the help text and the unit have
    at most `text_length_max` characters each. A process has at most `series_max` series alive.
    """

    labels_max: int
    text_length_max: int
    series_max: int

    @property
    def texts_bytes_max(self) -> int:
        """How many bytes the texts of a series may have, however a client has written them."""
        longest = NAME_LENGTH_MAX + self.text_length_max + len('"":"",')
        empty = LABELS_DECODED_MAX * (NAME_LENGTH_MAX + len('"":"",'))
        return CHARACTER_BYTES_MAX * (self.labels_max + 2) * longest + empty


class Process(NamedTuple):
    """A process of a component; samples without `PROCESS_LABEL` are of the process ""."""

    runtime_id: int
    worker_id: str


class Fullness(NamedTuple):
    """How many series a process has alive, of how many it may have, and the name of the newest."""

    process: Process
    metric_name: str
    series: int
    series_max: int


class _Generation:
    """The series that were new, or were reported again, since `began_at`."""

    __slots__ = ("began_at", "by_component", "by_process", "size_bytes")

    def __init__(self, began_at: datetime) -> None:
        self.began_at = began_at
        self.by_component: defaultdict[int, dict[KeptKey, bytes]] = defaultdict(dict)
        self.by_process: defaultdict[Process, int] = defaultdict(int)
        self.size_bytes = 0

    def add(self, process: Process, key: KeptKey, tail: bytes, size_bytes: int) -> None:
        self.by_component[process.runtime_id][key] = tail
        if process not in self.by_process:
            self.size_bytes += _PROCESS_OVERHEAD_BYTES + 4 * len(process.worker_id)
        self.by_process[process] += 1
        self.size_bytes += size_bytes


class SeriesTable:
    """The series of every component.

    Args:
        limits: how large a series may be, and how many a process may have.
        on_fullness: is told when a process has half of the series that it may have, and all.
        bytes_max: how much memory the table may take.
    """

    def __init__(
        self,
        limits: SeriesLimits,
        on_fullness: Callable[[Fullness], None] | None = None,
        bytes_max: int = SERIES_BYTES_MAX,
    ) -> None:
        self._limits = limits
        self._texts_bytes_max = limits.texts_bytes_max
        self._on_fullness = on_fullness
        self._bytes_max = bytes_max
        self._older = _Generation(_NEVER)
        self._younger = _Generation(_NEVER)

    def of(self, runtime_id: int, now: datetime) -> Mapping[KeptKey, bytes]:
        """Return the ends of the rows of a component's series, as far as they are at hand.

        A series that is missing there may be alive all the same: `add` knows.
        """
        # If the clock was set back, the generation is as old as it was set back.
        age = abs(now - self._younger.began_at)
        if age >= 2 * GENERATION_AGE_MAX:
            self._older = _Generation(now)
            self._younger = _Generation(now)
        elif age >= GENERATION_AGE_MAX:
            self._begin_generation(now)
        # A component gets its place with its first series: of rejected samples nothing stays.
        return self._younger.by_component.get(runtime_id, {})

    def add(self, runtime_id: int, key: SeriesKey) -> bytes:
        """Return the end of the rows of a series that `of` did not have, and keep it.

        Raises:
            ValueError: the series cannot be stored, or is one too many; the message says what is
                right.
        """
        length = _texts_length(key)
        if length > self._texts_bytes_max:
            # Neither a digest is made of them, nor an object: both would take long.
            raise SampleError(
                RejectKind.TOO_LARGE,
                f"the sample has labels, a help text and a unit of {length} bytes: use at most "
                f"{self._limits.labels_max} labels, and at most {self._limits.text_length_max} "
                "characters for each text",
            )
        is_large = length > SERIES_KEPT_BYTES_MAX
        kept_key = _digest(key) if is_large else key
        tail = self._younger.by_component.get(runtime_id, {}).get(kept_key)
        if tail:
            return tail
        labels = _labels_of(key, self._limits)
        if tail is not None:
            return _encode_series(key, labels, self._limits)
        process = Process(runtime_id, labels.get(PROCESS_LABEL, ""))
        # Not every component of the younger generation is in the older one.
        older = self._older.by_component.get(runtime_id, {})
        if kept_key in older:
            tail = older.pop(kept_key) or _encode_series(key, labels, self._limits)
            self._older.by_process[process] -= 1
        else:
            tail = self._encode_new(process, key, labels)
        kept_tail, kept_length = (b"", len(kept_key)) if is_large else (tail, length)
        size_bytes = _SERIES_OVERHEAD_BYTES + kept_length + len(kept_tail)
        self._younger.add(process, kept_key, kept_tail, size_bytes)
        if self._younger.size_bytes > self._bytes_max // 2:
            self._begin_generation(self._younger.began_at)
        return tail

    def _encode_new(self, process: Process, key: SeriesKey, labels: dict[str, str]) -> bytes:
        alive, series_max = self.alive(process) + 1, self._limits.series_max
        if alive > series_max:
            raise SampleError(RejectKind.TOO_MANY_SERIES, _one_too_many(process, series_max))
        tail = _encode_series(key, labels, self._limits)
        if self._on_fullness is not None and alive in {(series_max + 1) // 2, series_max}:
            self._on_fullness(Fullness(process, key[0], alive, series_max))
        return tail

    @property
    def size_bytes(self) -> int:
        """How much memory the table takes, by its own account."""
        return self._younger.size_bytes + self._older.size_bytes

    def alive(self, process: Process) -> int:
        """Return how many series of a process are alive."""
        return self._younger.by_process.get(process, 0) + self._older.by_process.get(process, 0)

    def fullest_ratio(self) -> float:
        """Return what part of its limit the process has that has the most series."""
        processes = self._younger.by_process.keys() | self._older.by_process.keys()
        return max(map(self.alive, processes), default=0) / self._limits.series_max

    def _begin_generation(self, now: datetime) -> None:
        self._older = self._younger
        self._younger = _Generation(now)


def _one_too_many(process: Process, series_max: int) -> str:
    named = f"{PROCESS_LABEL} {process.worker_id[:60]!r}" if process.worker_id else "no worker_id"
    return (
        f"the process with {named} has reported {series_max} series within the last hour, and no "
        "more are allowed: use fewer label values, give each process a worker_id of its own, or "
        "raise the server's --series-per-process-max"
    )


def _texts_length(key: SeriesKey) -> int:
    name, metric_type, labels, help_text, unit = key
    return len(name) + len(metric_type) + len(labels) + len(help_text or "") + len(unit or "")


def _digest(key: SeriesKey) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in key:
        part = text.encode() if isinstance(text, str) else text
        # The length tells a text from the next one, and a missing text from an empty one.
        digest.update(b"-" if part is None else b"%d:%b" % (len(part), part))
    return digest.digest()


def _labels_of(key: SeriesKey, limits: SeriesLimits) -> dict[str, str]:
    labels = key[2]
    if labels in {b"", b"null"}:
        return {}
    if has_more_members(labels, limits.labels_max + LABELS_DECODED_MAX):
        raise SampleError(
            RejectKind.TOO_LARGE,
            f"the sample has thousands of labels: at most {limits.labels_max} are allowed",
        )
    return _labels_decoder.decode(labels)


def _encode_series(key: SeriesKey, labels: dict[str, str], limits: SeriesLimits) -> bytes:
    metric_name, metric_type, _, help_text, unit = key
    is_large = len(help_text or "") + len(unit or "") > SERIES_KEPT_BYTES_MAX
    describe = _described if is_large else _described_and_kept
    before, after = describe(metric_name, metric_type, help_text, unit, limits)
    kept = without_empty(labels)
    if len(kept) > limits.labels_max:
        raise SampleError(
            RejectKind.TOO_LARGE,
            f"the sample has {len(kept)} labels: at most {limits.labels_max} are allowed",
        )
    for name, value in labels.items():
        _check_label_name(name)
        # The search for what cannot be stored takes forty times as long as this look.
        if len(value) > limits.text_length_max or not value.isascii() or "\x00" in value:
            _check_text(f"label {name!r}", value, limits)
    return b"".join((before, labels_field(_encode_json(kept)), after))


def _described(
    metric_name: str,
    metric_type: str,
    help_text: str | None,
    unit: str | None,
    limits: SeriesLimits,
) -> tuple[bytes, bytes]:
    """Return what a row has before its labels, and what it has after them."""
    try:
        check_metric_name(metric_name)
    except ValueError as error:
        raise SampleError(RejectKind.INVALID_NAME, str(error)) from None
    if metric_type not in _TYPES:
        raise SampleError(
            RejectKind.INVALID_TYPE,
            f"metric_type {metric_type[:60]!r} is not valid: use one of {', '.join(MetricType)}",
        )
    for what, text in (("help_text", help_text), ("unit", unit)):
        if text is not None:
            _check_text(what, text, limits)
    return name_fields(metric_name, metric_type), description_fields(help_text, unit)


# Hundreds of series have the same name, type, help text and unit, and other labels.
_described_and_kept = lru_cache(DESCRIPTIONS_KEPT_MAX)(_described)


def _check_text(what: str, text: str, limits: SeriesLimits) -> None:
    if len(text) > limits.text_length_max:
        raise SampleError(
            RejectKind.TOO_LARGE,
            f"{what} has {len(text)} characters, beginning with {text[:40]!r}: "
            f"at most {limits.text_length_max} are allowed",
        )
    try:
        check_text(what, text)
    except ValueError as error:
        raise SampleError(RejectKind.INVALID_TEXT, str(error)) from None
