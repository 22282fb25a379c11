"""What the embedded PostgreSQL needs of the system."""

from __future__ import annotations

import os
import shutil

import pytest

from server_stub.postgresql.embedded import SYSTEM_FOLDERS, find_system_programs

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a user for PostgreSQL"),
]


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "/nowhere", None])
def test_a_path_without_the_systems_programs_is_extended(
    monkeypatch: pytest.MonkeyPatch, path: str | None
) -> None:
    """Root finds `useradd`, whatever PATH has, and every other program where it was."""
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path)
    assert shutil.which("useradd", path=path or os.defpath) is None
    find_system_programs()
    assert shutil.which("useradd") is not None
    assert os.environ["PATH"].split(os.pathsep)[-2:] == list(SYSTEM_FOLDERS)


def test_a_path_with_them_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is changed where `useradd` is found."""
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin")
    find_system_programs()
    assert "/usr/sbin:/usr/bin" == os.environ["PATH"]
