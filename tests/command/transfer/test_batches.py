"""How a file is cut into batches, and what their names come from."""

from __future__ import annotations

import hashlib
import io

import pytest

from noetl_metrics_cli.errors import CommandError
from noetl_metrics_cli.transfer.batches import (
    BATCH_BYTES_MAX,
    BATCH_LINES_MAX,
    LINE_BYTES_MAX,
    Place,
    batches,
)

pytestmark = pytest.mark.once


def numbered(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(count))


def test_a_digest_is_of_all_before_the_end_of_a_batch():
    """So a batch has its name from its content and its place, whatever comes behind it."""
    content = numbered(BATCH_LINES_MAX + 10)
    first, second = batches(io.BytesIO(content), None)
    assert (BATCH_LINES_MAX, 10) == (len(first.lines), len(second.lines))
    assert hashlib.sha256(content[: first.end]).hexdigest() == first.digest
    assert hashlib.sha256(content).hexdigest() == second.digest
    longer = list(batches(io.BytesIO(content + b"more\n"), None))
    assert first == longer[0]


def test_a_batch_is_bounded_in_bytes():
    """Long lines make short batches."""
    line = b"x" * (BATCH_BYTES_MAX // 2) + b"\n"
    assert [2, 1] == [len(one.lines) for one in batches(io.BytesIO(line * 3), None)]


def test_a_file_that_has_grown_is_the_same_file():
    """One that was changed before the place, or cut, is another."""
    content = numbered(100)
    place = Place(len(content), hashlib.sha256(content).hexdigest())
    (batch,) = batches(io.BytesIO(content + b"more\n"), place)
    assert 101 == len(batch.lines)
    with pytest.raises(CommandError, match="its beginning has changed"):
        list(batches(io.BytesIO(b"other\n" + content), place))
    with pytest.raises(CommandError, match="it has become shorter"):
        list(batches(io.BytesIO(content[:50]), place))


def test_an_endless_line_is_refused():
    """The message has its number; no more of it is read."""
    with pytest.raises(CommandError, match="line 2 has more than 1,000,000 bytes"):
        list(batches(io.BytesIO(b"a\n" + b"x" * (LINE_BYTES_MAX + 1)), None))
