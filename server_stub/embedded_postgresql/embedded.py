"""The embedded PostgreSQL, which the server uses if an operator names no database.

It listens only on a UNIX socket inside its own data directory, and ends with the server.

Why so: docs/decisions/embedded-postgresql.md.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from server_stub.embedded_postgresql.cluster import Cluster
from server_stub.embedded_postgresql.programs import find_programs
from server_stub.embedded_postgresql.system_user import find_user
from server_stub.errors import StartupError
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from server_stub.embedded_postgresql.programs import Programs
    from server_stub.embedded_postgresql.system_user import SystemUser

CLUSTER_FOLDER = "postgresql"
TEMPORARY_PREFIX = "noetl-metrics-"
ENTERED_BY_ALL = 0o011
SOCKET_PATH_BYTES_MAX = 103
"""What every system takes; Linux takes 107 (unix(7), `sun_path`)."""


def _enough_locks(_url: str) -> int | None:
    return None


@contextmanager
def embedded_database(
    data_directory: str | None, lacking_locks: Callable[[str], int | None] = _enough_locks
) -> Generator[str]:
    """Run a PostgreSQL while the block runs; give its URL.

    Args:
        data_directory: where it keeps its data. None for a temporary folder, which the server
            deletes in the end.
        lacking_locks: gets the URL once PostgreSQL runs. If it returns the
            `max_locks_per_transaction` that is needed, PostgreSQL is started again with that.

    Raises:
        StartupError: it does not start, or another server uses the data directory.
    """
    with ExitStack() as stack:
        if data_directory is None:
            folder = _temporary_folder(stack)
        else:
            folder = stack.enter_context(_locked(data_directory))
        cluster = prepared_cluster(folder / CLUSTER_FOLDER, stack)
        # A start that is interrupted after it has begun is stopped too.
        stack.callback(cluster.stop, keeps_data=data_directory is not None)
        cluster.start()
        url = cluster.url_by(_socket_folder(cluster.folder, stack))
        locks = lacking_locks(url)
        if locks is not None:
            # A start is the only time at which PostgreSQL takes this setting. It stays in the data
            # directory, so that the next start needs no other.
            with psycopg.connect(url, autocommit=True) as connection:
                psycopg.ClientCursor(connection).execute(
                    read_sql("partitions/set_lock_capacity.sql"), {"locks": locks}
                )
            cluster.stop()
            cluster.start()
        yield url


def prepared_cluster(folder: Path, stack: ExitStack) -> Cluster:
    """Return a cluster that is made and not started.

    Args:
        folder: where it is, or is made; the folder above is there.
        stack: what deletes temporary folders, after the cluster has been stopped.

    Raises:
        StartupError: there are no programs for it, its user cannot reach it, or it is not made.
    """
    programs = find_programs(_version_of(folder))
    user = find_user(folder)
    if user is not None:
        _check_reach(folder.parent, user)
        programs = _reachable(programs, user, stack)
    cluster = Cluster(programs, folder, user)
    cluster.make()
    return cluster


def _version_of(folder: Path) -> int | None:
    """Return the major version of the PostgreSQL that made a cluster; None if there is none yet."""
    file = folder / "PG_VERSION"
    if not file.exists():
        return None
    text = file.read_text().strip()
    try:
        return int(text.partition(".")[0])
    except ValueError:
        raise StartupError(
            f"the file {file} has {text!r} in place of a version: restore it, or name another data "
            "directory"
        ) from None


@contextmanager
def _locked(data_directory: str) -> Generator[Path]:
    """Keep other servers out of a data directory while the block runs."""
    folder = Path(data_directory).expanduser().resolve()
    cluster = folder / CLUSTER_FOLDER
    try:
        if cluster.exists() and any(cluster.iterdir()) and not (cluster / "PG_VERSION").exists():
            raise StartupError(
                f"the data directory {folder} has a folder {CLUSTER_FOLDER!r} that no PostgreSQL "
                "made: name an empty or a new directory"
            )
        _make(folder)
        lock = (folder / "server.lock").open("w")
    except OSError as error:
        raise StartupError(f"the data directory {folder} cannot be used: {error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(
                f"the data directory {folder} is in use by another server: "
                "stop it, or name another directory"
            ) from None
        yield folder


def _make(folder: Path) -> None:
    """Make a folder and those above it; where root makes them, PostgreSQL's user may pass."""
    if folder.exists():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        folder.chmod(folder.stat().st_mode | ENTERED_BY_ALL)


def _temporary_folder(stack: ExitStack) -> Path:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX)))
    if os.geteuid() == 0:
        folder.chmod(folder.stat().st_mode | ENTERED_BY_ALL)
    return folder.resolve()


def _check_reach(folder: Path, user: SystemUser) -> None:
    closed = user.first_closed(folder)
    if closed is not None:
        raise StartupError(
            f"PostgreSQL does not run as root; it runs as the user {user.name!r}, who cannot enter "
            f"{closed}: name a folder that all users can reach by --data-directory, or by TMPDIR "
            f"where none is named, or let users pass by chmod o+x {closed}"
        )


def _reachable(programs: Programs, user: SystemUser, stack: ExitStack) -> Programs:
    """Return programs that the user can start: copies if a folder above them is private.

    The folders above are the operator's, and keep their modes.
    """
    if user.first_closed(programs.folder.resolve()) is None:
        return programs
    if programs.package is None:
        raise StartupError(
            f"PostgreSQL does not run as root; the user {user.name!r} cannot enter "
            f"{programs.folder}, where its programs are: install PostgreSQL where all users can "
            "reach it, or name a database by --database-url"
        )
    folder = _temporary_folder(stack)
    _check_reach(folder, user)
    try:
        copies = programs.copied_to(folder)
        user.own(folder)
    except OSError as error:
        raise StartupError(
            f"PostgreSQL's programs cannot be copied to {folder}: {error}: name another temporary "
            "folder by TMPDIR"
        ) from error
    return copies


def _socket_folder(cluster: Path, stack: ExitStack) -> Path:
    """Return a path to the socket's folder that a client can use.

    libpq takes a comma for the end of a host's name, and the system bounds a socket's path.
    """
    if "," not in str(cluster) and len(os.fsencode(cluster / ".s.PGSQL.5432")) <= (
        SOCKET_PATH_BYTES_MAX
    ):
        return cluster
    short = tempfile.TemporaryDirectory(prefix=TEMPORARY_PREFIX, dir="/tmp")
    link = Path(stack.enter_context(short)) / CLUSTER_FOLDER
    link.symlink_to(cluster)
    return link
