"""Reset this package in a forked child, before the child uses it.

If another thread holds a lock at the moment of the fork, the lock stays locked in the child for
ever. The child has no background threads. And the parent reports the counts that it made before the
fork. So everything with a lock, a count or a thread registers here, and the child starts from zero.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import _thread
import os
import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


START_AFTER_SECONDS = 0.5
"""How long after the fork a client starts in a child that does not use it before."""


class ForkHandle:
    """Stands for a store or a client in the lists of what a forked child resets.

    There are no weak references to objects of compiled classes. So the lists have weak references
    to handles, and each owner keeps its handle: both live equally long.

    Args:
        reset: the owner's method that makes it start from zero.
    """

    __slots__ = ("__weakref__", "reset")

    def __init__(self, reset: Callable[[], None]) -> None:
        self.reset = reset


# The references are weak, so registering an owner does not keep it alive.
_stores: weakref.WeakSet[ForkHandle] = weakref.WeakSet()
_clients: weakref.WeakSet[ForkHandle] = weakref.WeakSet()
_has_client_hook = False


class _ChildHooks:
    """The hooks that run in a forked child, in the order in which they were registered."""

    def __init__(self) -> None:
        self.hooks: list[Callable[[], None]] = []
        self.ran_in = os.getpid()

    def note_process(self) -> None:
        self.ran_in = os.getpid()


_child = _ChildHooks()


def reset_store_after_fork(reset: Callable[[], None]) -> ForkHandle:
    """Make a store, like a registry or an instrument, start from zero in a forked child.

    Args:
        reset: the store's method that makes it start from zero.

    Returns:
        A handle that the store has to keep: a fork resets the store only while the handle lives.
    """
    handle = ForkHandle(reset)
    _stores.add(handle)
    return handle


def restart_client_after_fork(restart: Callable[[], None]) -> ForkHandle:
    """Make a client start afresh in a forked child, after every store has been reset.

    A client starts a thread, and Python runs the hooks in the order in which they were registered.
    If this hook ran before logging's hook, a thread of the client could wait for a lock of logging
    at the moment when logging's hook replaces the lock. The thread would then wait for ever. So the
    first client registers this hook: by then all modules that a client's threads use are imported.

    Args:
        restart: the client's method that makes it start afresh.

    Returns:
        A handle that the client has to keep: a fork restarts the client only while the handle
        lives.
    """
    global _has_client_hook  # noqa: PLW0603 - once a process, like the hook
    handle = ForkHandle(restart)
    _clients.add(handle)
    if not _has_client_hook:
        _has_client_hook = True
        call_in_forked_child(_restart_clients)
    return handle


def call_a_moment_later(action: Callable[[], None]) -> bool:
    """Call `action` after `START_AFTER_SECONDS`, in a thread; return False if there can be none."""

    def wait_and_call() -> None:
        time.sleep(START_AFTER_SECONDS)
        action()

    try:
        _thread.start_new_thread(wait_and_call, ())
    except RuntimeError:  # too many threads
        return False
    return True


def _reset_stores() -> None:
    for handle in list(_stores):
        handle.reset()


def _restart_clients() -> None:
    for handle in list(_clients):
        handle.reset()


def call_in_forked_child(
    hook: Callable[[], None],
    *,
    before: Callable[[], None] | None = None,
    after_in_parent: Callable[[], None] | None = None,
) -> None:
    """Call `hook` in each forked child, after the hooks that were registered before it.

    Args:
        hook: called in the child.
        before: called before a fork, if Python does the fork.
        after_in_parent: called in the parent after a fork, if Python does the fork.
    """
    _child.hooks.append(hook)
    if hasattr(os, "register_at_fork"):
        given = {"before": before, "after_in_parent": after_in_parent}
        os.register_at_fork(
            after_in_child=hook,
            **{name: called for name, called in given.items() if called is not None},
        )


def begin_in_worker_of_c() -> None:
    """Begin in a process that a call of C has forked, or that it has made the first worker."""
    if os.getpid() == _child.ran_in:
        _restart_clients()  # Python's own hooks have run here, or there was no fork
        return
    for hook in list(_child.hooks):
        hook()


call_in_forked_child(_child.note_process)
call_in_forked_child(_reset_stores)
