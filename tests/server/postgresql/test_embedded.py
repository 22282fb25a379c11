"""What the embedded PostgreSQL needs of the system."""

from __future__ import annotations

import os
import shutil

import pytest

from server_stub.postgresql.embedded import (
    SYSTEM_FOLDERS,
    embedded_database,
    find_system_programs,
)
from tests.server.database_queries import scalar

pytestmark = pytest.mark.once
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a user for PostgreSQL")


def test_it_is_started_again_with_the_locks_that_it_lacks() -> None:
    """The room for the locks of many days is there without an operator, whatever the default is."""
    asked: list[str] = []

    def lacking_locks(url: str) -> int:
        asked.append(scalar(url, "SHOW max_locks_per_transaction"))
        return 99

    with embedded_database(None, lacking_locks) as url:
        assert (["64"], "99") == (asked, scalar(url, "SHOW max_locks_per_transaction"))


@as_root
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


@as_root
def test_a_path_with_them_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is changed where `useradd` is found."""
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin")
    find_system_programs()
    assert "/usr/sbin:/usr/bin" == os.environ["PATH"]
