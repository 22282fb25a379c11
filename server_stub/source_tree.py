"""Whether the sources of a clone hide the package that is installed, and may be compiled.

Why so: docs/decisions/packaging.md.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path


def hidden_installation() -> tuple[Path, Path] | None:
    """Return the folder of the sources that run, and that of the installed package.

    `python -m` looks into the current folder first. In a clone the server would run from sources
    that are never compiled, beside the compiled package that the operator has installed.

    Returns:
        None if the server does not run from the current folder, or nothing else is installed.
    """
    running = Path(__file__).resolve().parent.parent
    if sys.flags.safe_path or running != Path.cwd():
        return None
    elsewhere = [entry for entry in sys.path if Path(entry).resolve() != running]
    found = PathFinder.find_spec("server_stub", elsewhere)
    if found is None or found.origin is None:
        return None
    return running, Path(found.origin).parent.parent
