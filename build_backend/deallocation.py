"""Mends how compiled objects end that the garbage collector does not know.

Where objects end inside of fifty others that end, CPython puts the next one aside (its "trashcan"),
and notes it in the object's header for the garbage collector. mypyc writes the calls for that into
every class. But the objects of a class with `@mypyc_attr(acyclic=True)` have no such header, and
the note breaks the memory before them. They refer to nothing that may refer on and on, so they need
no trashcan, and this module takes the calls away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BEGIN, _END = "CPy_TRASHCAN_BEGIN(self, ", "CPy_TRASHCAN_END(self)"
_KNOWN_TO_COLLECTOR = "PyObject_GC_UnTrack(self);"


def mend(source: Path) -> None:
    """Take the trashcan from the classes that the garbage collector does not know.

    Args:
        source: a file of C that mypyc has written. It is written anew.

    Raises:
        SystemExit: the file is not as mypyc writes it.
    """
    kept: list[str] = []
    is_known: bool | None = None  # None outside of a function that ends objects
    is_within = False
    for line in source.read_text(encoding="utf-8").splitlines(keepends=True):
        if "_dealloc(" in line and line.rstrip().endswith("*self)"):
            is_known = False
        elif _KNOWN_TO_COLLECTOR in line:
            is_known = True
        if _BEGIN in line:
            if is_known is None or is_within:
                raise SystemExit(f"{source} is not as mypyc 2.4 writes it: {line.strip()}")
            is_within = not is_known
            is_known = None
        if not is_within:
            kept.append(line)
        elif _END in line:
            is_within = False
        elif _BEGIN not in line:
            kept.append(line)
    if is_within:
        raise SystemExit(f"{source} has a {_BEGIN} without a {_END}")
    source.write_text("".join(kept), encoding="utf-8")
