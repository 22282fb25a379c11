"""The embedded PostgreSQL as the server uses it: where it can work, and what it leaves alone."""

from __future__ import annotations

import os
import shutil
from importlib.machinery import ModuleSpec
from pathlib import Path

import psutil
import psycopg
import pytest

from server_stub.embedded_postgresql import programs
from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.embedded_postgresql.programs import PACKAGE, find_programs
from server_stub.errors import StartupError
from tests.postgresql import open_folder
from tests.server.database_queries import scalar

pytestmark = pytest.mark.once
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")


def modes_of(path: Path) -> dict[Path, int]:
    """Return the modes of a folder and of all above it."""
    return {folder: folder.stat().st_mode for folder in (path, *path.parents)}


def answer_of(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    return str(row[0])


@as_root
@pytest.mark.parametrize("above", [".", "data/inner"])
def test_a_private_folder_is_named_and_keeps_its_mode(above: str) -> None:
    """Where PostgreSQL's user cannot pass, the server says which folder it is, and what to do."""
    with open_folder() as folder:
        private = folder / "home"
        (private / above).mkdir(parents=True)
        private.chmod(0o700)
        before = modes_of(private / above)
        with (
            pytest.raises(
                StartupError, match=rf"cannot enter {private}: .* by --data-directory, .* o\+x"
            ),
            embedded_database(str(private / above / "new")),
        ):
            pytest.fail("it cannot have started")
        assert before == modes_of(private / above)


@as_root
def test_a_private_temporary_folder_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a data directory the message leads to TMPDIR; nothing is left in the folder."""
    with open_folder() as folder:
        folder.chmod(0o700)
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        with (
            pytest.raises(StartupError, match=rf"cannot enter {folder}: .* by TMPDIR"),
            embedded_database(None),
        ):
            pytest.fail("it cannot have started")
        assert [] == list(folder.iterdir())


@as_root
def test_programs_below_a_private_folder_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment below a private home works: the copies go with the server, the modes stay."""
    package = find_programs().package
    assert package is not None
    with open_folder() as folder:
        private, temporary = folder / "home", folder / "tmp"
        (private / "site-packages").mkdir(parents=True)
        temporary.mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(temporary))
        for source in (package, package.with_name(f"{PACKAGE}.libs")):
            shutil.copytree(source, private / "site-packages" / source.name, symlinks=True)
        private.chmod(0o700)
        spec = ModuleSpec(PACKAGE, None, is_package=True)
        spec.submodule_search_locations = [str(private / "site-packages" / PACKAGE)]
        monkeypatch.setattr(programs, "find_spec", {PACKAGE: spec}.get)
        before = modes_of(private / "site-packages" / PACKAGE)
        with embedded_database(str(folder / "data")) as url:
            assert str(folder / "data" / "postgresql") == answer_of(url)
            (server,) = [
                process
                for process in psutil.process_iter(["name", "exe", "cwd"])
                if process.info["cwd"] == str(folder / "data" / "postgresql")
                and process.ppid() == 1
            ]
            assert Path(server.info["exe"]).is_relative_to(temporary)
        assert before == modes_of(private / "site-packages" / PACKAGE)
        assert [] == list(temporary.iterdir())


@as_root
def test_folders_that_root_makes_let_postgresqls_user_pass() -> None:
    """A strict umask of root's does not stop a start in a new folder; others cannot list it."""
    with open_folder() as folder:
        umask = os.umask(0o077)
        try:
            with embedded_database(str(folder / "new" / "data")) as url:
                assert str(folder / "new" / "data" / "postgresql") == answer_of(url)
        finally:
            os.umask(umask)
        assert [0o711, 0o711] == [
            path.stat().st_mode & 0o777 for path in (folder / "new", folder / "new" / "data")
        ]


@pytest.mark.parametrize(
    "name", ["with 'quotes', \"$(id)\" and commas", "long" * 40], ids=["characters", "length"]
)
def test_a_data_directory_may_have_any_path(name: str) -> None:
    """Neither characters that shells and connection strings read, nor a socket's length matter."""
    with open_folder() as folder:
        with embedded_database(str(folder / name)) as url:
            assert str(folder / name / "postgresql") == answer_of(url)
        with embedded_database(str(folder / name)) as url:
            assert str(folder / name / "postgresql") == answer_of(url)


def test_it_is_started_again_with_the_locks_that_it_lacks() -> None:
    """The room for the locks of many days is there without an operator, whatever the default is."""
    asked: list[str] = []

    def lacking_locks(url: str) -> int:
        asked.append(scalar(url, "SHOW max_locks_per_transaction"))
        return 99

    with embedded_database(None, lacking_locks) as url:
        assert (["64"], "99") == (asked, scalar(url, "SHOW max_locks_per_transaction"))


def test_a_cluster_without_a_version_is_refused() -> None:
    """The message names the file, what it has, and what to do."""
    with open_folder() as folder:
        (folder / "postgresql").mkdir()
        (folder / "postgresql" / "PG_VERSION").write_text("?\n")
        with (
            pytest.raises(StartupError, match=r"PG_VERSION has '\?' in place of a version: restor"),
            embedded_database(str(folder)),
        ):
            pytest.fail("it cannot have started")
