"""Check what ARCHITECTURE.md says: which folder may import which, and the tree.

A folder, and a file beside the folders, may import from its own package only the modules that its
row lists. The root of a package re-exports names and may import everything of its package.
"""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
PAGE_WORDS_MAX = 1_500

SDK = {
    "clock": set(),
    "errors": set(),
    "model": {"errors"},
    "process": {"clock"},
    "registry": {"errors", "model", "process"},
    "instruments": {"errors", "model", "process", "registry"},
    "jobs": {"errors", "instruments", "model", "process", "registry"},
    "system": {"errors", "model", "process"},
    "queue": {"clock", "model", "process"},
    "collection": {
        "clock", "errors", "instruments", "jobs", "model", "process", "queue", "registry",
    },
    "transport": {"errors", "model", "process", "queue"},
    "delivery": {"clock", "errors", "queue", "transport"},
    "client": {
        "clock", "collection", "delivery", "errors", "jobs", "model", "process", "queue",
        "registry", "system", "transport",
    },
    "exposition": {"errors", "instruments", "jobs", "model", "process", "registry"},
    "otel": {"client", "errors", "model", "process"},
    "testing": {"errors", "model", "process", "queue", "registry", "transport"},
    "pyinstaller_hooks": set(),
    "pytest_plugin": {"testing"},
}  # fmt: skip

SERVER = {
    "background": set(),
    "errors": set(),
    "setting_values": set(),
    "source_tree": set(),
    "statistics": set(),
    "timestamps": set(),
    "settings": {"setting_values"},
    "command_line": {"settings"},
    "serving": {"errors", "settings"},
    "auth": {"errors", "settings"},
    "tokens": {"auth"},
    "web": {"auth", "errors", "serving", "statistics"},
    "postgresql": {"errors", "settings", "statistics"},
    "embedded_postgresql": {"errors", "postgresql"},
    "components": {"errors", "postgresql", "settings", "statistics"},
    "time_series_database": {"components", "errors", "postgresql", "settings"},
    "ingest": {
        "auth", "components", "errors", "postgresql", "settings", "statistics",
        "time_series_database", "timestamps",
    },
    "query": {
        "components", "errors", "postgresql", "settings", "time_series_database", "timestamps",
    },
    "exposition": {"components", "query"},
    "catalog": {"components", "postgresql", "query", "settings", "time_series_database"},
    "export": {
        "background", "errors", "postgresql", "settings", "statistics", "time_series_database",
    },
    "routes": {
        "auth", "catalog", "components", "errors", "export", "exposition", "ingest", "postgresql",
        "query", "settings", "statistics", "time_series_database", "timestamps", "web",
    },
    "self_reporting": {"components", "errors", "ingest", "settings"},
    "app": {
        "auth", "background", "catalog", "components", "export", "exposition", "ingest",
        "postgresql", "query", "routes", "self_reporting", "settings", "statistics",
        "time_series_database", "web",
    },
    "__main__": {
        "app", "auth", "command_line", "embedded_postgresql", "errors", "postgresql", "serving",
        "settings", "source_tree", "statistics",
    },
}  # fmt: skip

COMMAND = {
    "errors": set(),
    "server_extra": {"errors"},
    "api": {"errors"},
    "terminal": {"api"},
    "transfer": {"api", "errors"},
    "diagnosis": {"api", "errors", "terminal"},
    "commands": {"api", "diagnosis", "errors", "server_extra", "terminal", "transfer"},
    "command": {"commands"},
    "__main__": {"command", "commands", "errors", "terminal"},
}

TABLES = {"noetl_metrics_cli": COMMAND, "noetl_metrics_sdk": SDK, "server_stub": SERVER}
PLACES = [(package, place) for package, table in TABLES.items() for place in sorted(table)]

MODULES_IN_A_FOLDER_MAX = 15

