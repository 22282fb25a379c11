"""Real PostgreSQL clusters for the tests: the embedded one, and an installed one if it is found."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from server_stub.embedded_postgresql.embedded import CLUSTER_FOLDER, embedded_database
from server_stub.embedded_postgresql.programs import installed_programs

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

SYSTEM_USER = "postgres"


@dataclass
class Cluster:
    """A running PostgreSQL, and the databases that tests make on it."""

    url: str
    log: Path
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @contextmanager
    def database(self) -> Generator[str]:
        """Yield the URL of a new, empty database, and drop the database afterwards."""
        name = f"metrics_{next(self._numbers)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY file_copy")
        try:
            yield self.url.replace("/postgres?", f"/{name}?")
        finally:
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def embedded_cluster() -> Generator[Cluster]:
    """Run the embedded PostgreSQL in a temporary folder."""
    with open_folder() as folder, embedded_database(str(folder)) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            # The machine may lose what the tests write.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("SELECT pg_reload_conf()")
        yield Cluster(url, folder / CLUSTER_FOLDER / "log")


@contextmanager
def open_folder() -> Generator[Path]:
    """Make a temporary folder that PostgreSQL's user can pass, where the tests run as root.

    Its path is short enough for a socket in it.
    """
    with tempfile.TemporaryDirectory(prefix="noetl-tests-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@contextmanager
def system_cluster(binaries: Path) -> Generator[Cluster]:
    """Run an installed PostgreSQL in a temporary folder.

    Args:
        binaries: the folder of its programs.
    """
    with restartable_cluster(binaries) as cluster:
        yield Cluster(cluster.url, cluster.log)


class RestartableCluster:
    """An installed PostgreSQL that a test stops and starts, and of which it makes standbys.

    Args:
        binaries: the folder of its programs.
        folder: where its data and its socket are.
        user: who runs it.
    """

    def __init__(self, binaries: Path, folder: Path, user: str | None) -> None:
        self._binaries = binaries
        self._user = user
        self.folder = folder
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        self.log = folder / "log"

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL to its end."""
        subprocess.run(
            [str(self._binaries / program), *arguments],
            user=self._user,
            cwd=self.folder,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=60,
        )

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self._pg_ctl("-l", str(self.log), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._pg_ctl("-m", mode, "stop")

    def promote(self) -> None:
        self._pg_ctl("promote")

    def make_standby(self, folder: Path) -> RestartableCluster:
        """Return a standby that follows this cluster, and is started."""
        folder.mkdir()
        if self._user is not None:
            shutil.chown(folder, self._user)
        standby = RestartableCluster(self._binaries, folder, self._user)
        standby.run(
            "pg_basebackup", "--write-recovery-conf", "--checkpoint=fast", "--no-sync",
            f"--dbname={self.url}", f"--pgdata={folder / 'pgdata'}",
        )  # fmt: skip
        standby.start()
        return standby

    def _pg_ctl(self, *arguments: str) -> None:
        self.run("pg_ctl", "-D", str(self.folder / "pgdata"), "-w", *arguments)


@contextmanager
def restartable_cluster(binaries: Path) -> Generator[RestartableCluster]:
    """Run an installed PostgreSQL in a temporary folder, with what was made in the folder.

    Args:
        binaries: the folder of its programs.
    """
    # PostgreSQL refuses to run as root.
    user = SYSTEM_USER if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="noetl-tests-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        cluster = RestartableCluster(binaries, folder, user)
        cluster.run(
            "initdb", "--no-sync", "--auth=trust", "--encoding=UTF8", "-U", "postgres",
            str(folder / "pgdata"),
        )  # fmt: skip
        cluster.start()
        try:
            yield cluster
        finally:
            for pid_file in folder.glob("**/postmaster.pid"):
                RestartableCluster(binaries, pid_file.parent.parent, user).stop()
    finally:
        shutil.rmtree(folder)


def find_system_binaries() -> Path | None:
    """Return the folder of an installed PostgreSQL's `pg_ctl` and `initdb`, or None."""
    if os.geteuid() == 0 and SYSTEM_USER not in {entry.pw_name for entry in pwd.getpwall()}:
        return None
    return next((programs.folder for programs in installed_programs()), None)


def with_options(url: str, options: str) -> str:
    """Return a database URL as connection string with session settings, like `-c timezone=UTC`."""
    return make_conninfo(url, options=options)
