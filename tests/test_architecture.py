"""Who may import whom: the table of ARCHITECTURE.md, kept true.

Each module may import, of its own package, only what stands before it in its row; the packages'
roots re-export and may import everything of their own.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

SDK = {
    "errors": set(),
    "fork": set(),
    "clock": set(),
    "model": {"errors"},
    "registry": {"errors", "fork"},
    "decoration": set(),
    "timing": {"decoration"},
    "sketch": set(),
    "labelled": {"errors", "fork", "model", "registry"},
    "instruments": {"errors", "labelled", "model", "registry", "sketch", "timing"},
    "jobs": {"decoration", "errors", "fork", "instruments", "model", "registry"},
    "system_families": {"model"},
    "cgroups": set(),
    "host_metrics": set(),
    "process_metrics": {"host_metrics"},
    "system": {
        "cgroups", "errors", "fork", "host_metrics", "model", "process_metrics", "system_families",
    },
    "buffer": {"model"},
    "change_filter": {"model"},
    "collection": {"buffer", "change_filter", "clock", "errors", "model", "registry"},
    "wire": {"model"},
    "batching": {"buffer", "wire"},
    "transport": {"wire"},
    "http_transport": {"errors", "transport", "wire"},
    "retry": {"errors"},
    "periodic": {"clock"},
    "exporter": {"batching", "buffer", "clock", "errors", "retry", "transport", "wire"},
    "config": {"errors", "model", "system_families"},
    "recording": {"errors", "model"},
    "process_exit": set(),
    "client": {
        "batching", "buffer", "change_filter", "clock", "collection", "config", "errors",
        "exporter", "fork", "http_transport", "model", "periodic", "process_exit", "recording",
        "registry", "system", "transport", "wire",
    },
    "process_client": {"client", "config", "errors", "exporter", "fork", "registry", "transport"},
    "testing": {"errors", "registry", "transport", "wire"},
    "pytest_plugin": {"testing"},
}  # fmt: skip

# The only importers of each dependency, and of what does I/O.
ONLY_IMPORTERS = {
    "httpx": {"noetl_metrics_sdk.http_transport"},
    "tenacity": {"noetl_metrics_sdk.retry"},
    "pydantic": {"noetl_metrics_sdk.config"},
    "psutil": {
        "noetl_metrics_sdk.system",
        "noetl_metrics_sdk.host_metrics",
        "noetl_metrics_sdk.process_metrics",
    },
}

# These do no I/O and read no clock: time is passed in.
PURE_SDK = {"model", "buffer", "change_filter", "wire", "batching", "sketch", "recording"}
IMPURE_IMPORTS = {"time", "datetime", "os", "io", "socket", "pathlib", "subprocess", "asyncio"}


def modules(package: str) -> dict[str, Path]:
    return {path.stem: path for path in (ROOT / package).glob("*.py") if path.stem != "__init__"}


def imports(path: Path) -> set[str]:
    """Return the dotted names that a module imports, wherever in it, for typing or not."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imported_modules(path: Path, package: str) -> set[str]:
    prefix = package + "."
    names = {name.removeprefix(prefix).split(".")[0] for name in imports(path) if prefix in name}
    return names & set(modules(package))


def test_every_module_of_the_sdk_stands_in_the_table():
    """A new module is given its place before it is written."""
    assert set(modules("noetl_metrics_sdk")) == set(SDK)


@pytest.mark.parametrize("module", sorted(SDK))
def test_a_module_of_the_sdk_imports_only_what_it_may(module):
    """Nobody imports upward, or what is not theirs to know."""
    imported = imported_modules(ROOT / "noetl_metrics_sdk" / f"{module}.py", "noetl_metrics_sdk")
    assert set() == imported - SDK[module]


def test_the_table_has_no_circle():
    """Following the table down always ends."""
    remaining = {module: set(allowed) for module, allowed in SDK.items()}
    while remaining:
        lowest = {module for module, allowed in remaining.items() if not allowed & set(remaining)}
        assert lowest, f"a circle among {sorted(remaining)}"
        for module in lowest:
            del remaining[module]


@pytest.mark.parametrize("dependency", sorted(ONLY_IMPORTERS))
def test_a_dependency_has_only_its_importers(dependency):
    """Each dependency is behind one seam."""
    importers = {
        f"noetl_metrics_sdk.{module}"
        for module, path in modules("noetl_metrics_sdk").items()
        if any(name.split(".")[0] == dependency for name in imports(path))
    }
    assert importers == ONLY_IMPORTERS[dependency]


def test_the_sdk_does_not_know_the_server():
    """A worker never loads server_stub."""
    for path in modules("noetl_metrics_sdk").values():
        assert not any(name.split(".")[0] == "server_stub" for name in imports(path)), path


@pytest.mark.parametrize("module", sorted(PURE_SDK))
def test_a_pure_module_does_no_io_and_reads_no_clock(module):
    """Time is passed in, and bytes are somebody else's to move."""
    imported = {name.split(".")[0] for name in imports(ROOT / f"noetl_metrics_sdk/{module}.py")}
    assert set() == imported & IMPURE_IMPORTS
