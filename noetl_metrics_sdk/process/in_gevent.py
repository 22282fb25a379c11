"""Hear when gevent patches a process that runs already.

gunicorn's gevent workers are patched right after their fork, when a preloaded application has
started its client before. A thread from before the patching stays a thread. But its calls of
patched functions, like those of a socket, wait for an event loop that nothing runs, and at its end
it does not find itself in the patched list of threads.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def call_around_patching(before: Callable[[], None], after: Callable[[], None]) -> None:
    """Call two functions when gevent patches this process, unless it has done so already.

    In a program that has not imported gevent, this does nothing.

    Args:
        before: called before the patching, which takes some tenths of a second.
        after: called after it.
    """
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is None or monkey.is_module_patched("threading"):
        return
    events: Any = import_module("gevent.events")

    def hear(event: object) -> None:
        if isinstance(event, events.GeventWillPatchAllEvent):
            before()
        elif isinstance(event, events.GeventDidPatchAllEvent):
            events.subscribers.remove(hear)
            after()

    events.subscribers.append(hear)
