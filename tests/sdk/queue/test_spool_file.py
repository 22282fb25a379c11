"""A spooled batch as bytes: a file is read as written, and a damaged one up to the damage."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk.queue.batch_names import BatchName
from noetl_metrics_sdk.queue.spool_file import ITEMS_PER_RECORD, Part, decode, encode, samples_named


def items(count):
    return [b'{"metric_name":"n","metric_value":%d}' % number for number in range(count)]


def parts_of(*counts):
    sequences = range(1, len(counts) + 1)
    return [
        Part(BatchName("boot", sequence, 1), items(count))
        for sequence, count in zip(sequences, counts, strict=True)
    ]


@given(st.lists(st.integers(1, 3 * ITEMS_PER_RECORD), min_size=1, max_size=4))
def test_what_is_written_is_read(counts):
    """Names and samples of every part come back, and the first two lines have the count."""
    parts = parts_of(*counts)
    content = encode(parts)
    assert parts == decode(content)
    assert sum(counts) == samples_named(b"\n".join(content.split(b"\n")[:2]) + b"\n")


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_of_a_damaged_file_the_undamaged_beginning_is_read(position, byte):
    """Whichever byte changes, the samples before it are read, whole and as they were written."""
    (part,) = parts = parts_of(350)
    content = bytearray(encode(parts))
    position %= len(content)
    content[position] = byte
    read = [item for found in decode(bytes(content)) for item in found.items]
    assert part.items[: len(read)] == read
    # Nothing before the damaged record is lost.
    before = bytes(content[:position]).count(b"\n")
    assert len(read) >= max(0, before - 2) * ITEMS_PER_RECORD


@given(st.integers(0, 100_000))
def test_of_a_file_that_was_cut_off_the_beginning_is_read(length):
    """A torn write costs its tail and nothing before it."""
    (part,) = parts = parts_of(350)
    content = encode(parts)
    length %= len(content)
    read = [item for found in decode(content[:length]) for item in found.items]
    assert part.items[: len(read)] == read
    assert len(read) >= max(0, content[:length].count(b"\n") - 2) * ITEMS_PER_RECORD


@given(st.binary(max_size=300))
def test_any_bytes_are_read_as_nothing(content):
    """A file of another kind holds no samples, and does not raise."""
    assert [] == decode(content)
    assert samples_named(content) is None


def test_a_header_of_another_form_is_read_as_nothing():
    """A valid checksum does not make a header valid."""
    content = encode(parts_of(2))
    header = content.split(b"\n")[1]
    for other in (b"[]", b"{}", b'{"boot_id":1,"parts":[[1,2]]}', b'{"boot_id":"b","parts":7}'):
        replaced = encode_record(other)
        assert [] == decode(content.replace(header, replaced))


def encode_record(content):
    from zlib import crc32  # noqa: PLC0415 - the format's own checksum, for this test alone

    return b"%08x %d %s" % (crc32(content), len(content), content)
