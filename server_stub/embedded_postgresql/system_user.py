"""The user that PostgreSQL, which refuses to be root's, runs as where root starts the server.

Why so: docs/decisions/embedded-postgresql.md.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from server_stub.errors import StartupError

USER_NAME = "noetl-metrics"
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
"""Where `useradd` is. A root that `su` made, or cron, may have a PATH without them."""


@dataclass(frozen=True)
class SystemUser:
    """A user of the operating system, as whom programs run.

    Args:
        name: the user's name.
        uid: the user's number.
        gid: the number of the user's group.
    """

    name: str
    uid: int
    gid: int

    def own(self, folder: Path) -> None:
        """Give the user a folder that the server has made, with all that is in it."""
        os.chown(folder, self.uid, self.gid)
        for path in folder.rglob("*"):
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def first_closed(self, path: Path) -> Path | None:
        """Return the outermost folder of a path that the user cannot enter, or None.

        The user tries it, because a folder's mode does not tell of access lists and mounts.

        Args:
            path: a folder, absolute and without symbolic links.
        """
        script = 'for folder; do cd "$folder" || { printf %s "$folder"; exit 1; }; done'
        folders = [str(folder) for folder in (*reversed(path.parents), path)]
        tried = subprocess.run(  # noqa: S603 - a fixed script; the folders are its arguments
            ["/bin/sh", "-c", script, "sh", *folders],
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            user=self.uid,
            group=self.gid,
            extra_groups=[],
        )
        return Path(os.fsdecode(tried.stdout)) if tried.returncode != 0 else None


def find_user(cluster: Path) -> SystemUser | None:
    """Return the user that PostgreSQL has to run as; None for the user of this process.

    A cluster belongs to the user who made it, and no other can run it. A new one gets a user of its
    own, without a login shell and a home, which is made if it is not there.

    Args:
        cluster: the folder of the cluster, which need not be there.

    Raises:
        StartupError: root owns the cluster, or the user cannot be made.
    """
    if os.geteuid() != 0:
        return None
    if (cluster / "PG_VERSION").exists():
        owner = cluster.stat().st_uid
        if owner == 0:
            raise StartupError(
                f"the cluster {cluster} belongs to root, and PostgreSQL does not run as root: "
                f"give it to another user by chown -R, or name another data directory"
            )
        try:
            entry = pwd.getpwuid(owner)
        except KeyError:
            raise StartupError(
                f"the cluster {cluster} belongs to the user {owner}, whom this system does not "
                "know: make a user of this number, or give the cluster to another by chown -R"
            ) from None
    else:
        entry = _own_user()
    return SystemUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _own_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(USER_NAME)
    except KeyError:
        pass
    folders = [os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS]
    useradd = shutil.which("useradd", path=os.pathsep.join(folders))
    no_shell = shutil.which("nologin", path=os.pathsep.join(folders)) or "/bin/false"
    reason = "there is no program useradd"
    if useradd is not None:
        command = [
            useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent",
            "--shell", no_shell, USER_NAME,
        ]  # fmt: skip
        made = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        try:
            # Another server may have made it at the same time.
            return pwd.getpwnam(USER_NAME)
        except KeyError:
            reason = made.stderr.strip() or f"useradd ended with {made.returncode}"
    raise StartupError(
        f"PostgreSQL does not run as root, and the user {USER_NAME!r} cannot be made ({reason}): "
        "make it, start the server as another user, or name a database by --database-url"
    )
