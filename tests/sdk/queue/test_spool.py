"""Batches on disk: before they are sent, until they are settled, whichever process wrote them."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter as Tally
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from noetl_metrics_sdk import (
    FlushResult,
    MetricsClient,
    MetricType,
    PayloadTooLargeError,
    Registry,
    Series,
)
from noetl_metrics_sdk.process.pacing import Pacer
from noetl_metrics_sdk.queue.batch_queue import BatchQueue
from noetl_metrics_sdk.queue.buffer import SampleBuffer
from noetl_metrics_sdk.queue.spool import RETRY_SECONDS, Spool, SpoolStats
from noetl_metrics_sdk.queue.wire import SampleEncoder
from noetl_metrics_sdk.testing import InMemoryTransport, ManualClock, server_away
from tests.sdk.idle_delivery import wait_until_idle
from tests.sdk.stamped import stamped

fcntl = pytest.importorskip("fcntl", reason="a spool needs flock()")

SERIES = Series("numbered", MetricType.GAUGE, {})


class Worker:
    """A process's buffer, queue and spool."""

    def __init__(self, folder, boot_id, clock=None, bytes_max=2**30, age_max=86_400.0):
        self.clock = clock or ManualClock()
        self.buffer = SampleBuffer(100_000)
        self.spool = Spool(
            folder / "pool", boot_id, bytes_max=bytes_max, age_max=age_max, clock=self.clock,
            adopt=self.buffer.adopt, drop=self.buffer.settle_dropped,
        )  # fmt: skip
        self.queue = BatchQueue(
            self.buffer, SampleEncoder({}), boot_id, 10, 10_000,
            Pacer(lambda: 0.0, lambda _: None), self.spool,
        )  # fmt: skip

    def record(self, *numbers):
        self.buffer.add([stamped(SERIES, float(number), 1.0) for number in numbers])

    def dies(self):
        """Release the locks, as the operating system does for a killed process."""
        self.spool.abandon()

    def send_all(self):
        sent = []
        while (batch := self.queue.current()) is not None:
            sent.append((batch.key.split(":")[0], numbers_of(batch.items)))
            self.queue.settle()
        return sent


def numbers_of(items):
    return [int(json.loads(item)["metric_value"]) for item in items]


def files(folder):
    return sorted(path for path in folder.rglob("*.batch"))


def test_a_batch_is_on_disk_before_it_is_sent_and_gone_when_it_is_settled(tmp_path):
    """A batch has a file while it is under way, and none once it is settled."""
    worker = Worker(tmp_path, "a")
    worker.record(1, 2, 3)
    assert [] == files(tmp_path)
    batch = worker.queue.current()
    assert batch is not None
    assert (1, SpoolStats(1, 3, files(tmp_path)[0].stat().st_size)) == (
        len(files(tmp_path)), worker.queue.spool_stats(),
    )  # fmt: skip
    worker.queue.settle()
    assert ([], SpoolStats()) == (files(tmp_path), worker.queue.spool_stats())
    assert 3 == worker.buffer.ledger().sent


def test_what_waits_goes_to_disk_and_leaves_the_buffer(tmp_path):
    """Samples that were secured on disk take no memory, and are sent in order."""
    worker = Worker(tmp_path, "a")
    worker.record(*range(25))
    worker.queue.secure()
    assert (0, 3) == (len(worker.buffer), len(files(tmp_path)))
    ledger, spooled = worker.queue.ledger(1)
    assert (25, 25) == (ledger.pending, spooled)
    worker.record(25)
    ledger, spooled = worker.queue.ledger(1)
    assert (26, 25) == (ledger.pending, spooled)
    assert list(range(26)) == [number for _, numbers in worker.send_all() for number in numbers]


def test_what_a_dead_process_left_is_sent_under_its_names(tmp_path):
    """Another process of the component sends them first, in order, and under the same keys."""
    dead = Worker(tmp_path, "dead")
    dead.record(*range(15))
    dead.queue.secure()
    first = dead.queue.current()
    dead.dies()
    heir = Worker(tmp_path, "heir")
    heir.record(100)
    assert heir.queue.current() == first
    assert [("dead", list(range(10))), ("dead", list(range(10, 15))), ("heir", [100])] == (
        heir.send_all()
    )
    assert (16, 16, 0, {}) == tuple(heir.buffer.ledger())
    stats = heir.queue.spool_stats()
    assert stats is not None
    assert 15 == stats.adopted


