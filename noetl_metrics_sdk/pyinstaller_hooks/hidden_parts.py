"""Find the parts of this package that PyInstaller does not see.

PyInstaller follows the imports of Python code. It does not see what the root loads on demand, nor
what a compiled module imports. Beside each compiled module there is its source, which tells that.
"""

from __future__ import annotations

import ast
from importlib.metadata import PackageNotFoundError, files
from importlib.util import find_spec
from pathlib import Path

_PACKAGE = "noetl_metrics_sdk"
_DISTRIBUTION = "noetl-metrics-sdk"
_RUNTIME = "noetl_metrics_sdk__mypyc"
"""The compiled code of all modules that are compiled; see `build_backend/compiling.py`."""

_LEFT_OUT = ("otel", "pyinstaller_hooks", "pytest_plugin", "testing")
"""A program that uses one of these imports it, and then PyInstaller sees it."""


def hidden_imports() -> list[str]:
    """Return the modules of this package, and those that they import."""
    root = Path(__file__).parent.parent
    names: set[str] = set()
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] not in _LEFT_OUT:
            names.add(".".join([_PACKAGE, *parts]).removesuffix(".__init__"))
            names |= _imported_by(path)
    if find_spec(_RUNTIME) is not None:
        names.add(_RUNTIME)
    return sorted(names)


def metadata_files() -> list[tuple[str, str]]:
    """Return the file that has this package's version, and the folder that it belongs into."""
    try:
        found = files(_DISTRIBUTION) or []
    except PackageNotFoundError:  # imported from its sources, without an installation
        return []
    return [(str(file.locate()), str(file.parent)) for file in found if file.name == "METADATA"]


def _imported_by(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names.add(node.module)
    return names
