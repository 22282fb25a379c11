"""The sample buffer: its bound, its order, and a ledger that always balances."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from noetl_metrics_sdk import MetricType, Series
from noetl_metrics_sdk.queue.buffer import OVERFLOW_POLICIES, Ledger, SampleBuffer
from tests.sdk.stamped import stamped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from noetl_metrics_sdk.model.stamped_sample import StampedSample

SERIES = Series("jobs_total", MetricType.COUNTER, {})


def numbered(numbers: Iterable[int]) -> list[StampedSample]:
    return [stamped(SERIES, float(number)) for number in numbers]


def numbers(samples: Iterable[StampedSample]) -> list[int]:
    return [int(sample.value) for sample in samples]


def test_first_in_first_out() -> None:
    """Samples leave in the order in which they came."""
    buffer = SampleBuffer(10)
    buffer.add(numbered(range(3)))
    buffer.add(numbered(range(3, 5)))
    assert [[0, 1], [2, 3], [4], []] == [numbers(buffer.take(2)) for _ in range(4)]


def test_oldest_are_dropped_first() -> None:
    """A full buffer makes room by dropping its oldest samples, and returns and counts them."""
    buffer = SampleBuffer(3)
    dropped = [numbers(buffer.add(numbered(batch))) for batch in ([0, 1], [2, 3], [4])]
    assert [[], [0], [1]] == dropped
    assert [2, 3, 4] == numbers(buffer.take(9))
    assert Ledger(5, 0, 3, {"buffer_full": 2}) == buffer.ledger()


def test_more_than_fits_at_once() -> None:
    """Of an addition larger than the buffer, the newest samples stay."""
    buffer = SampleBuffer(3)
    buffer.add(numbered([-1]))
    assert [-1, 0, 1] == numbers(buffer.add(numbered(range(5))))
    assert [2, 3, 4] == numbers(buffer.take(9))


def test_put_back_samples_come_first() -> None:
    """Samples that are put back come again before all others, in their order."""
    buffer = SampleBuffer(10)
    buffer.add(numbered(range(5)))
    taken = buffer.take(3)
    buffer.put_back(taken[1:])
    assert [1, 2, 3, 4] == numbers(buffer.take(9))


def test_taken_samples_are_pending() -> None:
    """Until it is settled, a sample is pending, in the buffer or on its way."""
    buffer = SampleBuffer(10)
    buffer.add(numbered(range(6)))
    buffer.take(4)
    before = buffer.ledger()
    buffer.settle_sent(3)
    buffer.settle_dropped(1, "rejected")
    assert Ledger(6, 0, 6, {}) == before
    assert Ledger(6, 3, 2, {"rejected": 1}) == buffer.ledger()
    assert (0, 4, 2) == (before.settled, buffer.ledger().settled, len(buffer))


def test_a_refused_sample_is_in_the_ledger_and_not_in_the_buffer() -> None:
    """It is counted as added and dropped at one moment, under its reason."""
    buffer = SampleBuffer(10)
    buffer.refuse(2, "own_log")
    assert (0, Ledger(2, 0, 0, {"own_log": 2})) == (len(buffer), buffer.ledger())


def test_a_caller_may_wait_for_less_than_the_time_out() -> None:
    """A caller that may wait for no time makes room be made, and does not wait for it."""
    buffer = SampleBuffer(1, overflow="block", block_timeout=3_600.0)
    asked: list[str] = []
    buffer.add(numbered([0]))
    assert [1] == numbers(buffer.add(numbered([1]), lambda: asked.append("room"), 0.0))
    assert (["room"], {"buffer_full": 1}) == (asked, buffer.ledger().dropped)


def test_reasons_are_counted_apart() -> None:
    """Drops are counted by reason, and reasons without a drop are not mentioned."""
    buffer = SampleBuffer(10)
    buffer.add(numbered(range(6)))
    buffer.take(6)
    for count, reason in ((1, "rejected"), (2, "too_large"), (3, "rejected"), (0, "other")):
        buffer.settle_dropped(count, reason)
    assert {"rejected": 4, "too_large": 2} == buffer.ledger().dropped


def test_ledger_is_of_one_moment() -> None:
    """A ledger does not change when the buffer does."""
    buffer = SampleBuffer(1)
    buffer.add(numbered(range(2)))
    before = buffer.ledger()
    buffer.add(numbered(range(2)))
    assert Ledger(2, 0, 1, {"buffer_full": 1}) == before


def test_failing_iterable_adds_nothing() -> None:
    """If an iterable raises midway, none of its samples is added."""
    buffer = SampleBuffer(10)

    def failing() -> Iterator[StampedSample]:
        yield from numbered([1])
        raise OSError

    with pytest.raises(OSError, match=r"^$"):
        buffer.add(failing())
    assert Ledger(0, 0, 0, {}) == buffer.ledger()


def test_adding_while_adding_is_counted_once() -> None:
    """A sample recorded while an addition is read is counted once, and so are the others."""
    buffer = SampleBuffer(10)

    def recording() -> Iterator[StampedSample]:
        buffer.add(numbered([1, 2]))
        yield from numbered([3])

    buffer.add(recording())
    assert Ledger(3, 0, 3, {}) == buffer.ledger()
    assert [1, 2, 3] == numbers(buffer.take(9))


def test_ledger_balances_under_threads() -> None:
    """While threads add, take, put back and settle, the ledger balances in every reading."""
    buffer = SampleBuffer(50)
    done = threading.Event()

    def add() -> None:
        for number in range(1_000):
            buffer.add(numbered([number, number]))

    def deliver() -> None:
        while not done.is_set():
            taken = buffer.take(7)
            buffer.put_back(taken[5:])
            if taken:
                buffer.settle_dropped(1, "rejected")
                buffer.settle_sent(len(taken[:5]) - 1)

    adding = [threading.Thread(target=add) for _ in range(4)]
    delivering = [threading.Thread(target=deliver) for _ in range(2)]
    for thread in (*adding, *delivering):
        thread.start()
    while any(thread.is_alive() for thread in adding):
        ledger = buffer.ledger()
        assert ledger.added == ledger.sent + ledger.pending + sum(ledger.dropped.values())
    done.set()
    for thread in (*adding, *delivering):
        thread.join()
    ledger = buffer.ledger()
    assert (8_000, len(buffer)) == (ledger.added, ledger.pending)
    assert ledger.added == ledger.sent + ledger.pending + sum(ledger.dropped.values())


SIZE = numbered([0])[0].size_bytes


def test_oldest_are_dropped_for_bytes_too() -> None:
    """Whichever bound is met first, the oldest samples make room."""
    buffer = SampleBuffer(10, bytes_max=3 * SIZE)
    assert [0, 1] == numbers(buffer.add(numbered(range(5))))
    assert (3, 3 * SIZE) == (len(buffer), buffer.size_bytes)
    assert [2] == numbers(buffer.take(1))
    assert [] == buffer.add(numbered([5]))


def test_a_sample_larger_than_the_bound_waits_alone() -> None:
    """A sample that alone exceeds the bytes is kept, and everything older is dropped."""
    large = stamped(Series("jobs_total", MetricType.COUNTER, {"text": "x" * 1_000}), 9.0)
    for overflow in OVERFLOW_POLICIES:
        buffer = SampleBuffer(10, 500, overflow)
        assert [] == buffer.add([large])
        assert [large] == buffer.take(9)


def test_newest_are_dropped_if_that_is_wanted() -> None:
    """A full buffer refuses, returns and counts new samples; after a take it has room again."""
    buffer = SampleBuffer(3, overflow="drop_newest")
    assert [3, 4] == numbers(buffer.add(numbered(range(5))))
    assert Ledger(5, 0, 3, {"buffer_full": 2}) == buffer.ledger()
    assert [0] == numbers(buffer.take(1))
    assert [6] == numbers(buffer.add(numbered([5, 6])))
    assert [1, 2, 5] == numbers(buffer.take(9))


def test_newest_are_dropped_for_bytes_too() -> None:
    """The bound in bytes holds under every policy."""
    buffer = SampleBuffer(10, 2 * SIZE, "drop_newest")
    assert [2] == numbers(buffer.add(numbered(range(3))))
    assert 2 * SIZE == buffer.size_bytes


def test_whoever_adds_waits_for_room_if_that_is_wanted() -> None:
    """Under `block` an addition returns once all of it is in, and drops nothing."""
    buffer = SampleBuffer(2, overflow="block", block_timeout=60.0)
    is_full = threading.Event()
    taken: list[int] = []

    def deliver() -> None:
        assert is_full.wait(10)
        while len(taken) < 7:
            taken.extend(numbers(buffer.take(2)))

    thread = threading.Thread(target=deliver)
    thread.start()
    assert [] == buffer.add(numbered(range(7)), is_full.set)
    thread.join()
    assert list(range(7)) == taken
    assert Ledger(7, 0, 7, {}) == buffer.ledger()


def test_whoever_waits_in_vain_drops_the_newest() -> None:
    """If there is no room in time, the samples that do not fit are returned and counted."""
    buffer = SampleBuffer(2, overflow="block", block_timeout=0.001)
    told: list[bool] = []
    assert [2, 3] == numbers(buffer.add(numbered(range(4)), lambda: told.append(True)))
    assert [True] == told
    assert Ledger(4, 0, 2, {"buffer_full": 2}) == buffer.ledger()


def test_adopted_samples_are_pending() -> None:
    """Samples that a dead process left on disk are added and taken at once, and settled like
    others."""
    buffer = SampleBuffer(2)
    buffer.adopt(5)
    assert Ledger(5, 0, 5, {}) == buffer.ledger()
    buffer.settle_sent(5)
    assert Ledger(5, 5, 0, {}) == buffer.ledger()


class BufferMachine(RuleBasedStateMachine):
    """Run any sequence of operations beside a model that consists of lists."""

    @initialize(samples_max=st.integers(1, 8))
    def make(self, samples_max: int) -> None:
        """Begin with an empty buffer."""
        self.samples_max = samples_max
        self.buffer = SampleBuffer(samples_max)
        self.next_number = 0
        self.waiting: deque[int] = deque()
        self.taken: list[int] = []
        self.sent = 0
        self.dropped: dict[str, int] = {}

    @rule(count=st.integers(0, 12))
    def add(self, count: int) -> None:
        """Add new samples."""
        added = range(self.next_number, self.next_number + count)
        self.next_number += count
        self.waiting.extend(added)
        excess = max(0, len(self.waiting) - self.samples_max)
        expected = [self.waiting.popleft() for _ in range(excess)]
        self._count_dropped("buffer_full", excess)
        assert expected == numbers(self.buffer.add(iter(numbered(added))))

    @rule(count=st.integers(0, 12))
    def take(self, count: int) -> None:
        """Take samples, as a batch does."""
        expected = [self.waiting.popleft() for _ in range(min(count, len(self.waiting)))]
        self.taken += expected
        assert expected == numbers(self.buffer.take(count))

    @rule(data=st.data())
    def put_back(self, data: st.DataObject) -> None:
        """Put back the last samples that were taken."""
        kept = data.draw(st.integers(0, len(self.taken)))
        self.taken, returned = self.taken[:kept], self.taken[kept:]
        self.waiting.extendleft(reversed(returned))
        self.buffer.put_back(numbered(returned))

    @rule(data=st.data())
    def settle_sent(self, data: st.DataObject) -> None:
        """Settle some samples as acknowledged."""
        count = data.draw(st.integers(0, len(self.taken)))
        del self.taken[:count]
        self.sent += count
        self.buffer.settle_sent(count)

    @rule(data=st.data(), reason=st.sampled_from(["rejected", "too_large", "buffer_full"]))
    def settle_dropped(self, data: st.DataObject, reason: str) -> None:
        """Settle some samples as dropped."""
        count = data.draw(st.integers(0, len(self.taken)))
        del self.taken[:count]
        self._count_dropped(reason, count)
        self.buffer.settle_dropped(count, reason)

    @invariant()
    def ledger_balances(self) -> None:
        """Check that every sample is in exactly one place, the same as in the model."""
        ledger = self.buffer.ledger()
        assert ledger.added == ledger.sent + sum(ledger.dropped.values()) + ledger.pending
        pending = len(self.waiting) + len(self.taken)
        assert Ledger(self.next_number, self.sent, pending, self.dropped) == ledger
        assert len(self.waiting) == len(self.buffer)
        assert sum(s.size_bytes for s in numbered(self.waiting)) == self.buffer.size_bytes

    def _count_dropped(self, reason: str, count: int) -> None:
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


TestBufferMachine = BufferMachine.TestCase
TestBufferMachine.settings = settings(max_examples=100, stateful_step_count=30)
