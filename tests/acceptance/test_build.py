"""The build compiles where it can, makes a pure Python wheel where it cannot, and says which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
BACKEND = ROOT / "build_backend"
SOURCES = [
    ".ci", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in",
    "README.md", "benchmarks", "build_backend", "docs", "examples", "noetl_metrics_cli",
    "noetl_metrics_sdk", "pyproject.toml", "scripts", "server_stub", "setup.py", "tests",
]  # fmt: skip
NO_COMPILER = "/nonexistent/cc"

# Calls a hook of the build backend as an installer does: from the project's folder.
CALL = """
import sys
sys.path.insert(0, "build_backend")
import mypyc_backend
print(getattr(mypyc_backend, sys.argv[1])(*sys.argv[2:]))
"""


@pytest.fixture(scope="module")
def compiling():
    """Return the module of the build that decides what is compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BACKEND))
        import compiling as module  # noqa: PLC0415 - found only once its folder is on the path

        yield module


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return the source distribution, which is made from a copy of the sources."""
    folder = tmp_path_factory.mktemp("sdist")
    tree = folder / "tree"
    tree.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tree)
    run_in(tree, "build", "--no-isolation", "--sdist", "--outdir", str(folder))
    (made,) = folder.glob("*.tar.gz")
    return made


@pytest.fixture(scope="module")
def sdist(archive):
    """Return the unpacked source distribution: a folder with nothing but what it brings."""
    folder = archive.parent
    with tarfile.open(archive) as tar:
        # Python 3.11 has the filter from 3.11.4 on.
        how: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(folder / "unpacked", **how)
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


def call(tree, environment, hook, *arguments):
    return subprocess.run(
        [sys.executable, "-P", "-c", CALL, hook, *arguments],
        cwd=tree, env={**os.environ, **environment},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip


def build_wheel(tree, tmp_path, **environment):
    """Return what the build printed, and the wheel's name and its files if it made one."""
    before = sorted(path.name for path in tree.iterdir())
    result = call(tree, environment, "build_wheel", str(tmp_path))
    left = {path.name for path in tree.iterdir()} - set(before)
    assert left <= {"noetl_metrics_sdk.egg-info"}
    wheels = list(tmp_path.glob("*.whl"))
    if not wheels:
        return result, "", []
    (wheel,) = wheels
    with zipfile.ZipFile(wheel) as archive:
        return result, wheel.name, archive.namelist()


