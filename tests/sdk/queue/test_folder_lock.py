"""The lock of a folder: who holds it, and who does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from noetl_metrics_sdk.queue.folder_lock import FolderLock

pytest.importorskip("fcntl", reason="there is no flock() to lock with")


def is_free(folder):
    try:
        lock = FolderLock(folder)
    except BlockingIOError:
        return False
    lock.release()
    return True


def test_a_folder_has_one_owner(tmp_path):
    """A second owner is refused, in the same process too, until the first one has released it."""
    lock = FolderLock(tmp_path)
    assert not is_free(tmp_path)
    lock.release()
    lock.release()  # changes nothing
    assert is_free(tmp_path)


def test_a_lock_goes_with_its_folder(tmp_path):
    """A folder that is moved stays locked; one that is made anew at its path is another folder."""
    folder, elsewhere = tmp_path / "a", tmp_path / "b"
    folder.mkdir()
    lock = FolderLock(folder)
    folder.rename(elsewhere)
    folder.mkdir()
    assert (False, True) == (lock.is_of(folder), lock.is_of(elsewhere))
    assert (True, False) == (is_free(folder), is_free(elsewhere))
    elsewhere.rmdir()
    assert not lock.is_of(elsewhere)
    lock.release()
    assert not lock.is_of(folder)


PROGRAM = """
import fcntl, os, sys, threading, time, warnings
from pathlib import Path
from noetl_metrics_sdk.queue import folder_lock

warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
moment, flock = sys.argv[2], fcntl.flock
reading, writing = os.pipe()
is_being_taken = threading.Event()


def fork():
    child = os.fork()
    if not child:
        os.write(writing, b".")
        time.sleep(60)
    print(child, flush=True)


def forking_flock(descriptor, operation):
    is_being_taken.set()
    if moment == "by another thread":
        time.sleep(0.05)  # a fork that did not wait for the lock would come in here
    if moment == "before":
        fork()
    flock(descriptor, operation)
    if moment == "after":
        fork()


folder_lock.fcntl.flock = forking_flock
take = lambda: locks.append(folder_lock.FolderLock(Path(sys.argv[1])))
locks = []
if moment == "by another thread":
    taking = threading.Thread(target=take)
    taking.start()
    is_being_taken.wait()
    fork()
    taking.join()
else:
    take()
if moment == "later":
    fork()
assert len(locks) == 1
os.read(reading, 1)
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("moment", ["later", "before", "after", "by another thread"])
def test_a_forked_child_does_not_hold_its_parents_lock(tmp_path, moment):
    """The lock of a killed process is free, whenever the child that lives on was forked."""
    program = [sys.executable, "-c", PROGRAM, str(tmp_path), moment]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            assert -9 == parent.wait(60)
            assert is_free(tmp_path)
        finally:
            os.kill(child, signal.SIGKILL)
