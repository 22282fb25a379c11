"""What is compiled, whether it can be, and whether it has to be.

`NOETL_METRICS_COMPILE` is `auto` (compile if it can be done; the default), `require` (fail if it
cannot) or `no`.
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

if TYPE_CHECKING:
    from collections.abc import Iterator


VARIABLE = "NOETL_METRICS_COMPILE"
MYPY = "mypy>=2.4,<3"

# All of them in one go: they call each other without going through the interpreter.
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
        SystemExit: it asks for something else.
    """
    value = os.environ.get(VARIABLE, "auto")
    if value not in {"auto", "require", "no"}:
        raise SystemExit(f"{VARIABLE} is {value!r}: it must be auto, require or no")
    return value


def obstacle() -> str | None:
    """Return why nothing can be compiled here, or None if it can be tried."""
    if sys.implementation.name != "cpython":
        return f"mypyc compiles for CPython, and this is {sys.implementation.name}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "mypyc's support for free-threaded interpreters is experimental"
    if sys.platform == "win32":
        return None  # setuptools finds Microsoft's compiler, or fails to
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    if shutil.which(compiler) is None:
        return f"there is no C compiler: {compiler} is not on PATH"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        return f"there is no {header}: install Python's development files"
    return None


def temporary_folder(prefix: str, within: str | None = None) -> str:
    """Return a new folder that is there until the build ends."""
    folder = tempfile.mkdtemp(prefix=prefix, dir=within)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@contextmanager
def enabled() -> Iterator[None]:
    """Have setup.py compile."""
    global _is_enabled  # noqa: PLW0603 - setup.py is run by setuptools, and takes no arguments
    _is_enabled = True
    try:
        yield
    finally:
        _is_enabled = False


def extensions() -> list[Any]:
    """Return the extension modules of a build: none unless it is enabled."""
    if not _is_enabled:
        return []
    from mypyc.build import mypycify  # noqa: PLC0415 - there only if something is compiled

    # setuptools takes no sources from outside of the tree; nothing is left there after the build.
    folder = os.path.relpath(temporary_folder("build-mypyc-", within="."))
    modules = mypycify(
        [
            # The project's own settings are for its linting; its dependencies are not here.
            "--config-file=",
            f"--cache-dir={folder}/mypy",
            "--ignore-missing-imports",
            "--follow-imports=silent",
            *[f"noetl_metrics_sdk/{name}.py" for name in COMPILED_MODULES],
        ],
        opt_level="3",
        debug_level="0",
        group_name="noetl_metrics_sdk",
        target_dir=folder,
    )
    if sys.platform != "win32":
        for module in modules:
            # Nothing but the modules' entry points is called from outside, and what cannot be
            # replaced from outside can be inlined: 2 ns of the 25 of an increment.
            module.extra_compile_args.append("-fvisibility=hidden")
    return list(modules)