def run_in(folder, module, *arguments):
    """Run a program that is a module, in a folder; it has to end with code 0."""
    result = subprocess.run(
        [sys.executable, "-P", "-m", module, *arguments], cwd=folder, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert 0 == result.returncode, result.stdout + result.stderr


def check_contents(tree, wheel):
    """Have check-wheel-contents find nothing wrong with a wheel, by the project's settings."""
    run_in(tree, "check_wheel_contents", str(wheel))


def hasty_compiler(folder):
    """Return a compiler that does not optimize, as the test asks only whether all is compiled."""
    script = folder / "hasty-cc"
    # Of several levels of optimization the last one counts.
    script.write_text(f'#!/bin/sh\nexec {sysconfig.get_config_var("CC")} "$@" -O0\n')
    script.chmod(0o700)
    return script


@pytest.mark.once
@pytest.mark.timeout(300)
def test_the_source_distribution_is_compiled_on_its_own(sdist, compiling, tmp_path):
    """It compiles every module of the hot path to an extension module; without a compiler it says
    so."""
    obstacle = compiling.obstacle()
    environment = {"NOETL_METRICS_COMPILE": "require"}
    if obstacle is None:
        environment["CC"] = str(hasty_compiler(tmp_path))
    result, name, files = build_wheel(sdist, tmp_path, **environment)
    if obstacle is not None:
        assert (1, "") == (result.returncode, name)
        assert f"NOETL_METRICS_COMPILE=require, but {obstacle}" in result.stderr
        return
    assert 0 == result.returncode, result.stderr
    assert not name.endswith("-any.whl")
    extensions = {file.split(".")[0] for file in files if file.endswith((".so", ".pyd"))}
    modules = {f"noetl_metrics_sdk/{module}" for module in compiling.COMPILED_MODULES}
    assert {*modules, "noetl_metrics_sdk__mypyc"} == extensions
    # The wheel has the sources too: for tracebacks, type checkers and readers.
    assert {f"{module}.py" for module in modules} <= set(files)
    check_contents(sdist, tmp_path / name)
    with zipfile.ZipFile(tmp_path / name) as wheel:
        wheel.extractall(tmp_path / "installed")
    program = (
        "import noetl_metrics_sdk as sdk\n"
        "counter = sdk.Counter('jobs', 'd')\ncounter.inc()\n"
        "print(sdk.COMPILED, sdk.__file__, sdk.REGISTRY.get_sample_value('jobs_total'))"
    )
    answer = subprocess.run(
        [sys.executable, "-P", "-c", program], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
    )  # fmt: skip
    place = tmp_path / "installed" / "noetl_metrics_sdk" / "__init__.py"
    assert f"True {place} 1.0" == answer.stdout.strip()


@pytest.fixture
def tree_of_one_module(sdist, tmp_path):
    """Return a tree that compiles one module, as mypyc takes half a minute for all of them."""
    tree = shutil.copytree(sdist, tmp_path / "tree")
    path = tree / "build_backend" / "compiling.py"
    before, _, behind = path.read_text().partition("COMPILED_MODULES = (\n")
    _, _, rest = behind.partition("\n)\n")
    path.write_text(f'{before}COMPILED_MODULES = ("process/pacing",)\n{rest}')
    return tree


@pytest.mark.once
@pytest.mark.parametrize("compiler", [NO_COMPILER, "false"])
def test_without_a_compiler_that_works_the_wheel_is_pure(tree_of_one_module, tmp_path, compiler):
    """Without a working compiler the installation succeeds with a pure wheel, and says why."""
    result, name, files = build_wheel(
        tree_of_one_module, tmp_path, CC=compiler, NOETL_METRICS_COMPILE="auto"
    )
    assert 0 == result.returncode, result.stderr
    assert name.endswith("-py3-none-any.whl")
    assert [] == [file for file in files if file.endswith((".so", ".pyd", ".c"))]
    assert "noetl_metrics_sdk/instruments/gauge.py" in files
    assert "WARNING: noetl-metrics-sdk is installed as pure Python" in result.stderr
    reason = "there is no C compiler" if compiler == NO_COMPILER else "compiling failed"
    assert reason in result.stderr


def test_nothing_is_compiled_if_it_is_not_wanted(sdist, archive, tmp_path):
    """`no` makes a pure wheel without a warning, whether or not there is a compiler. It has the
    pages for browsers, with all folders. An index takes it, and the source distribution."""
    result, name, files = build_wheel(sdist, tmp_path, NOETL_METRICS_COMPILE="no")
    pages = [path for path in (ROOT / "server_stub" / "page").rglob("*") if path.is_file()]
    assert {path.relative_to(ROOT).as_posix() for path in pages} <= set(files)
    assert name.endswith("-py3-none-any.whl")
    assert "WARNING: noetl" not in result.stderr
    run_in(sdist, "twine", "check", "--strict", str(archive), str(tmp_path / name))
    check_contents(sdist, tmp_path / name)


@pytest.mark.once
def test_the_tests_run_from_the_source_distribution(sdist):
    """It has the tests and what they read: documents, examples and scripts."""
    of_the_tree = "tests/test_architecture.py::test_a_package_does_not_know_those_that_stand_on_it"
    tests = [of_the_tree, "tests/acceptance/test_locked.py", "tests/sdk/model"]
    run_in(sdist, "pytest", "-q", "-p", "no:cacheprovider", *tests)
    for name in ("docs/decisions", "examples/alerts/tests", "benchmarks", "scripts/make-venv"):
        assert (sdist / name).exists()


def test_a_required_compiler_that_is_missing_ends_the_build(sdist, tmp_path):
    """Without a compiler, `require` makes no wheel at all rather than a pure one."""
    result, name, _ = build_wheel(sdist, tmp_path, CC=NO_COMPILER, NOETL_METRICS_COMPILE="require")
    assert (1, "") == (result.returncode, name)
    assert "NOETL_METRICS_COMPILE=require, but there is no C compiler: /nonexistent/cc" in (
        result.stderr
    )


def test_a_setting_that_is_none_is_refused(sdist, tmp_path):
    """The build refuses a value that it does not know; the error names the variable and the
    choices."""
    result, name, _ = build_wheel(sdist, tmp_path, NOETL_METRICS_COMPILE="yes")
    assert (1, "") == (result.returncode, name)
    assert "NOETL_METRICS_COMPILE is 'yes': it must be auto, require or no" in result.stderr


@pytest.mark.parametrize(
    ("environment", "is_wanted"),
    [({"CC": NO_COMPILER}, False), ({"NOETL_METRICS_COMPILE": "no"}, False), ({}, None)],
)
def test_mypy_is_needed_only_where_something_is_compiled(sdist, compiling, environment, is_wanted):
    """An installation that cannot compile does not ask for the compiler's own dependencies."""
    result = call(
        sdist, {"NOETL_METRICS_COMPILE": "auto", **environment}, "get_requires_for_build_wheel"
    )
    expected = compiling.obstacle() is None if is_wanted is None else is_wanted
    assert expected is (compiling.MYPY in result.stdout)


def test_the_development_environment_has_the_build_s_own_compiler(compiling):
    """The tests compile with the same compiler as an installation does."""
    assert f'"{compiling.MYPY}"' in (ROOT / "pyproject.toml").read_text()
