"""A fork waits for the threads that write messages of this package."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
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


def child_finds(look: Callable[[], list[str]]) -> list[str]:
    """Fork, and return what the child finds, or how it ended if it finds nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = look()
        except BaseException:  # noqa: BLE001 - the child must not go on as a second pytest
            found = [traceback.format_exc()]
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found_json = pipe.read()
    status = os.waitpid(child, 0)[1]
    return json.loads(found_json) if status == 0 else [f"the child ended with status {status}"]


def test_a_fork_waits_until_no_thread_is_in_a_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a handler has locked, such as the buffer of stderr, is not locked in the child."""
    monkeypatch.setattr("noetl_metrics_sdk.process.log_guard.FORK_WAIT_SECONDS", WAIT_SECONDS)
    slow = SlowHandler()
    with handling(slow):
        logs = threading.Thread(target=LOGGER.warning, args=["delivery failed"])
        logs.start()
        assert slow.begun.wait(WAIT_SECONDS)
        threading.Timer(0.05, slow.may_end.set).start()
        assert [] == child_finds(lambda: slow.held)
        logs.join(WAIT_SECONDS)


def test_a_handler_that_does_not_end_holds_no_fork_up_for_long() -> None:
    """After a second the fork goes on; logging goes on afterwards, in both processes."""
    slow = SlowHandler()
    with handling(slow):
        logs = threading.Thread(target=LOGGER.warning, args=["delivery failed"])
        logs.start()
        assert slow.begun.wait(WAIT_SECONDS)
        LOGGER.removeHandler(slow)
        assert ["delivery failed", "seen"] == child_finds(lambda: slow.held + _logged())
        slow.may_end.set()
        logs.join(WAIT_SECONDS)
    assert ["seen"] == _logged()


class ForkingHandler(logging.Handler):
    """A handler that starts a process."""

    def __init__(self) -> None:
        super().__init__()
        self.logged_in_child: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "fork":
            self.logged_in_child += child_finds(_logged)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_handler_may_fork() -> None:
    """The thread that forks does not wait for itself."""
    forking = ForkingHandler()
    with handling(forking):
        LOGGER.warning("fork")
    assert ["seen"] == forking.logged_in_child


def _logged() -> list[str]:
    """Return what a handler gets if another thread logs, or where that thread waits for ever."""
    keeping = KeepingHandler()
    with handling(keeping):
        logs = threading.Thread(target=LOGGER.warning, args=["seen"], daemon=True)
        logs.start()
        logs.join(WAIT_SECONDS)
    if logs.is_alive():
        frame = sys._current_frames()[logs.ident or 0]
        return ["the thread is still there", *traceback.format_stack(frame)]
    return keeping.messages


class KeepingHandler(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
