"""A server in a clone says so if it is not the one that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import server_stub

pytestmark = pytest.mark.once

INSTALLED = Path(server_stub.__file__).resolve().parent.parent
# A port at which no database answers: the server says what it has to say, and ends.
NO_DATABASE = "--database-url=postgresql://127.0.0.1:9/x"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """Return a folder with the sources of both packages."""
    folder = tmp_path_factory.mktemp("clone").resolve()
    for package in ("noetl_metrics_sdk", "server_stub"):
        shutil.copytree(
            INSTALLED / package, folder / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def warnings_of(folder, *flags):
    """Return what a server that is started in a folder says of the sources from which it runs."""
    ours = {name: text for name, text in os.environ.items() if name != "PYTHONSAFEPATH"}
    result = subprocess.run(
        [sys.executable, *flags, "-m", "server_stub", "--port=0", NO_DATABASE], cwd=folder,
        env={**ours, "PYTHONPATH": str(INSTALLED)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert 1 == result.returncode, result.stderr
    assert "the database cannot be used" in result.stderr
    return [line for line in result.stderr.splitlines() if "runs from the sources" in line]


def test_a_server_that_runs_from_the_sources_says_so(clone):
    """The log names both folders, and the command that runs what is installed."""
    (warning,) = warnings_of(clone)
    assert f"from the sources in {clone}, " in warning
    assert f"installed in {INSTALLED}: python -P -m server_stub runs" in warning


def test_what_is_installed_runs_in_a_clone_too(clone):
    """By -P Python takes the installed package, and there is nothing to say."""
    assert [] == warnings_of(clone, "-P")


def test_elsewhere_there_is_nothing_to_say(tmp_path):
    """A server that is started in another folder is the one that is installed."""
    assert [] == warnings_of(tmp_path)