# The only importers of each dependency, and of each module of the standard library that does I/O.
ONLY_IMPORTERS = {
    "httpx": {
        "noetl_metrics_cli.api.connection",
        "noetl_metrics_sdk.transport.lean_httpx",  # the other modules of the folder ask this one
        "server_stub.time_series_database.connections",
        "server_stub.time_series_database.history",
        "server_stub.time_series_database.receiver",
    },
    "google": {"server_stub.time_series_database.messages"},
    "cramjam": {"server_stub.time_series_database.requests"},
    "httpcore": {
        "noetl_metrics_sdk.transport.connections",
        "noetl_metrics_sdk.transport.deadline",
        "noetl_metrics_sdk.transport.nested_tls",
    },
    "tenacity": {"noetl_metrics_sdk.delivery.retry"},
    "pydantic": {"noetl_metrics_sdk.client.config"},
    "psutil": {
        "noetl_metrics_sdk.system.collector",
        "noetl_metrics_sdk.system.host",
        "noetl_metrics_sdk.system.process",
        "server_stub.embedded_postgresql.cluster",  # whose process a number is
    },
    "opentelemetry": {"noetl_metrics_sdk.otel.exporter", "noetl_metrics_sdk.otel.points"},
    "psycopg": {
        "noetl_metrics_cli.diagnosis.database",
        "server_stub.__main__",  # connection strings only
        "server_stub.components.processes",
        "server_stub.components.store",
        "server_stub.postgresql.connections",
        "server_stub.postgresql.database",
        "server_stub.embedded_postgresql.embedded",
        "server_stub.postgresql.lock_capacity",
        "server_stub.postgresql.partition_making",
        "server_stub.postgresql.session",
        "server_stub.export.position",
        "server_stub.ingest.insertion",
        "server_stub.ingest.owners",
        "server_stub.postgresql.partitions",
        "server_stub.ingest.receiver_destination",
        "server_stub.ingest.table_destination",
        "server_stub.postgresql.schema",
        "server_stub.postgresql.stored_days",
        "server_stub.postgresql.created",
        "server_stub.query.series",
        "server_stub.query.recent_rows",
        "server_stub.time_series_database.families",
    },
    "psycopg_pool": {"server_stub.postgresql.connections"},
    "uvicorn": {
        "server_stub.__main__",
        "server_stub.serving.connection",
        "server_stub.serving.server",
    },
    "h11": {"server_stub.serving.connection"},
}
# The server describes its routes by pydantic models, and all of its routes use FastAPI.
SDK_ONLY = {"pydantic"}

# These modules do no I/O and read no clock: callers pass the time in.
PURE = [
    "noetl_metrics_sdk.model.adoption",
    "noetl_metrics_sdk.model.component_types",
    "noetl_metrics_sdk.model.metric",
    "noetl_metrics_sdk.model.names",
    "noetl_metrics_sdk.model.numbers",
    "noetl_metrics_sdk.model.stamped_sample",
    "noetl_metrics_sdk.queue.buffer",
    "noetl_metrics_sdk.collection.change_filter",
    "noetl_metrics_sdk.collection.instrument_tracker",
    "noetl_metrics_sdk.process.pacing",
    "noetl_metrics_sdk.queue.wire",
    "noetl_metrics_sdk.queue.batch_queue",
    "noetl_metrics_sdk.instruments.sketch",
    "noetl_metrics_sdk.collection.recording",
    "noetl_metrics_sdk.queue.batch_names",
    "noetl_metrics_sdk.queue.spool_file",
    "noetl_metrics_sdk.transport.redirections",
    "noetl_metrics_sdk.otel.names",
    "noetl_metrics_sdk.otel.points",
    "noetl_metrics_sdk.transport.urls",
    "noetl_metrics_sdk.exposition.samples",
    "noetl_metrics_sdk.exposition.claims",
    "noetl_metrics_sdk.exposition.kept_series",
    "noetl_metrics_sdk.exposition.family_reading",
    "noetl_metrics_sdk.exposition.families",
    "noetl_metrics_sdk.exposition.page",
    "noetl_metrics_sdk.exposition.negotiation",
    "noetl_metrics_cli.terminal.near_names",
    "noetl_metrics_cli.terminal.plot",
    "noetl_metrics_cli.transfer.batches",
    "noetl_metrics_cli.transfer.prometheus_text",
    "noetl_metrics_cli.transfer.reading",
    "server_stub.ingest.body",
    "server_stub.ingest.series_table",
    "server_stub.time_series_database.refusals",
    "server_stub.web.near_names",
    "server_stub.ingest.row_encoding",
    "server_stub.ingest.rejection",
    "server_stub.ingest.copy_format",
    "server_stub.query.exposition",
    "server_stub.exposition.known_pages",
    "server_stub.exposition.known_series",
    "server_stub.exposition.page",
    "server_stub.exposition.series_rows",
    "server_stub.components.labels",
    "server_stub.ingest.compression",
    "server_stub.ingest.batch_key",
    "server_stub.query.cursor",
    "server_stub.query.parameters",
    "server_stub.query.retention",
    "server_stub.query.time_buckets",
    "server_stub.time_series_database.assembly",
    "server_stub.time_series_database.requests",
    "server_stub.time_series_database.wire",
    "server_stub.time_series_database.messages",
]
IMPURE_IMPORTS = {"time", "os", "io", "socket", "pathlib", "subprocess", "asyncio"}

