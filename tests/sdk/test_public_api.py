"""The public API: its names, the cost of importing them, and their documentation."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import os
import subprocess
import sys
import types
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pytest
from pydantic import SecretStr

import noetl_metrics_sdk
from noetl_metrics_sdk.client.config import Config, Settings

if TYPE_CHECKING:
    from pathlib import Path

PUBLIC_NAMES = [
    "COMPILED",
    "CONTENT_TYPE_LATEST",
    "REGISTRY",
    "Batch",
    "ClientStats",
    "Clock",
    "Collector",
    "CollectorRegistry",
    "Config",
    "ConfigurationError",
    "Counter",
    "DeliveryError",
    "DuplicateMetricError",
    "Enum",
    "FlushResult",
    "Gauge",
    "Histogram",
    "Info",
    "InvalidMetricError",
    "MetricFamily",
    "MetricType",
    "MetricsClient",
    "MetricsError",
    "PayloadTooLargeError",
    "Receipt",
    "RecoverableError",
    "Registration",
    "Registry",
    "RejectedError",
    "Sample",
    "Series",
    "StartError",
    "Summary",
    "Transport",
    "UnauthorizedError",
    "UnknownRuntimeError",
    "aclose",
    "aflush",
    "flush",
    "generate_latest",
    "init",
    "make_asgi_app",
    "make_wsgi_app",
    "shutdown",
    "start_http_server",
    "track_job",
]
HEAVY_MODULES = ["httpx", "opentelemetry", "psutil", "pydantic", "tenacity"]


def in_a_fresh_interpreter(program: str) -> Any:
    """Run a program that prints JSON at its end, and return what it printed."""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    return json.loads(result.stdout)


def test_public_names_are_pinned() -> None:
    """The package root exports these names, no more and no fewer."""
    assert PUBLIC_NAMES == noetl_metrics_sdk.__all__


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_every_public_name_is_there(name: str) -> None:
    """The package root has every name of `__all__`, also those loaded on demand."""
    assert getattr(noetl_metrics_sdk, name) is not None


def test_dir_lists_every_public_name_once() -> None:
    """`dir()` of the package also shows the names that are loaded on demand."""
    assert set(PUBLIC_NAMES) <= set(dir(noetl_metrics_sdk))


def test_star_import_brings_every_public_name() -> None:
    """`from noetl_metrics_sdk import *` works, and brings exactly `__all__`."""
    program = (
        "import json\nbefore = set(globals())\nfrom noetl_metrics_sdk import *\n"
        "print(json.dumps(sorted(set(globals()) - before - {'before'})))"
    )
    assert sorted(PUBLIC_NAMES) == in_a_fresh_interpreter(program)


def test_unknown_name_is_an_attribute_error() -> None:
    """An unknown name raises the same error as on any module."""
    with pytest.raises(AttributeError, match=r"'noetl_metrics_sdk' has no attribute 'Meter'"):
        noetl_metrics_sdk.__getattr__("Meter")


@pytest.mark.parametrize(
    ("name", "text", "cause"),
    [
        ("ssl", "", "AttributeError: module 'ssl' has no attribute "),
        ("ssl", "from _ssl import nothing", "ImportError: cannot import name 'nothing'"),
        ("psutil", "", "AttributeError: module 'psutil' has no attribute "),
        ("httpcore", "import nothing_of_the_kind", "ModuleNotFoundError: No module named "),
    ],
)
def test_a_module_that_stands_in_the_way_is_named(
    tmp_path: Path, name: str, text: str, cause: str
) -> None:
    """If a file beside the script hides a module, the error says so, and has the cause."""
    (tmp_path / f"{name}.py").write_text(text)
    script = tmp_path / "worker.py"
    script.write_text(
        "from noetl_metrics_sdk import MetricsClient\n"
        "MetricsClient('http://localhost:8082', 'pool', system_metrics=['cpu']).start()\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    result = subprocess.run(
        [sys.executable, script],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (1, "") == (result.returncode, result.stdout)
    assert cause in result.stderr
    if cause.startswith("AttributeError") and name == "ssl":
        last = result.stderr.splitlines()[-1]
        assert last.startswith(
            "ImportError: noetl_metrics_sdk.MetricsClient cannot be loaded: module 'ssl' has no "
        )
        assert last.endswith(f" (which is {tmp_path / 'ssl.py'})")


def test_importing_loads_nothing_heavy() -> None:
    """A program can make and use instruments without loading the client's dependencies."""
    program = (
        "import json, sys\nimport noetl_metrics_sdk as sdk\n"
        "sdk.Counter('a', 'a').inc()\nsdk.Summary('b', 'b').observe(1)\n"
        "with sdk.track_job(job_type='c'): pass\n"
        "print(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
    )
    assert set() == set(in_a_fresh_interpreter(program)) & set(HEAVY_MODULES)


