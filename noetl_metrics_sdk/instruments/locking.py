"""Decide whether a change of an instrument's value takes the instrument's lock.

| build | interpreter | the value is changed |
|---|---|---|
| compiled | with a GIL | without the lock |
| interpreted | any | under the lock |
| any | free-threaded (3.13t, 3.14t) | under the lock |

Compiled code runs from the beginning of an observation to its end without giving up the GIL. No
thread, signal handler or finalizer can run between its reading and its writing, as long as the code
in between neither calls Python code nor makes an object that the garbage collector tracks.
Interpreted code may be interrupted after every bytecode.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

import sys
from typing import Final


def _is_compiled() -> bool:
    # A compiled function is a builtin, which has no code object.
    return not hasattr(_is_compiled, "__code__")


def needs_lock(*, compiled: bool, free_threaded: bool) -> bool:
    """Return whether a value is changed under its lock, by the table of this module."""
    return free_threaded or not compiled


def is_free_threaded() -> bool:
    """Return whether this interpreter was built to run without a GIL (PEP 703).

    It asks how the interpreter was built, and not whether the GIL is in force now: the import of an
    extension that needs the GIL may enable it at any moment.
    """
    return "t" in getattr(sys, "abiflags", "")


COMPILED: Final[bool] = _is_compiled()
"""Whether the hot path was compiled by mypyc when this package was installed."""

NEEDS_LOCK: Final[bool] = needs_lock(compiled=COMPILED, free_threaded=is_free_threaded())
"""Whether the instruments of this process take their lock for every change."""