# A package has one colour. These modules of the SDK have coroutines, which event loops call. This
# module of the server runs a thread beside its event loop.
COROUTINES = {
    "noetl_metrics_sdk.client.client",
    "noetl_metrics_sdk.client.process_client",
    "noetl_metrics_sdk.exposition.apps",
    "noetl_metrics_sdk.instruments.runs",
    "noetl_metrics_sdk.jobs.tracking",
    "noetl_metrics_sdk.process.awaiting",
}
THREADS = {"server_stub.serving.worker_processes"}

SQL = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|COPY|CREATE|ALTER|DROP|BEGIN|SET|LOCK|WITH)\s+\S"
)


def modules(package: str) -> dict[str, Path]:
    """Return the files of a package by their dotted names, without the `__init__` of folders."""
    return {
        dotted_name(path): path
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.stem != "__init__"
    }


def dotted_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


ALL_MODULES = {name: path for package in TABLES for name, path in modules(package).items()}
FOLDERS = sorted({path.parent for name, path in ALL_MODULES.items() if name.count(".") > 1})


def place_of(module: str) -> str:
    """Return the row of a module: its folder, or the module itself if it is beside the folders."""
    return module.split(".")[1]


def syntax_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_from(path: Path) -> list[tuple[str, str]]:
    """Return every import of a module: pairs of a dotted name and the name imported from it."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(syntax_of(path)):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
    return found


def imports(path: Path) -> set[str]:
    """Return the dotted names that a module imports, also those for typing only."""
    return {name for module, of_it in imported_from(path) for name in (module, f"{module}.{of_it}")}


def imported_modules(module: str) -> set[str]:
    """Return the modules of all packages that a module imports."""
    return imports(ALL_MODULES[module]) & set(ALL_MODULES)


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """Return the names along a circle of a graph, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("package", sorted(TABLES))
def test_every_folder_and_every_file_beside_them_has_a_row(package):
    """A new folder gets its row before it gets files."""
    assert set(TABLES[package]) == {place_of(module) for module in modules(package)}


@pytest.mark.parametrize(("package", "place"), PLACES)
def test_a_folder_imports_only_what_stands_in_its_row(package, place):
    """No folder imports what lies behind it on the data's way; no row lists an unused import."""
    imported = {
        place_of(name)
        for module in modules(package)
        if place_of(module) == place
        for name in imported_modules(module)
        if name.startswith(f"{package}.")
    }
    assert TABLES[package][place] == imported - {place}


@pytest.mark.parametrize("package", sorted(TABLES))
def test_no_two_folders_import_each_other_in_a_circle(package):
    """The folders' imports form no circle."""
    assert [] == circle_in(TABLES[package])


@pytest.mark.parametrize("package", sorted(TABLES))
def test_no_two_files_import_each_other_in_a_circle(package):
    """A reader can read each file before the files that import it, also within a folder."""
    assert [] == circle_in({module: imported_modules(module) for module in modules(package)})


@pytest.mark.parametrize("folder", FOLDERS, ids=dotted_name)
def test_a_folder_has_few_enough_modules_to_be_taken_in_at_a_glance(folder):
    """A folder that grows beyond the limit becomes two folders."""
    count = sum(path.stem != "__init__" for path in folder.glob("*.py"))
    assert 0 < count <= MODULES_IN_A_FOLDER_MAX


@pytest.mark.parametrize("folder", FOLDERS, ids=dotted_name)
def test_a_folder_says_in_one_sentence_what_it_owns_and_imports_nothing(folder):
    """No circle goes through an `__init__`; loading a module loads no other module beside it."""
    tree = syntax_of(folder / "__init__.py")
    sentence = ast.get_docstring(tree) or ""
    assert sentence.endswith(".")
    assert "\n" not in sentence
    if dotted_name(folder) != "noetl_metrics_sdk.otel":  # a public path, which re-exports
        assert 1 == len(tree.body)


@pytest.mark.parametrize("package", sorted(TABLES))
def test_what_another_module_imports_has_no_underscore(package):
    """A name that another module imports is one that others may rely on, so it is not private."""
    private = [
        f"{module} imports {name} of {source}"
        for module, path in modules(package).items()
        for source, name in imported_from(path)
        if name.startswith("_") and source.split(".")[0] in TABLES
    ]
    assert [] == private


