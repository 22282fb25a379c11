"""Decide what is compiled, whether it can be, and whether it has to be.

The environment variable `NOETL_METRICS_COMPILE` has one of three values. With `auto`, the default,
the build compiles if it can. With `require` it fails if it cannot. With `no` it does not try.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

import atexit
import os
import shlex
import shutil
import sys
import sysconfig
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deallocation import mend

if TYPE_CHECKING:
    from collections.abc import Iterator


VARIABLE = "NOETL_METRICS_COMPILE"
MYPY = "mypy>=2.4,<3"

# mypyc compiles them in one group, so they call each other without going through the interpreter.
COMPILED_MODULES = (
    "collection/instrument_tracker",
    "instruments/amounts",
    "instruments/counter",
    "instruments/definition",
    "instruments/gauge",
    "instruments/histogram",
    "instruments/instrument",
    "instruments/locking",
    "instruments/measuring",
    "instruments/sketch",
    "instruments/summary",
    "instruments/timing",
    "model/stamped_sample",
    "process/pacing",
    "queue/batch_names",
    "queue/batch_queue",
    "queue/buffer",
    "queue/wire",
)

_is_enabled = False


def wanted() -> str:
    """Return what the environment asks for: `auto`, `require` or `no`.

    Raises:
        SystemExit: the environment asks for something else.
    """
    value = os.environ.get(VARIABLE, "auto")
    if value not in {"auto", "require", "no"}:
        raise SystemExit(f"{VARIABLE} is {value!r}: it must be auto, require or no")
    return value


def obstacle() -> str | None:
    """Return the reason why nothing can be compiled here, or None if the build can try."""
    if sys.implementation.name != "cpython":
        return f"mypyc compiles for CPython, and this is {sys.implementation.name}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "mypyc's support for free-threaded interpreters is experimental"
    if sys.platform == "win32":
        return None  # setuptools looks for Microsoft's compiler itself, and may not find it
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler: {compiler} is not on PATH"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        return f"there is no {header}: install Python's development files"
    return None


def temporary_folder(prefix: str, within: str | None = None) -> str:
    """Make a folder that is removed when the build ends, and return its path."""
    folder = tempfile.mkdtemp(prefix=prefix, dir=within)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def enabled() -> Iterator[None]:
    """Let setup.py compile while the block runs."""
    global _is_enabled  # noqa: PLW0603 - setup.py is run by setuptools, and takes no arguments
    _is_enabled = True
    try:
        yield
    finally:
        _is_enabled = False


def extensions() -> list[Any]:
    """Return the extension modules of a build: an empty list unless compiling is enabled."""
    if not _is_enabled:
        return []
    from mypyc.build import mypycify  # noqa: PLC0415 - there only if something is compiled

    # setuptools takes no sources from outside of the tree. So the folder is in the tree, and is
    # removed when the build ends.
    folder = os.path.relpath(temporary_folder("build-mypyc-", within="."))
    modules = mypycify(
        [
            # The project's own mypy settings are for linting. They expect its dependencies, which
            # the build does not install; where they are there, mypy need not read them either.
            "--config-file=",
            f"--cache-dir={folder}/mypy",
            "--ignore-missing-imports",
            "--follow-imports=silent",
            "--no-site-packages",
            *[f"noetl_metrics_sdk/{name}.py" for name in COMPILED_MODULES],
        ],
        opt_level="3",
        debug_level="0",
        group_name="noetl_metrics_sdk",
        target_dir=folder,
    )
    for module in modules:
        for source in module.sources:
            mend(Path(source))
    if sys.platform != "win32":
        for module in modules:
            # Other libraries call only the modules' entry points. The C compiler may inline a
            # function that no other library can replace: that saves 2 ns of the 25 ns of an
            # increment.
            module.extra_compile_args.append("-fvisibility=hidden")
    return list(modules)
