"""Await a call that blocks.

The call gets a thread of its own, and not one of the event loop's executor. The executor has a
bound for its threads, and a program must be able to flush even if its jobs have taken all of them.

Why so: docs/decisions/layout.md.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import asyncio
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
    import asyncio  # noqa: PLC0415 - a worker without an event loop never needs it

    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()

    def answer(result: Answer) -> None:
        if not answered.done():  # done already if the task was cancelled
            answered.set_result(result)

    def fail(error: BaseException) -> None:
        if not answered.done():
            answered.set_exception(error)

    def run() -> None:
        # If the loop is closed, no caller waits any more.
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(fail, error)
        else:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(answer, result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await answered
