"""Await a call that blocks, in an event loop of asyncio or of trio.

The call gets a thread of its own, and not one of the event loop's threads. Those have a bound, and
a program must be able to flush even if its jobs have taken all of them.

Why so: docs/decisions/layout.md.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")


async def in_own_thread(name: str, call: Callable[[], Answer]) -> Answer:
    """Return the result of `call()`, while the event loop goes on.

    If the awaiting task is cancelled, it ends at once. The call goes on to its own end, and its
    result is discarded.

    Args:
        name: the thread's name.
        call: the call that blocks.

    Raises:
        BaseException: the error that `call()` raises.
    """
    is_over, call_in_loop = _of_the_running_loop()
    answers: list[Answer] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(call())
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            errors.append(error)
        with suppress(RuntimeError):  # the loop is closed: no task waits any more
            call_in_loop(is_over.set)

    threading.Thread(target=run, name=name, daemon=True).start()
    await is_over.wait()
    for error in errors:
        raise error
    return answers[0]


def _of_the_running_loop() -> tuple[Any, Callable[[Callable[[], object]], object]]:
    """Return an event of the running loop, and what calls a function in the loop from a thread."""
    # A program that runs trio has imported it. Its functions are of unknown types here, as the
    # package does not depend on it.
    trio: Any = sys.modules.get("trio")
    if trio is not None and trio.lowlevel.in_trio_task():
        return trio.Event(), trio.lowlevel.current_trio_token().run_sync_soon
    import asyncio  # noqa: PLC0415 - a worker without an event loop never needs it

    return asyncio.Event(), asyncio.get_running_loop().call_soon_threadsafe