def test_what_a_living_process_has_is_left_to_it(tmp_path):
    """Two processes on one directory leave each other's batches alone."""
    one, other = Worker(tmp_path, "one"), Worker(tmp_path, "other")
    one.record(1)
    one.queue.secure()
    other.record(2)
    assert [("other", [2])] == other.send_all()
    assert [("one", [1])] == one.send_all()


def test_an_heir_that_dies_is_inherited_from_with_all_it_had(tmp_path):
    """Batches pass from heir to heir in order, and no folder of a dead process remains."""
    for number, boot_id in enumerate(["b", "a", "c"]):
        worker = Worker(tmp_path, boot_id)
        worker.record(*range(100 * number, 100 * number + 15))
        worker.queue.secure()
        for path in files(tmp_path):
            if path.name.startswith(f"{boot_id}-"):
                os.utime(path, (1_700_000_000 + number, 1_700_000_000 + number))
        worker.dies()
    assert ["c"] == [path.name for path in (tmp_path / "pool").iterdir()]
    heir = Worker(tmp_path, "heir")
    sent = heir.send_all()
    assert ["b", "b", "a", "a", "c", "c"] == [boot_id for boot_id, _ in sent]
    assert [15, 15, 15] == [
        len(numbers) + len(more)
        for (_, numbers), (_, more) in zip(sent[::2], sent[1::2], strict=True)
    ]
    assert (45, 45, 0, {}) == tuple(heir.buffer.ledger())


class KilledError(BaseException):
    """Stands for SIGKILL."""


@pytest.mark.parametrize("moves", range(5))
def test_an_heir_that_dies_while_it_takes_over_leaves_nobody_in_two_hands(
    tmp_path, monkeypatch, moves
):
    """A single heir gets all that a process left: two heirs might send it out of order."""
    workers = []
    for boot_id in ("a", "b", "c"):
        worker = Worker(tmp_path, boot_id)
        worker.record(*range(35))
        worker.queue.secure()
        workers.append(worker)
        if boot_id == "a":
            worker.dies()  # b takes over; c does not, as b lives
    for worker in workers[1:]:
        worker.dies()
    rename = Path.rename
    renamed: list[Path] = []

    def rename_until_killed(path, target):
        if len(renamed) == moves:
            raise KilledError
        renamed.append(path)
        return rename(path, target)

    doomed = Worker(tmp_path, "doomed")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename_until_killed)
        with suppress(KilledError):
            doomed.queue.current()
    doomed.dies()
    hands = {
        boot_id: Tally(
            path.relative_to(tmp_path / "pool").parts[0]
            for path in files(tmp_path)
            if path.name.startswith(f"{boot_id}-")
        )
        for boot_id in ("a", "b", "c")
    }
    assert [[4], [4], [4]] == [list(tally.values()) for tally in hands.values()]
    assert 3 * 35 == sum(len(numbers) for _, numbers in Worker(tmp_path, "heir").send_all())


def test_only_one_takes_over(tmp_path):
    """Of several heirs, one gets the batches."""
    dead = Worker(tmp_path, "dead")
    dead.record(1)
    dead.queue.secure()
    dead.dies()
    heirs = [Worker(tmp_path, f"heir {number}") for number in range(3)]
    assert [[("dead", [1])], [], []] == [heir.send_all() for heir in heirs]


def test_another_component_takes_nothing_over(tmp_path):
    """Samples of one component never get the runtime id of another."""
    client = spooling_client(tmp_path, Away(), component_name="a/b")
    client.record("value", 1)
    assert 1 == client.start().shutdown(timeout=5).spooled
    transport = InMemoryTransport()
    with spooling_client(tmp_path, transport, component_name="a") as other:
        wait_until_idle(other)
    assert [] == transport.received("value")
    with spooling_client(tmp_path, transport, component_name="a/b") as heir:
        wait_until_idle(heir)
    assert 1 == len(transport.received("value"))


