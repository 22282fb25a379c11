"""What a forked child has to do before it may use this package.

A lock that another thread held at the moment of the fork stays locked for ever in the child,
background threads do not exist there, and what the parent counted is the parent's to report.
So everything with a lock, a count or a thread registers here, and the child starts from zero.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """Something that has to start afresh in a forked child."""

    def _reset_after_fork(self) -> None: ...


# Weak, so that registering keeps nothing alive. Instruments are reset before clients, because
# a client starts threads that collect from the instruments.
_stores: weakref.WeakSet[ForkAware] = weakref.WeakSet()
_clients: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def reset_store_after_fork(store: ForkAware) -> None:
    """Have a registry or an instrument start from zero in a forked child."""
    _stores.add(store)


def restart_client_after_fork(client: ForkAware) -> None:
    """Have a client start afresh in a forked child, after every store has been reset."""
    _clients.add(client)


def _reset_child() -> None:
    for fork_aware in [*_stores, *_clients]:
        fork_aware._reset_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_child)