def test_the_client_is_what_loads_them() -> None:
    """The check above can fail: asking for the client loads what it needs to deliver."""
    program = (
        "import json, sys\nfrom noetl_metrics_sdk import MetricsClient\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    assert {"httpx", "pydantic", "tenacity"} <= set(in_a_fresh_interpreter(program))


def test_importing_starts_no_thread() -> None:
    """Importing every public name leaves the process with its main thread alone."""
    program = (
        "import json, threading\nfrom noetl_metrics_sdk import *\n"
        "print(json.dumps([thread.name for thread in threading.enumerate()]))"
    )
    assert ["MainThread"] == in_a_fresh_interpreter(program)


def test_importing_writes_nothing() -> None:
    """Importing every public name prints nothing and reads no setting from the environment."""
    program = (
        "import os\nread = []\nget = os.environ.__class__.__getitem__\n"
        "def spy(self, key):\n    read.append(key)\n    return get(self, key)\n"
        "os.environ.__class__.__getitem__ = spy\n"
        "from noetl_metrics_sdk import *\nimport json\n"
        "print(json.dumps([key for key in read if key.startswith('NOETL')]))"
    )
    assert [] == in_a_fresh_interpreter(program)


def test_package_is_marked_as_typed() -> None:
    """Type checkers read the annotations, as PEP 561 requires."""
    assert files(noetl_metrics_sdk).joinpath("py.typed").is_file()


def documented_members() -> list[Any]:
    """Return the module and dotted name of everything that the root leads to."""
    members = []
    for name in PUBLIC_NAMES:
        value = getattr(noetl_metrics_sdk, name)
        if isinstance(value, (bool, str)):
            continue
        if not (inspect.isclass(value) or inspect.isroutine(value)):
            value = type(value)
        members.append(pytest.param(value.__module__, value.__qualname__, id=name))
        if not inspect.isclass(value):
            continue
        for owner in value.__mro__:
            if not owner.__module__.startswith("noetl_metrics_sdk"):
                continue
            for attribute, member in vars(owner).items():
                function = getattr(member, "__func__", member)
                is_code = inspect.isroutine(function) or isinstance(function, property)
                if is_code and not attribute.startswith("_"):
                    qualified = f"{owner.__qualname__}.{attribute}"
                    members.append(
                        pytest.param(owner.__module__, qualified, id=f"{name}.{attribute}")
                    )
    return members


@functools.cache
def docstrings(module: str) -> dict[str, str | None]:
    """Read the docstrings from the source: a compiled class does not have its own."""
    path = module.removeprefix("noetl_metrics_sdk.").replace(".", "/") + ".py"
    source = files(noetl_metrics_sdk).joinpath(path)
    found: dict[str, str | None] = {}

    def look_into(parent: ast.Module | ast.ClassDef, prefix: str) -> None:
        for node in parent.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                found[prefix + node.name] = ast.get_docstring(node)
            if isinstance(node, ast.ClassDef):
                look_into(node, f"{prefix}{node.name}.")

    look_into(ast.parse(source.read_text(encoding="utf-8")), "")
    return found


@pytest.mark.parametrize(("module", "name"), documented_members())
def test_every_public_member_is_documented(module: str, name: str) -> None:
    """Each class, function and method that the root leads to has a docstring."""
    assert len((docstrings(module)[name] or "").split()) > 2


def test_the_search_for_members_finds_inherited_methods() -> None:
    """The check above also finds the methods that instruments inherit."""
    found = {parameter.id for parameter in documented_members()}
    assert {"Counter.labels", "Registry.collect", "MetricsClient.from_env", "Sample.name"} <= found


EXPLICIT_PARAMETERS = {"server_url", "component_name", "runtime_id", "labels"}


def setting_types() -> dict[str, Any]:
    # config.py imports it for type checkers only, and its annotations name it.
    return get_type_hints(Settings, localns={"Iterable": Iterable})


def test_settings_are_the_fields_of_config() -> None:
    """The keywords that type checkers allow are the settings of `Config`."""
    assert set(Config.model_fields) - EXPLICIT_PARAMETERS == set(setting_types())


@pytest.mark.parametrize("name", sorted(setting_types().keys() - {"system_metrics"}))
def test_each_setting_has_the_type_of_its_field(name: str) -> None:
    """A keyword has the type of its field; None is only a default, and no caller gives it."""
    annotation: Any = Config.model_fields[name].annotation
    if isinstance(annotation, types.UnionType):
        (annotation,) = [kind for kind in get_args(annotation) if kind is not types.NoneType]
    # A caller gives a secret as text; the client keeps it in a type that does not show it.
    assert (str if annotation is SecretStr else annotation) == setting_types()[name]


@pytest.mark.parametrize("groups", [["cpu"], ("cpu",), {"cpu"}, frozenset({"cpu"})])
def test_system_metrics_take_any_collection_of_names(groups: Iterable[str]) -> None:
    """The one setting with a keyword wider than its field takes every value of the keyword."""
    config = Config.of({"component_name": "pool", "system_metrics": groups})
    assert ("cpu",) == config.system_metrics
