"""Lines of names: in each the numbers ascend, and no name is given twice."""

from __future__ import annotations

from noetl_metrics_sdk.queue.batch_lines import BatchLines
from noetl_metrics_sdk.queue.batch_names import NUMBERS_PER_BATCH, BatchName
from noetl_metrics_sdk.queue.spool_file import Part


def test_a_new_line_begins_anew():
    """The server takes its first batch, whatever number the line before had come to."""
    lines = BatchLines("boot")
    names = [lines.next_name(), lines.next_name()]
    lines.open_another()
    names.append(lines.next_name())
    first, second = NUMBERS_PER_BATCH, 2 * NUMBERS_PER_BATCH
    assert [f"boot:{first}", f"boot:{second}", f"boot.1:{first}"] == [name.key for name in names]


def test_a_batch_from_the_disk_does_not_get_a_number_after_newer_ones():
    """Newer batches may be on disk behind it; the renamed ones have a line of their own."""
    lines = BatchLines("boot")
    old = [Part(BatchName.of("boot", 2), [b"a"]), Part(BatchName.of("boot", 3), [b"b"])]
    lines.open_another()
    newer = lines.next_name()
    renamed = lines.renamed(old)
    assert [b"a", b"b"] == [part.items[0] for part in renamed]
    first, second = (part.name for part in renamed)
    assert first.boot_id == second.boot_id != newer.boot_id
    assert first.sequence < second.sequence
    assert [first.numbers, second.numbers] == [NUMBERS_PER_BATCH] * 2


def test_every_name_is_given_once():
    """Also those of batches without samples, and after several lines."""
    lines = BatchLines("boot")
    keys = []
    for _ in range(3):
        keys += [lines.next_name().key, lines.probe_name().key]
        keys += [part.name.key for part in lines.renamed([Part(BatchName.of("x", 1), [b"a"])])]
        lines.open_another()
    assert 9 == len(set(keys))
