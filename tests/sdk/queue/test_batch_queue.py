"""Cutting batches: bounds in samples and bytes, keys, and splitting."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk.model.metric import MetricType, Series
from noetl_metrics_sdk.process.pacing import REST_SECONDS, Pacer
from noetl_metrics_sdk.queue.batch_names import NUMBERS_PER_BATCH
from noetl_metrics_sdk.queue.batch_queue import BatchQueue
from noetl_metrics_sdk.queue.buffer import SampleBuffer
from noetl_metrics_sdk.queue.wire import SampleEncoder
from tests.sdk.stamped import stamped


def make_samples(lengths):
    return [
        stamped(Series(f"value_{n}", MetricType.GAUGE, {"text": "x" * length}), float(n), 1.0)
        for n, length in enumerate(lengths)
    ]


def make_queue(buffer, encoder, sleep=lambda seconds: None):
    return BatchQueue(buffer, encoder, "boot", 10, 4_096, Pacer(lambda: 0.0, sleep))


def drain(queue):
    batches = []
    while (batch := queue.current()) is not None:
        batches.append(batch)
        queue.settle()
    return batches


@given(st.lists(st.integers(min_value=0, max_value=3_000), max_size=60))
def test_batches_keep_their_bounds_and_lose_nothing(lengths):
    """Every sample is in exactly one batch, in order, and no body is too long unless alone."""
    buffer = SampleBuffer(1_000)
    buffer.add(make_samples(lengths))
    batches = drain(make_queue(buffer, SampleEncoder({})))
    values = [json.loads(item)["metric_value"] for batch in batches for item in batch.items]
    assert values == [float(n) for n in range(len(lengths))]
    assert all(len(batch.items) <= 10 for batch in batches)
    assert all(
        len(batch.body("9223372036854775807")) <= 4_096 for batch in batches if len(batch.items) > 1
    )
    assert 0 == buffer.ledger().pending


def test_a_batch_is_the_same_until_it_is_finished():
    """Asked again, the queue returns the batch under way, with the same key."""
    buffer = SampleBuffer(10)
    buffer.add(make_samples([1]))
    queue = make_queue(buffer, SampleEncoder({}))
    first = queue.current()
    buffer.add(make_samples([1]))
    assert queue.current() == first
    assert first is not None
    assert f"boot:{NUMBERS_PER_BATCH}" == first.key


def test_others_are_let_through_before_and_after_a_batch_is_made():
    """The thread rests before and after a cut, as it is busy then, but not if there is no batch."""
    buffer = SampleBuffer(10)
    rests: list[float] = []
    queue = make_queue(buffer, SampleEncoder({}), rests.append)
    assert (None, []) == (queue.current(), rests)
    buffer.add(make_samples([1]))
    assert queue.current() is not None
    assert [REST_SECONDS, REST_SECONDS] == rests


def test_a_split_batch_comes_in_halves_with_keys_of_their_own():
    """The halves come before anything newer, under numbers from the range of the whole."""
    buffer = SampleBuffer(10)
    buffer.add(make_samples([1, 1, 1]))
    queue = make_queue(buffer, SampleEncoder({}))
    queue.current()
    buffer.add(make_samples([1]))
    assert queue.split()
    batches = drain(queue)
    numbers = [NUMBERS_PER_BATCH, NUMBERS_PER_BATCH * 3 // 2, 2 * NUMBERS_PER_BATCH]
    assert [f"boot:{number}" for number in numbers] == [batch.key for batch in batches]
    assert [1, 2, 1] == [len(batch.items) for batch in batches]


@pytest.mark.parametrize(
    ("known", "settled", "left"),
    [(7, 7, [1]), (3, 3, [4, 1]), (1, 1, [2, 4, 1]), (0, 3, [4, 1])],
)
def test_a_repeat_settles_what_the_server_has_under_its_name(known, settled, left):
    """The server may have the whole batch, half of it, or the batch itself under that name."""
    buffer = SampleBuffer(10)
    buffer.add(make_samples([1] * 7))
    queue = make_queue(buffer, SampleEncoder({}))
    queue.current()
    buffer.add(make_samples([1]))
    assert queue.split()
    queue.settle(1, known)
    assert (settled - 1, {"rejected": 1}) == (buffer.ledger().sent, buffer.ledger().dropped)
    assert left == [len(batch.items) for batch in drain(queue)]


def test_a_batch_that_is_aside_comes_back_as_it_was():
    """Others go out meanwhile under names of another line; its parts keep theirs."""
    buffer = SampleBuffer(20)
    buffer.add(make_samples([1] * 4))
    queue = make_queue(buffer, SampleEncoder({}))
    queue.current()
    assert queue.split()
    queue.settle()  # the first half
    second_half = queue.current()
    queue.set_aside()
    buffer.add(make_samples([1]))
    assert [f"boot.1:{NUMBERS_PER_BATCH}"] == [batch.key for batch in drain(queue)]
    assert (1, 2) == (queue.set_aside_count, buffer.ledger().pending)
    assert queue.bring_back()
    assert (second_half, True, 0) == (queue.current(), queue.was_aside, queue.set_aside_count)
    queue.settle()
    assert (5, 0) == (buffer.ledger().sent, buffer.ledger().pending)
    assert (None, False) == (queue.current(), queue.was_aside)


def test_nothing_comes_back_while_a_batch_is_under_way():
    """Each batch is settled, or set aside, before the next one is sent."""
    buffer = SampleBuffer(20)
    buffer.add(make_samples([1] * 11))
    queue = make_queue(buffer, SampleEncoder({}))
    queue.current()
    queue.set_aside()
    queue.current()
    assert not queue.bring_back()
    queue.settle()
    assert queue.bring_back()
    assert not queue.bring_back()


def test_a_single_sample_cannot_be_split():
    """A batch of one sample stays as it is."""
    buffer = SampleBuffer(10)
    buffer.add(make_samples([1]))
    queue = make_queue(buffer, SampleEncoder({}))
    batch = queue.current()
    assert not queue.split()
    assert queue.current() == batch


def test_a_body_is_the_contracts_envelope():
    """The body names the runtime and lists the samples."""
    buffer = SampleBuffer(10)
    buffer.add(make_samples([1]))
    batch = make_queue(buffer, SampleEncoder({"worker_id": "w"})).current()
    assert batch is not None
    assert {
        "runtime_id": "7",
        "metrics": [
            {
                "metric_name": "value_0",
                "metric_type": "gauge",
                "metric_value": 0.0,
                "labels": {"worker_id": "w", "text": "x"},
                "help_text": "",
                "unit": "",
                "timestamp": 1.0,
            }
        ],
    } == json.loads(batch.body("7"))
