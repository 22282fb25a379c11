"""A PostgreSQL whose processes a test can kill all at once, and start again."""

from __future__ import annotations

import signal
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import psutil
import psycopg

from server_stub.embedded_postgresql.embedded import prepared_cluster
from tests.chaos.waiting import wait_until
from tests.postgresql import Cluster, open_folder

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

START_SECONDS = 60.0
STATE_SECONDS = 30.0
NOBODY = "nobody"
"""The standby that commits wait for, and that there is not."""


COMMITTED = (
    "wait_event = 'SyncRep' AND query = 'COMMIT' AND EXISTS (SELECT FROM pg_locks AS held "
    "WHERE held.pid = pg_stat_activity.pid AND held.relation = 'noetl.metric'::regclass)"
)
"""The state of a process that has committed a batch, and whose client has not been told of it."""
BLOCKED = "wait_event_type = 'Lock'"
"""The state of a process that waits for another transaction."""


class KillableCluster(Cluster):
    """A PostgreSQL that is a child of this process.

    Args:
        command: the program and its arguments.
        user: the user who runs it; None for the user of this process.
        log: the file for its output.
        url: the URL of its database `postgres`.
    """

    def __init__(self, command: list[str], user: str | None, log: Path, url: str) -> None:
        super().__init__(url, log)
        self._command = command
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start PostgreSQL; return once it takes connections."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, user=self._user, stdout=log, stderr=log, cwd=self.log.parent
            )
        wait_until(self._takes_connections, START_SECONDS)

    def kill(self) -> None:
        """End all of its processes by SIGKILL, as a machine that runs out of memory might."""
        assert self._process is not None
        processes = psutil.Process(self._process.pid).children(recursive=True)
        # First the postmaster, which would otherwise see its children die and tidy up.
        self._process.kill()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        wait_until(lambda: all(has_ended(process) for process in processes), STATE_SECONDS)

    def stop(self) -> None:
        """End PostgreSQL, and drop every connection."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)  # SIGTERM would wait for the connections
        self._process.wait(START_SECONDS)

    @contextmanager
    def commits_held(self) -> Generator[None]:
        """PostgreSQL makes each commit, but tells its client only when the block ends."""
        self._alter(f"SET synchronous_standby_names = '{NOBODY}'")
        try:
            self._reload()
            wait_until(self._holds_commits, STATE_SECONDS)
            # The reset takes effect at the end of the block, or at the next start.
            self._alter("RESET synchronous_standby_names")
            yield
        finally:
            self._alter("RESET synchronous_standby_names")
            self._reload()

    def make_role(self, name: str) -> None:
        """Make a superuser, unless there is a role of this name."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            known = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [name])
            if known.fetchone() is None:
                connection.execute(f"CREATE ROLE {name} SUPERUSER LOGIN".encode())

    def _alter(self, change: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"ALTER SYSTEM {change}".encode())

    def _reload(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SELECT pg_reload_conf()")

    def _holds_commits(self) -> bool:
        with psycopg.connect(self.url, autocommit=True) as connection:
            shown = connection.execute("SHOW synchronous_standby_names").fetchone()
        return shown == (NOBODY,)

    def _takes_connections(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"PostgreSQL ended: {self.log.read_text()[-2000:]}"
        try:
            psycopg.connect(self.url).close()
        except psycopg.OperationalError:
            return False
        return True


def backends(database_url: str, condition: str) -> set[int]:
    """Return the processes of PostgreSQL that serve a server and match a condition.

    Args:
        database_url: the URL of the server's database.
        condition: SQL about a row of `pg_stat_activity`.
    """
    query = (
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'server_stub' "
        f"AND datname = current_database() AND {condition}"
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        return {pid for (pid,) in connection.execute(query.encode())}


def wait_for_backend(database_url: str, condition: str) -> None:
    """Wait until a process matches."""
    wait_until(lambda: bool(backends(database_url, condition)), STATE_SECONDS)


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process is gone, or would be if its parent had asked for its exit code."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@contextmanager
def killable_cluster() -> Generator[KillableCluster]:
    """Run the embedded PostgreSQL as a child of this process, in a temporary folder."""
    with open_folder() as folder, ExitStack() as stack:
        made = prepared_cluster(folder / "postgresql", stack)
        command = [str(made.programs.folder / "postgres"), "-D", str(made.folder)]
        command += ["-h", "", "-k", str(made.folder)]
        # A killed PostgreSQL loses nothing by this: the kernel keeps what it has written.
        command += ["-c", "fsync=off", "-c", "max_connections=200"]
        user = None if made.user is None else made.user.name
        cluster = KillableCluster(command, user, folder / "log", made.url_by(made.folder))
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()
