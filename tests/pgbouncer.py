"""A real pgbouncer in front of a cluster, which pools by transaction."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import conninfo_to_dict

if TYPE_CHECKING:
    from collections.abc import Generator

PORT = 6432  # the name of a socket only
SERVER_CONNECTIONS_MAX = 3
"""Fewer than the servers of a test have clients', so that connections change hands."""

CONFIGURATION = """
[databases]
* = host={cluster_folder}
[pgbouncer]
listen_addr =
listen_port = {port}
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {connections}
logfile = {folder}/log
{more}
"""


def find_pgbouncer() -> str | None:
    """Return the path of the installed pgbouncer, or None."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pooled(program: str, database_url: str, more: str = "") -> Generator[str]:
    """Run a pgbouncer; yield the URL of a database through it.

    Args:
        program: the path of pgbouncer.
        database_url: the URL of the database, on a socket.
        more: lines of pgbouncer's configuration.
    """
    parts = conninfo_to_dict(database_url)
    cluster_folder = Path(str(parts["host"]))
    # pgbouncer refuses to run as root, and only the user of an embedded cluster may enter its
    # folder.
    user = cluster_folder.owner() if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="noetl-tests-"))
    try:
        (folder / "users").write_text(f'"{parts["user"]}" ""\n')
        (folder / "pgbouncer.ini").write_text(
            CONFIGURATION.format(
                cluster_folder=cluster_folder,
                folder=folder,
                port=PORT,
                connections=SERVER_CONNECTIONS_MAX,
                more=more,
            )
        )
        if user is not None:
            for path in (folder, folder / "users", folder / "pgbouncer.ini"):
                shutil.chown(path, user)
        url = f"postgresql://{parts['user']}@/{parts['dbname']}?host={folder}&port={PORT}"
        with subprocess.Popen(
            [program, "--quiet", str(folder / "pgbouncer.ini")], user=user, cwd=folder
        ) as process:
            try:
                _wait_until_it_takes_connections(process, url)
                yield url
            finally:
                process.kill()
    finally:
        shutil.rmtree(folder)


def _wait_until_it_takes_connections(process: subprocess.Popen[bytes], url: str) -> None:
    while True:
        assert process.poll() is None, "pgbouncer ended before it took connections"
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            continue
        return
