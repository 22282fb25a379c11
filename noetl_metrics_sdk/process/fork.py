"""What a forked child has to do before it may use this package.

A lock that another thread held at the moment of the fork stays locked for ever in the child,
background threads do not exist there, and what the parent counted is the parent's to report.
So everything with a lock, a count or a thread registers here, and the child starts from zero.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class ForkHandle:
    """Stands for a store or a client in the list of what a forked child resets.

    Compiled classes cannot be referred to weakly, so this is, and its owner keeps it: the two
    live and die together.

    Args:
        reset: the owner's method that has it start from zero.
    """

    __slots__ = ("__weakref__", "reset")

    def __init__(self, reset: Callable[[], None]) -> None:
        self.reset = reset


# Weak, so that registering keeps nothing alive.
_stores: weakref.WeakSet[ForkHandle] = weakref.WeakSet()
_clients: weakref.WeakSet[ForkHandle] = weakref.WeakSet()
_has_client_hook = False


def reset_store_after_fork(reset: Callable[[], None]) -> ForkHandle:
    """Have a registry or an instrument start from zero in a forked child.

    Args:
        reset: its method that does so.

    Returns:
        A handle that the store has to keep: it is reset for as long as the handle lives.
    """
    handle = ForkHandle(reset)
    _stores.add(handle)
    return handle


def restart_client_after_fork(restart: Callable[[], None]) -> ForkHandle:
    """Have a client start afresh in a forked child, after every store has been reset.

    A client starts threads, and hooks run in the order in which they were registered. If this
    one ran before that of `logging`, a thread could wait for a lock of logging's at the moment
    when logging's hook replaces it, and would wait for ever. So it is registered with the first
    client, when all that a client's threads use has been imported.

    Args:
        restart: the client's method that does so.

    Returns:
        A handle that the client has to keep: it is restarted for as long as the handle lives.
    """
    global _has_client_hook  # noqa: PLW0603 - once a process, like the hook
    handle = ForkHandle(restart)
    _clients.add(handle)
    if not _has_client_hook:
        _has_client_hook = True
        _call_in_forked_child(_restart_clients)
    return handle


def _reset_stores() -> None:
    for handle in list(_stores):
        handle.reset()


def _restart_clients() -> None:
    for handle in list(_clients):
        handle.reset()


def _call_in_forked_child(hook: Callable[[], None]) -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=hook)


_call_in_forked_child(_reset_stores)
