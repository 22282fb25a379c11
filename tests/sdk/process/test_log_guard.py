"""A fork waits for the threads that write messages of this package."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

import noetl_metrics_sdk

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

LOGGER = logging.getLogger(noetl_metrics_sdk.__name__)
WAIT_SECONDS = 60.0


class SlowHandler(logging.Handler):
    """A handler that a test holds up; it has a lock for which Python knows no remedy."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.held: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.held.append(record.getMessage())
        self.begun.set()
        self.may_end.wait(WAIT_SECONDS)
        self.held.clear()


@contextmanager
def handling(handler: logging.Handler) -> Generator[None]:
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)


def child_sees(look: Callable[[], bool]) -> bool:
    """Fork, and return what the child finds."""
    child = os.fork()
    if child == 0:
        os._exit(0 if look() else 1)
    return os.waitpid(child, 0)[1] == 0


def test_a_fork_waits_until_no_thread_is_in_a_handler() -> None:
    """What a handler has locked, such as the buffer of stderr, is not locked in the child."""
    slow = SlowHandler()
    with handling(slow):
        logs = threading.Thread(target=LOGGER.warning, args=["delivery failed"])
        logs.start()
        assert slow.begun.wait(WAIT_SECONDS)
        threading.Timer(0.05, slow.may_end.set).start()
        assert child_sees(lambda: not slow.held)
        logs.join(WAIT_SECONDS)


def test_a_handler_that_does_not_end_holds_no_fork_up_for_long() -> None:
    """After a second the fork goes on; logging goes on afterwards, in both processes."""
    slow = SlowHandler()
    with handling(slow):
        logs = threading.Thread(target=LOGGER.warning, args=["delivery failed"])
        logs.start()
        assert slow.begun.wait(WAIT_SECONDS)
        LOGGER.removeHandler(slow)
        assert child_sees(lambda: slow.held == ["delivery failed"] and _can_log())
        slow.may_end.set()
        logs.join(WAIT_SECONDS)
    assert _can_log()


class ForkingHandler(logging.Handler):
    """A handler that starts a process."""

    def __init__(self) -> None:
        super().__init__()
        self.could_log: list[bool] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "fork":
            self.could_log.append(child_sees(_can_log))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_handler_may_fork() -> None:
    """The thread that forks does not wait for itself."""
    forking = ForkingHandler()
    with handling(forking):
        LOGGER.warning("fork")
    assert [True] == forking.could_log


def _can_log() -> bool:
    """Return whether another thread can log a message of this package."""
    counting = CountingHandler()
    with handling(counting):
        logs = threading.Thread(target=LOGGER.warning, args=["seen"], daemon=True)
        logs.start()
        logs.join(WAIT_SECONDS)
    return counting.count == 1


class CountingHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
