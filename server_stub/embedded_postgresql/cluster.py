"""A cluster: made by `initdb`, started and stopped by `pg_ctl`.

Why so: docs/decisions/embedded-postgresql.md.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from server_stub.errors import StartupError

if TYPE_CHECKING:
    from pathlib import Path

    from server_stub.embedded_postgresql.programs import Programs
    from server_stub.embedded_postgresql.system_user import SystemUser

ROLE = "postgres"
PORT = 5432
"""A part of the socket's name. PostgreSQL listens on no TCP port."""
CLUSTER_NAME = "noetl-metrics"
"""Part of the processes' titles, as their command line does not tell the folder."""
START_SECONDS = 60
STOP_SECONDS = 60
FOLDER_MODE = 0o700
"""Only its user may enter the folder, and so reach the socket, which asks for no password."""


class Cluster:
    """PostgreSQL's data, and the processes that serve it.

    Programs run inside the folder and get relative paths only. So a path may have any character,
    and the socket's may be longer than a socket's name can be.

    Args:
        programs: the PostgreSQL that makes and runs it.
        folder: where its data, its socket and its log are.
        user: who runs the programs; None for the user of this process.
    """

    def __init__(self, programs: Programs, folder: Path, user: SystemUser | None) -> None:
        self.programs = programs
        self.user = user
        self.folder = folder
        self.log = folder / "log"

    def make(self) -> None:
        """Make the cluster, unless it is there.

        Raises:
            StartupError: `initdb` fails, or the folder cannot be made.
        """
        if (self.folder / "PG_VERSION").exists():
            return
        try:
            self.folder.mkdir(FOLDER_MODE, exist_ok=True)
            if self.user is not None:
                self.user.own(self.folder)
        except OSError as error:
            raise StartupError(f"the folder {self.folder} cannot be used: {error}") from error
        self._run("initdb", "--auth=trust", "--encoding=UTF8", f"--username={ROLE}", ".")

    def start(self) -> None:
        """Start PostgreSQL; return once it takes connections.

        A PostgreSQL that a killed server has left behind is stopped first.

        Raises:
            StartupError: it does not start.
        """
        if self._is_served():
            self.stop()
        # A shell reads these.
        options = (
            f"-c port={PORT} -c listen_addresses='' -c unix_socket_directories=. "
            f"-c cluster_name={CLUSTER_NAME}"
        )
        self._run(
            "pg_ctl", "start", "--pgdata=.", "--log=log", f"--options={options}",
            "--wait", f"--timeout={START_SECONDS}", "--silent",
        )  # fmt: skip

    def stop(self, *, keeps_data: bool = True) -> None:
        """Stop PostgreSQL if it runs.

        Args:
            keeps_data: whether it writes all data to its files first, as long as that does not take
                too long: what it has committed is in its log anyway, and the next start reads that.
        """
        for mode in ("fast", "immediate") if keeps_data else ("immediate",):
            if not self._is_served():
                return
            try:
                self._run(
                    "pg_ctl", "stop", "--pgdata=.", f"--mode={mode}",
                    "--wait", f"--timeout={STOP_SECONDS}", "--silent",
                )  # fmt: skip
            except StartupError:
                continue

    def url_by(self, folder: Path) -> str:
        """Return the URL of the database `postgres`.

        Args:
            folder: the path by which clients find the socket.
        """
        return f"postgresql://{ROLE}@/postgres?host={quote(str(folder))}&port={PORT}"

    def _is_served(self) -> bool:
        """Return whether the process of `postmaster.pid` is this cluster's.

        After a crash of the machine another program may have its number, and must get no signal.
        """
        try:
            pid = int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0])
            return self.folder.samefile(psutil.Process(pid).cwd())
        except (OSError, ValueError, psutil.Error):
            return False

    def _run(self, program: str, *arguments: str) -> None:
        try:
            # In a session of its own it does not get the terminal's Ctrl-C, which is the server's.
            ended = subprocess.run(  # noqa: S603 - PostgreSQL's own programs
                [self.programs.folder / program, *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                # PostgreSQL would keep a pipe of pg_ctl's open for as long as it runs.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE if program == "initdb" else subprocess.DEVNULL,
                start_new_session=True,
                text=True,
                errors="replace",
                check=False,
                user=None if self.user is None else self.user.uid,
                group=None if self.user is None else self.user.gid,
                extra_groups=None if self.user is None else [],
            )
        except OSError as error:
            raise StartupError(self._failure(program, str(error))) from error
        if ended.returncode != 0:
            said = ended.stderr or self._last_of_the_log()
            raise StartupError(self._failure(program, " ".join(said.split())))

    def _last_of_the_log(self) -> str:
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        fatal = [line for line in lines if "FATAL:" in line]
        return (fatal or lines or [""])[-1]

    def _failure(self, program: str, said: str) -> str:
        said = said.rstrip(".") or f"{program} failed"
        return (
            f"the embedded PostgreSQL does not start in {self.folder} ({said}): "
            "mend that, or name a database by --database-url"
        )