def test_a_process_that_ends_well_leaves_no_folder(tmp_path):
    """Empty folders are removed, also those that were taken over."""
    dead = Worker(tmp_path, "dead")
    dead.record(1)
    dead.queue.secure()
    dead.dies()
    heir = Worker(tmp_path, "heir")
    heir.send_all()
    heir.queue.close()
    assert [] == list((tmp_path / "pool").iterdir())


def test_what_is_left_at_the_end_is_found_by_the_next(tmp_path):
    """Closing puts the buffer on disk and frees the folder for the next process."""
    worker = Worker(tmp_path, "a")
    worker.record(1, 2)
    worker.queue.close()
    worker.record(3)
    worker.queue.secure()
    assert 1 == len(files(tmp_path))
    assert [("a", [1, 2])] == Worker(tmp_path, "b").send_all()


def test_the_oldest_batches_make_room(tmp_path):
    """Beyond its bytes the spool drops and counts the oldest batch, but not the one under way."""
    worker = Worker(tmp_path, "a", bytes_max=4_000)
    worker.record(*range(10))
    current = worker.queue.current()
    worker.record(*range(10, 60))
    worker.queue.secure()
    stats = worker.queue.spool_stats()
    assert stats is not None
    assert sum(path.stat().st_size for path in files(tmp_path)) == stats.size_bytes <= 4_000
    assert worker.queue.current() == current
    sent = [number for _, numbers in worker.send_all() for number in numbers]
    dropped = worker.buffer.ledger().dropped
    assert 60 - len(sent) == dropped["spool_full"] > 0
    assert list(range(10)) == sent[:10]
    assert list(range(60))[-len(sent) + 10 :] == sent[10:]


def test_a_batch_that_is_too_old_is_dropped(tmp_path):
    """For a batch of this process the monotonic clock counts, as the wall clock may jump."""
    worker = Worker(tmp_path, "a", age_max=60.0)
    worker.record(1)
    worker.queue.secure()
    worker.clock.advance(30)
    worker.record(2)
    worker.queue.secure()
    worker.clock.set_time(2_000_000_000.0)
    worker.clock.advance(30)
    assert [("a", [2])] == worker.send_all()
    assert {"spool_expired": 1} == worker.buffer.ledger().dropped


def test_an_adopted_batch_is_as_old_as_its_file(tmp_path):
    """The age counts from when the dead process wrote the file."""
    dead = Worker(tmp_path, "dead")
    dead.record(1)
    dead.queue.secure()
    dead.dies()
    now = files(tmp_path)[0].stat().st_mtime
    assert [] == Worker(tmp_path, "late", ManualClock(now + 61), age_max=60.0).send_all()
    assert [] == files(tmp_path)


def test_the_parts_of_a_split_batch_survive_under_their_names(tmp_path):
    """After a kill between two halves, the heir sends both again, each under its own name."""
    dead = Worker(tmp_path, "dead")
    dead.record(*range(10))
    dead.queue.current()
    assert dead.queue.split()
    assert dead.queue.split()
    keys = []
    while (batch := dead.queue.current()) is not None:
        keys.append((batch.key, numbers_of(batch.items)))
        if len(keys) == 2:
            break
        dead.queue.settle()
    dead.dies()
    heir = Worker(tmp_path, "heir")
    again = []
    while (batch := heir.queue.current()) is not None:
        again.append((batch.key, numbers_of(batch.items)))
        heir.queue.settle()
    assert keys == again[:2]
    assert list(range(10)) == [number for _, numbers in again for number in numbers]


