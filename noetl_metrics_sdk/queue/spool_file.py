"""A batch as the bytes of a file: records with checksums, read up to the first damaged one.

    noetl-spool 1
    <CRC-32, 8 hexadecimal digits> <length> <record>    one line a record

The first record is a JSON object that names the parts of the batch, in the order in which they are
sent. Each further record holds some of the samples, separated by tabs. A sample is the JSON that is
sent. No JSON in the file has line breaks.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from noetl_metrics_sdk.queue.batch_names import BatchName

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_LINE: Final = b"noetl-spool 1"
ITEMS_PER_RECORD: Final = 100
"""How many samples a record holds. A damaged byte costs the samples of its record and of all later
records."""

# Separates two samples of a record. The samples' JSON has no tab: there is no white space between
# its tokens, and its strings have an escape for a tab.
_BETWEEN: Final = b"\t"


class Part(NamedTuple):
    """A batch, or a part of a batch that was split: its name, and the JSON of its samples."""

    name: BatchName
    items: Sequence[bytes]


def encode(parts: Sequence[Part]) -> bytes:
    """Return the bytes of a file that holds these parts."""
    named = [[part.name.sequence, part.name.numbers, len(part.items)] for part in parts]
    header = json.dumps({"boot_id": parts[0].name.boot_id, "parts": named}).encode()
    lines = [_FIRST_LINE, _record(header)]
    items = [item for part in parts for item in part.items]
    lines += [
        _record(_BETWEEN.join(items[start : start + ITEMS_PER_RECORD]))
        for start in range(0, len(items), ITEMS_PER_RECORD)
    ]
    return b"\n".join([*lines, b""])


def decode(content: bytes) -> list[Part]:
    """Return the parts in a file's bytes, up to the first damage, without empty parts."""
    first_line, *lines = content.split(b"\n")
    if first_line != _FIRST_LINE:
        return []
    records: list[bytes] = []
    for line in lines:
        record = _checked(line)
        if record is None:
            break
        records.append(record)
    named = _named(records[0]) if records else None
    items = [item for record in records[1:] for item in record.split(_BETWEEN)]
    parts: list[Part] = []
    for name, count in named or ():
        parts.append(Part(name, items[:count]))
        items = items[count:]
    return [part for part in parts if part.items]


def samples_named(first_lines: bytes) -> int | None:
    """Return how many samples a file should hold, by its first two lines; None if damaged."""
    first_line, *lines = first_lines.split(b"\n")
    header = _checked(lines[0]) if first_line == _FIRST_LINE and lines else None
    named = _named(header) if header is not None else None
    return None if named is None else sum(count for _, count in named)


def _record(content: bytes) -> bytes:
    return b"%08x %d %s" % (crc32(content), len(content), content)


def _checked(line: bytes) -> bytes | None:
    checksum, _, rest = line.partition(b" ")
    length, _, record = rest.partition(b" ")
    if b"%08x %d" % (crc32(record), len(record)) != checksum + b" " + length:
        return None
    return record


def _named(header: bytes) -> list[tuple[BatchName, int]] | None:
    try:
        described = json.loads(header)
        return [
            (BatchName(str(described["boot_id"]), int(sequence), int(numbers)), int(count))
            for sequence, numbers, count in described["parts"]
        ]
    except (ValueError, KeyError, TypeError):
        return None
