"""As whom PostgreSQL runs where root starts the server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from server_stub.embedded_postgresql import system_user
from server_stub.embedded_postgresql.system_user import SystemUser, find_user
from server_stub.errors import StartupError
from tests.postgresql import open_folder

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user"),
]
# Users are the whole machine's: another test process has another one.
TRIED_NAME = f"noetl-tried-{os.getpid()}"


@pytest.fixture
def new_user(monkeypatch: pytest.MonkeyPatch) -> Generator[str]:
    """A name that no user has at the start and at the end of a test."""
    monkeypatch.setattr(system_user, "USER_NAME", TRIED_NAME)
    yield TRIED_NAME
    subprocess.run(["/usr/sbin/userdel", TRIED_NAME], capture_output=True, check=False)


@pytest.mark.parametrize("path", ["/usr/bin:/bin", "/nowhere", None])
def test_the_user_has_no_shell_and_no_home(
    monkeypatch: pytest.MonkeyPatch, new_user: str, tmp_path: Path, path: str | None
) -> None:
    """Root makes a user whom no login lets in, also without the system's folders on PATH, and
    changes no environment variable."""
    if path is None:
        monkeypatch.delenv("PATH")
    else:
        monkeypatch.setenv("PATH", path)
    assert shutil.which("useradd", path=path or os.defpath) is None
    before = dict(os.environ)
    user = find_user(tmp_path / "postgresql")
    assert before == dict(os.environ)
    entry = pwd.getpwnam(new_user)
    assert SystemUser(new_user, entry.pw_uid, entry.pw_gid) == user
    assert entry.pw_shell.rsplit("/", 1)[1] in {"nologin", "false"}
    assert "/nonexistent" == entry.pw_dir
    assert 0 < entry.pw_uid < 1000, "it is a user of the system, whom login screens do not offer"


def test_the_user_is_made_once(new_user: str, tmp_path: Path) -> None:
    """A second start finds the user of the first."""
    first = find_user(tmp_path / "postgresql")
    assert first is not None
    assert new_user == first.name
    assert first == find_user(tmp_path / "postgresql")


def test_a_user_that_cannot_be_made_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The message has useradd's reason, and the three ways out."""
    monkeypatch.setattr(system_user, "USER_NAME", "no user:has this name")
    with pytest.raises(StartupError, match=r"invalid user name.*make it, start the server as an"):
        find_user(tmp_path / "postgresql")


def test_a_cluster_is_run_by_its_owner(tmp_path: Path) -> None:
    """A cluster that another user has made, as older versions did, goes on under that user."""
    (tmp_path / "PG_VERSION").write_text("18\n")
    nobody = pwd.getpwnam("nobody")
    os.chown(tmp_path, nobody.pw_uid, nobody.pw_gid)
    assert SystemUser("nobody", nobody.pw_uid, nobody.pw_gid) == find_user(tmp_path)


@pytest.mark.parametrize(
    ("owner", "reason"), [(0, "belongs to root"), (54_321, "the user 54321, whom this system does")]
)
def test_a_cluster_of_no_usable_owner_is_refused(tmp_path: Path, owner: int, reason: str) -> None:
    """The message names the cluster, whose it is, and what to do."""
    (tmp_path / "PG_VERSION").write_text("18\n")
    os.chown(tmp_path, owner, owner)
    with pytest.raises(StartupError, match=rf"{tmp_path} belongs to .*chown -R") as raised:
        find_user(tmp_path)
    assert reason in str(raised.value)


def test_the_outermost_closed_folder_is_named() -> None:
    """What a user cannot enter is found by trying, from the outside on."""
    nobody = pwd.getpwnam("nobody")
    user = SystemUser("nobody", nobody.pw_uid, nobody.pw_gid)
    with open_folder() as folder:
        inner = folder / "a b'$(c)" / "d" / "e"
        inner.mkdir(parents=True)
        assert user.first_closed(inner) is None
        inner.chmod(0o700)
        assert inner == user.first_closed(inner)
        inner.parent.parent.chmod(0o700)
        assert inner.parent.parent == user.first_closed(inner)
        user.own(inner.parent.parent)
        assert user.first_closed(inner) is None