def test_a_damaged_tail_costs_itself(tmp_path, caplog):
    """The readable part of a file is sent; the rest is counted, with a warning."""
    dead = Worker(tmp_path, "dead")
    dead.queue._samples_max = 250
    dead.queue._bytes_max = 10**6
    dead.record(*range(250))
    dead.queue.secure()
    dead.dies()
    (path,) = files(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[:-10] + b"\x00" * 10)
    heir = Worker(tmp_path, "heir")
    assert [("dead", list(range(200)))] == heir.send_all()
    assert (250, 200, 0, {"spool_damaged": 50}) == tuple(heir.buffer.ledger())
    assert "damaged" in caplog.text
    assert [] == files(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x00" * 1_000, b"noetl-spool 1\nrubbish"])
def test_a_file_of_rubbish_costs_itself(tmp_path, content):
    """The samples in its name are counted as dropped, and the next batch goes on."""
    dead = Worker(tmp_path, "dead")
    dead.record(*range(15))
    dead.queue.secure()
    dead.dies()
    files(tmp_path)[0].write_bytes(content)
    heir = Worker(tmp_path, "heir")
    assert [("dead", list(range(10, 15)))] == heir.send_all()
    assert (15, 5, 0, {"spool_damaged": 10}) == tuple(heir.buffer.ledger())


def dangling(path):
    path.symlink_to(path.parent / "nothing")


def folder_named_as_a_batch(path):
    (path / "with a folder in it").mkdir(parents=True)


def unreadable(path):
    path.symlink_to(path.name)  # a circle, which root cannot read either


@pytest.mark.parametrize("make", [dangling, os.mkfifo, folder_named_as_a_batch, unreadable])
def test_an_entry_that_is_no_batch_costs_no_other(tmp_path, caplog, make):
    """All readable batches are adopted; what cannot be opened is put by, told of and counted."""
    dead = Worker(tmp_path, "dead")
    dead.record(*range(25))
    dead.queue.secure()
    bad = files(tmp_path)[0].with_name(f"dead-{1:019d}-10.batch")
    make(bad)
    dead.dies()
    heir = Worker(tmp_path, "heir")
    assert list(range(25)) == [number for _, numbers in heir.send_all() for number in numbers]
    assert (35, 25, 0, {"spool_damaged": 10}) == tuple(heir.buffer.ledger())
    assert f"{bad.name}, which is called {bad.name}.unreadable" in caplog.text
    heir.queue.close()
    heir.spool.abandon()
    # A later process would send it behind those that came after it, if it could be read then.
    later = Worker(tmp_path, "later")
    assert ([], (0, 0, 0, {})) == (later.send_all(), tuple(later.buffer.ledger()))
    assert [f"{bad.name}.unreadable"] == [path.name for path in tmp_path.rglob("*.batch*")]


def test_a_file_with_another_name_is_told_of(tmp_path, caplog):
    """A batch whose name a program has changed is neither adopted nor removed."""
    dead = Worker(tmp_path, "dead")
    dead.record(1)
    dead.queue.secure()
    (path,) = files(tmp_path)
    path.rename(path.with_name("renamed.batch"))
    dead.dies()
    heir = Worker(tmp_path, "heir")
    assert [] == heir.send_all()
    heir.queue.close()
    assert ["renamed.batch.unreadable"] == [path.name for path in tmp_path.rglob("*.batch*")]
    assert "its name is not that of a batch" in caplog.text


def test_a_folder_that_cannot_be_taken_over_costs_no_other(tmp_path, caplog):
    """What is no folder among the folders of dead processes is told of, and left there."""
    for boot_id in ("a", "b"):
        worker = Worker(tmp_path, boot_id)
        worker.record(1)
        worker.queue.secure()
        worker.dies()
        (tmp_path / "pool" / f"{boot_id}-file").touch()
    heir = Worker(tmp_path, "heir")
    assert ["a", "b"] == sorted(boot_id for boot_id, _ in heir.send_all())
    assert "cannot take" in caplog.text
    assert {"a-file", "b-file", "heir"} == {path.name for path in (tmp_path / "pool").iterdir()}


def cleaned_of_all_but_batches(folder):
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix != ".batch":
            path.unlink()


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_cleaner_that_deletes_old_files_takes_no_folder_from_its_owner(tmp_path, is_alive):
    """A folder is its owner's, and an heir's afterwards, whichever files but batches are gone."""
    owner = Worker(tmp_path, "owner")
    owner.record(1)
    owner.queue.secure()
    if is_alive:
        cleaned_of_all_but_batches(tmp_path)
        assert [] == Worker(tmp_path, "early").send_all()
        owner.record(2)
        owner.queue.secure()
    owner.dies()
    cleaned_of_all_but_batches(tmp_path)
    numbers = [number for _, sent in Worker(tmp_path, "heir").send_all() for number in sent]
    assert ([1, 2] if is_alive else [1]) == numbers


def test_a_folder_that_is_deleted_under_its_owner_is_made_anew(tmp_path, caplog):
    """What was in it is counted; what comes later is on disk again, and an heir finds it."""
    owner = Worker(tmp_path, "owner")
    owner.record(1)
    owner.queue.secure()
    shutil.rmtree(tmp_path)
    owner.record(2, 3)
    owner.queue.secure()
    assert "was deleted; it is made anew" in caplog.text
    assert 1 == len(files(tmp_path))
    batch = owner.queue.current()
    assert batch is not None
    assert [2, 3] == numbers_of(batch.items)
    assert (3, 0, 2, {"spool_damaged": 1}) == tuple(owner.buffer.ledger())
    owner.dies()
    assert [("owner", [2, 3])] == Worker(tmp_path, "heir").send_all()


def test_a_batch_that_is_split_after_its_folder_was_deleted_stays_in_memory(tmp_path):
    """The halves of the batch under way are sent, though the disk has no place for them."""
    directory = tmp_path / "spool"
    owner = Worker(directory, "owner")
    owner.record(*range(10))
    owner.queue.current()
    shutil.rmtree(directory)
    directory.touch()
    owner.record(10)
    owner.queue.secure()
    assert owner.queue.split()
    assert list(range(11)) == [number for _, numbers in owner.send_all() for number in numbers]


def test_what_comes_while_batches_wait_on_disk_makes_no_file_for_each_request(tmp_path):
    """It goes to disk with the next turn, or when it fills a batch."""
    worker = Worker(tmp_path, "a")
    worker.record(*range(30))
    worker.queue.secure()
    sent = []
    for number in range(30, 36):
        worker.record(number)
        batch = worker.queue.current()
        assert batch is not None
        sent.append(len(batch.items))
        worker.queue.settle()
    assert [10, 10, 10, 4, 1, 1] == sent
    worker.record(*range(36, 66))
    worker.queue.secure()
    worker.record(*range(66, 76))
    assert worker.queue.current() is not None
    assert (0, 4) == (len(worker.buffer), len(files(tmp_path)))


@contextmanager
def small_files_only(bytes_max):
    """Let no file grow beyond a size, as a full disk would; errno is EFBIG, not ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_the_spool_and_no_sample(tmp_path, caplog):
    """What the disk does not take stays in memory and is sent; one warning says so."""
    worker = Worker(tmp_path, "a")
    worker.record(*range(10))
    worker.queue.secure()
    with small_files_only(100):
        worker.record(*range(10, 35))
        worker.queue.secure()
        worker.clock.advance(RETRY_SECONDS)
        worker.queue.secure()
        ledger, spooled = worker.queue.ledger(1)
        assert (35, 10) == (ledger.pending, spooled)
        assert 1 == len([r for r in caplog.records if "in memory only" in r.getMessage()])
        batch = worker.queue.current()
        assert batch is not None
        assert list(range(10)) == numbers_of(batch.items)
        worker.queue.settle()
        assert ("a", list(range(10, 20))) == worker.send_all()[0]
    assert (35, 35, 0, {}) == tuple(worker.buffer.ledger())
    assert [] == [path for path in tmp_path.rglob("*") if path.name == "being-written"]
    worker.clock.advance(RETRY_SECONDS)
    worker.record(1)
    worker.queue.secure()
    assert 1 == len(files(tmp_path))


def test_a_directory_that_cannot_be_made_costs_the_spool_and_no_sample(tmp_path, caplog):
    """Where no spool can be made, the client warns, and the worker goes on in memory."""
    (tmp_path / "pool").write_text("no folder")
    worker = Worker(tmp_path, "a")
    worker.record(1)
    assert [("a", [1])] == worker.send_all()
    assert "in memory only" in caplog.text
    stats = worker.queue.spool_stats()
    assert stats is not None
    assert not stats.is_available


def test_a_split_that_the_disk_does_not_take_leaves_nothing_to_be_sent_whole(tmp_path):
    """If the disk has no room for the halves' names, the halves are in memory only."""
    worker = Worker(tmp_path, "a")
    worker.record(*range(10))
    worker.queue.current()
    with small_files_only(10):
        assert worker.queue.split()
    assert [] == files(tmp_path)
    assert [list(range(5)), list(range(5, 10))] == [numbers for _, numbers in worker.send_all()]


def spooling_client(folder, transport, **settings):
    named = {"component_name": "pool", **settings}
    return MetricsClient(
        registry=Registry(), transport=transport, system_metrics=(), self_metrics=False,
        flush_interval=3600.0, spool_directory=str(folder), random=lambda: 0.0, **named,
    )  # fmt: skip


class Away(InMemoryTransport):
    """A server that asks the client to wait, and still keeps what it is sent."""

    def send(self, batch, runtime_id, timeout):
        super().send(batch, runtime_id, timeout)
        raise server_away(retry_after=3600)


def test_a_flush_says_what_is_safe_on_disk(tmp_path):
    """While the server is away, pending samples are spooled; the next client sends them once."""
    transport = InMemoryTransport()
    client = spooling_client(tmp_path, Away())
    client.record("value", 1)
    client.record("value", 2)
    client.start()
    while client.stats().spool.samples < 2:
        pass
    assert FlushResult(0, 2, 0, timed_out=True, spooled=2) == client.flush(timeout=0.2)
    assert FlushResult(0, 2, 0, timed_out=False, spooled=2) == client.shutdown(timeout=5)
    with spooling_client(tmp_path, transport) as heir:
        wait_until_idle(heir)
        assert 2 == heir.stats().samples.sent
    assert [1.0, 2.0] == [sample.value for sample in transport.received("value")]
    assert [] == files(tmp_path)


def test_a_batch_whose_answer_was_lost_with_its_process_is_not_doubled(tmp_path):
    """A batch was delivered but not acknowledged: the server recognises the heir's repeat."""
    away, transport = Away(), InMemoryTransport()
    client = spooling_client(tmp_path, away).start()
    client.record("value", 1)
    assert 1 == client.shutdown(timeout=5).spooled
    assert 1 == len(away.received("value"))
    transport._receipts = away._receipts  # the same server, back again
    with spooling_client(tmp_path, transport) as heir:
        wait_until_idle(heir)
        assert 1 == heir.stats().samples.sent
    assert [] == transport.received("value")
    assert set(away.keys) == set(transport.keys)


def test_a_batch_that_is_too_large_is_split_on_disk(tmp_path):
    """With a spool, 413 splits a batch: the halves arrive, and nothing is left on disk."""
    transport = InMemoryTransport()
    with spooling_client(tmp_path, transport) as client:
        wait_until_idle(client)
        for number in range(5):
            client.record("value", number)
        transport.fail_next(*[PayloadTooLargeError("too large", 413)] * 2)
        client.flush()
        assert 5 == client.stats().samples.sent
        assert [] == files(tmp_path)
    assert [0.0, 1.0, 2.0, 3.0, 4.0] == [sample.value for sample in transport.received("value")]


PROGRAM = """
import os, sys, warnings
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
from noetl_metrics_sdk import MetricsClient, Registry
from noetl_metrics_sdk.testing import InMemoryTransport, server_away

class Away(InMemoryTransport):
    def send(self, batch, runtime_id, timeout):
        raise server_away(retry_after=3600)


client = MetricsClient(
    component_name="pool", registry=Registry(), transport=Away(), system_metrics=(),
    self_metrics=False, spool_directory=sys.argv[1],
).start()
client.record("value", 1)
while client.flush(0.1).spooled != 1:
    pass
reading, writing = os.pipe()
if os.fork() == 0:
    client.shutdown(5)  # it is not to take over what its parent leaves
    os.write(writing, b".")
    sys.stdin.read()
    os._exit(0)
os.read(reading, 1)
os.kill(os.getpid(), 9)
"""


def test_a_forked_child_does_not_hold_its_parents_spool(tmp_path):
    """A killed parent's spool is taken over although its child lives on."""
    transport = InMemoryTransport()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdin=subprocess.PIPE
    ) as parent:
        assert -9 == parent.wait(60)  # the child reads from the pipe until it is closed
        with spooling_client(tmp_path, transport) as heir:
            wait_until_idle(heir)
    assert 1 == len(transport.received("value"))
