"""What a forked child has to do before it may use this package.

A lock that another thread held at the moment of the fork stays locked for ever in the child,
background threads do not exist there, and what the parent counted is the parent's to report.
So everything with a lock, a count or a thread registers here, and the child starts from zero.
"""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class ForkAware(Protocol):
    """Something that has to start afresh in a forked child."""

    def _reset_after_fork(self) -> None: ...


class ForkHandle:
    """Stands for a store in the list of what a forked child resets.

    Compiled classes cannot be referred to weakly, so this is, and the store keeps it: the two
    live and die together.

    Args:
        store: what is reset.
    """

    __slots__ = ("__weakref__", "store")

    def __init__(self, store: ForkAware) -> None:
        self.store = store


# Weak, so that registering keeps nothing alive.
_stores: weakref.WeakSet[ForkHandle] = weakref.WeakSet()
_clients: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_has_client_hook = False


def reset_store_after_fork(store: ForkAware) -> ForkHandle:
    """Have a registry or an instrument start from zero in a forked child.

    Returns:
        A handle that the store has to keep: it is reset for as long as the handle lives.
    """
    handle = ForkHandle(store)
    _stores.add(handle)
    return handle


def restart_client_after_fork(client: ForkAware) -> None:
    """Have a client start afresh in a forked child, after every store has been reset.

    A client starts threads, and hooks run in the order in which they were registered. If this
    one ran before that of `logging`, a thread could wait for a lock of logging's at the moment
    when logging's hook replaces it, and would wait for ever. So it is registered with the first
    client, when all that a client's threads use has been imported.
    """
    global _has_client_hook  # noqa: PLW0603 - once a process, like the hook
    _clients.add(client)
    if not _has_client_hook:
        _has_client_hook = True
        _call_in_forked_child(_restart_clients)


def _reset_stores() -> None:
    for handle in list(_stores):
        handle.store._reset_after_fork()


def _restart_clients() -> None:
    for client in list(_clients):
        client._reset_after_fork()


def _call_in_forked_child(hook: Callable[[], None]) -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=hook)


_call_in_forked_child(_reset_stores)
