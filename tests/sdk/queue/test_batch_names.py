"""The names of batches and of their parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk.queue.batch_names import NUMBERS_PER_BATCH, BatchName


def leaves(name, samples):
    """Return the names of single samples after each half of a batch has been split again."""
    if samples == 1:
        return [name]
    first, second = name.halves()
    return leaves(first, samples // 2) + leaves(second, samples - samples // 2)


@given(st.integers(1, 2_000))
def test_parts_ascend_within_the_range_of_their_batch(samples):
    """However often a batch is split, its parts' names lie between its own and the next batch's."""
    name = BatchName.of("boot", 7)
    numbers = [leaf.sequence for leaf in leaves(name, samples)]
    assert numbers == sorted(set(numbers))
    assert numbers[0] == name.sequence == 7 * NUMBERS_PER_BATCH
    assert numbers[-1] < 8 * NUMBERS_PER_BATCH


def test_a_batch_of_the_largest_size_can_be_split_to_its_samples():
    """The numbers are enough for 100,000 samples, the most that a batch may have."""
    assert 100_000 == len(leaves(BatchName.of("boot", 1), 100_000))


def test_a_single_number_has_no_halves():
    """A range that cannot be split raises an error that says so."""
    with pytest.raises(ValueError, match="boot:5 has no numbers left"):
        BatchName("boot", 5, 1).halves()


def test_a_key_is_the_boot_id_and_the_number():
    """The header has the form of the contract."""
    assert f"b:{2 * NUMBERS_PER_BATCH}" == BatchName.of("b", 2).key