@pytest.mark.parametrize("dependency", sorted(ONLY_IMPORTERS))
def test_a_dependency_has_only_its_importers(dependency):
    """Each dependency is behind one seam."""
    packages = ["noetl_metrics_sdk"] if dependency in SDK_ONLY else TABLES
    importers = {
        module
        for package in packages
        for module, path in modules(package).items()
        if any(name.split(".")[0] == dependency for name in imports(path))
    }
    assert ONLY_IMPORTERS[dependency] == importers


@pytest.mark.parametrize(
    ("package", "stranger"),
    [
        ("noetl_metrics_sdk", "server_stub"),
        ("noetl_metrics_sdk", "noetl_metrics_cli"),
        ("server_stub", "noetl_metrics_cli"),
    ],
)
def test_a_package_does_not_know_those_that_stand_on_it(package, stranger):
    """A worker never loads server_stub, and neither loads the command."""
    for path in modules(package).values():
        assert not any(name.split(".")[0] == stranger for name in imports(path)), path


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_does_no_io_and_reads_no_clock(module):
    """Callers pass the time in, and other modules move the bytes."""
    imported = {name.split(".")[0] for name in imports(ALL_MODULES[module])}
    assert set() == imported & IMPURE_IMPORTS


def test_each_package_has_one_colour():
    """The SDK has coroutines only for event loops, the server a thread only beside its own loop."""
    coroutines = {
        module
        for module, path in modules("noetl_metrics_sdk").items()
        if any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(syntax_of(path)))
    }
    threads = {
        module for module, path in modules("server_stub").items() if "threading" in imports(path)
    }
    assert (COROUTINES, THREADS) == (coroutines, threads)


def test_the_server_has_its_sql_in_files():
    """No string in a module begins as an SQL statement does."""
    statements = [
        f"{module}: {node.value}"
        for module, path in modules("server_stub").items()
        for node in ast.walk(syntax_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and SQL.match(node.value)
    ]
    assert [] == statements


@pytest.mark.parametrize("package", sorted(TABLES))
def test_architecture_md_shows_the_tree_as_it_is(package):
    """ARCHITECTURE.md shows each folder once, with its own sentence, and each file beside the
    folders."""
    tree = PAGE.partition(f"```text\n{package}/\n")[2].partition("```")[0]
    sentences = [
        (folder.name, ast.get_docstring(syntax_of(folder / "__init__.py")))
        for folder in FOLDERS
        if folder.parent.name == package
    ]
    assert sentences == sorted(re.findall(r"^  (\w+)/ +(.+)$", tree, re.MULTILINE))
    files = sorted(path.name for path in (ROOT / package).glob("*.py"))
    assert files == sorted(re.findall(r"^  (\w+\.py) ", tree, re.MULTILINE))


def test_architecture_md_is_read_in_five_minutes():
    """ARCHITECTURE.md stays short; what would make it longer belongs into docs/."""
    assert PAGE_WORDS_MAX >= len(PAGE.split())


def test_the_tests_that_architecture_md_names_are_there():
    """Each invariant in ARCHITECTURE.md names a test that exists."""
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    defined = {
        name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.MULTILINE)
    }
    assert set() == set(re.findall(r"`(test_\w+)`", PAGE)) - defined


@pytest.mark.parametrize(
    ("tests", "package"),
    [
        ("command", "noetl_metrics_cli"),
        ("sdk", "noetl_metrics_sdk"),
        ("server", "server_stub"),
    ],
)
def test_a_test_lies_where_the_code_lies_that_it_tests(tests, package):
    """In a folder of tests, each module is called after a module of the folder that it tests."""
    misplaced = []
    for path in sorted((ROOT / "tests" / tests).glob("*/test_*.py")):
        subject = path.stem.removeprefix("test_")
        tested = [module.stem for module in (ROOT / package / path.parent.name).glob("*.py")]
        if not any(subject == module or subject.startswith(f"{module}_") for module in tested):
            misplaced.append(str(path.relative_to(ROOT)))
    assert [] == misplaced


def test_a_module_names_only_pages_of_decisions_that_are_there():
    """A reader of the code finds the page that says why it is so."""
    named = {
        page
        for package in (*TABLES, "docs/site")
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".py", ".sql"}
        for page in re.findall(r"Why so: (\S+\.md)", path.read_text(encoding="utf-8"))
    }
    pages = {f"docs/decisions/{path.name}" for path in (ROOT / "docs" / "decisions").glob("*.md")}
    assert pages - {"docs/decisions/README.md"} == named
