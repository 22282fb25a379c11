"""Await a call that blocks.

The call gets a thread of its own, and not one of the event loop's executor: that has a bound,
and a program whose jobs have taken all of its threads must be able to flush nevertheless.
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
    """Return what `call()` returns, and let the event loop go on meanwhile.

    If the awaiting task is cancelled it ends at once; the call goes on to its own end, and its
    answer is let go of.

    Args:
        name: the thread's name.
        call: what is called.

    Raises:
        BaseException: what `call()` raises.
    """
    import asyncio  # noqa: PLC0415 - a worker without an event loop never needs it

    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()

    def answer(result: Answer) -> None:
        if not answered.done():  # cancelled
            answered.set_result(result)

    def fail(error: BaseException) -> None:
        if not answered.done():
            answered.set_exception(error)

    def run() -> None:
        # A loop that is closed has nobody left who waits.
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
