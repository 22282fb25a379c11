"""A program that PyInstaller has frozen, with the hook that the package brings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

import noetl_metrics_sdk
from tests.sdk.answering_server import AnsweringServer, NoetlServer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

PROGRAM = """
import json
import sys

from noetl_metrics_sdk import COMPILED, Counter, Enum, MetricsClient, Summary, generate_latest
from noetl_metrics_sdk import track_job

Counter("rows", "Rows").inc()
Summary("seconds", "Seconds").observe(0.5)
Enum("power", "Power", states=["on", "off"])
with track_job(job_type="frozen"):
    pass
said = {"compiled": COMPILED, "frozen": sys.frozen}
if sys.argv[1] == "page":
    said["page"] = "noetl_jobs_processed_total" in generate_latest().decode()
if sys.argv[1] == "client":
    with MetricsClient(sys.argv[2], "frozen", system_metrics=["cpu"]) as client:
        said["pending"] = client.shutdown(20).pending
print(json.dumps(said))
"""
# What PyInstaller would look through besides: parts of the dependencies and of the tests'
# environment that this worker does not use. It takes half of the time without them.
NOT_NEEDED = (
    "IPython", "PIL", "_pytest", "click", "difflib", "doctest", "mypy", "numpy", "packaging",
    "pandas", "pydantic.mypy", "pydantic.v1", "pydoc", "pygments", "pytest", "rich", "setuptools",
    "tkinter", "trio", "unittest", "xml",
)  # fmt: skip


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the executable of the program, in the folder that PyInstaller has made."""
    if shutil.which("objcopy") is None:
        pytest.skip("PyInstaller needs objcopy, of binutils, which is not installed")
    folder = tmp_path_factory.mktemp("pyinstaller")
    (folder / "worker.py").write_text(PROGRAM)
    excluded = [f"--exclude-module={name}" for name in NOT_NEEDED]
    result = subprocess.run(
        [
            sys.executable, "-m", "PyInstaller", "--onedir", "--noconfirm", "--log-level=ERROR",
            *excluded, "worker.py",
        ],
        cwd=folder, env={**os.environ, "PYINSTALLER_CONFIG_DIR": str(folder / "cache")},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    if result.returncode != 0 and "shared library" in result.stderr:
        pytest.skip("PyInstaller needs a Python with a shared library, and this one has none")
    assert 0 == result.returncode, result.stderr
    return folder / "dist" / "worker" / "worker"


def said_by(program: Path, *arguments: str) -> dict[str, Any]:
    # Outside of the installation: what is not in the program's folder is not found.
    environment = {name: text for name, text in os.environ.items() if "PYTHON" not in name}
    result = subprocess.run(
        [program, *arguments],
        cwd="/", env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (0, "") == (result.returncode, result.stderr)
    said: dict[str, Any] = json.loads(result.stdout)
    return said


BUILD = {"compiled": noetl_metrics_sdk.COMPILED, "frozen": True}


@pytest.mark.parametrize(("use", "said"), [("instruments", {}), ("page", {"page": True})])
def test_a_frozen_program_counts(program: Path, use: str, said: dict[str, Any]) -> None:
    """Instruments are compiled in it as they are outside, and a page is made on demand."""
    assert {**BUILD, **said} == said_by(program, use)


def test_a_frozen_worker_delivers(program: Path) -> None:
    """The client, which the root loads on demand, delivers, and tells the package's version."""
    noetl = NoetlServer("/api/metrics")
    with AnsweringServer(noetl) as server:
        assert {**BUILD, "pending": 0} == said_by(program, "client", server.url)
    assert [1.0] == noetl.values("rows_total")[-1:]
    assert version("noetl-metrics-sdk") == noetl.components["frozen"]["sdk_version"]
