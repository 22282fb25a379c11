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


def mend(source: Path) -> int:
    """Take the trashcan from the classes that the garbage collector does not know.

    Args:
        source: a file of C that mypyc has written. It is written anew.

    Returns:
        From how many classes it was taken.

    Raises:
        SystemExit: the file is not as mypyc writes it.
    """
    kept: list[str] = []
    mended = 0
    is_known = is_within = False
    for line in source.read_text(encoding="utf-8").splitlines(keepends=True):
        if "_dealloc(" in line and line.rstrip().endswith("*self)"):
            is_known = False
        is_known = is_known or _KNOWN_TO_COLLECTOR in line
        if _BEGIN in line and not is_known:
            is_within = True
        elif _END in line and is_within:
            is_within = False
            mended += 1
        else:
            kept.append(line)
    if is_within:
        raise SystemExit(f"{source} has a {_BEGIN} without a {_END}: use another version of mypy")
    if mended:
        source.write_text("".join(kept), encoding="utf-8")
    return mended
