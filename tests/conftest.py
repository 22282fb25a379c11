"""The fixtures that need a real PostgreSQL or a real server process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.postgresql import Cluster, embedded_cluster, find_system_binaries, system_cluster

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

# No test asserts a time: not even Hypothesis, of a single example.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

STOP_SECONDS = 30
READY = "server_stub ready at "


@dataclass
class ServerProcess:
    """A `python -m server_stub`, ready to take requests."""

    url: str
    database_url: str
    process: subprocess.Popen[str]

    def stop(self) -> int:
        """End it as an operator would; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def start_server(
    database_url: str, *flags: str, folder: Path | None = None, log: Path | None = None
) -> ServerProcess:
    """Start a server on a free port; return it once it has said that it is ready.

    Relative paths in its flags are below the folder; its stderr goes to the file `log`.
    """
    with ExitStack() as stack:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "server_stub",
                "--port=0",
                f"--database-url={database_url}",
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=None if log is None else stack.enter_context(log.open("w")),
            text=True,
            cwd=folder,
            env={name: text for name, text in os.environ.items() if not name.startswith("NOETL_")},
        )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(READY):
            return ServerProcess(line.removeprefix(READY).strip(), database_url, process)
    raise AssertionError(f"the server ended with {process.wait()} before it was ready")


@pytest.fixture(scope="session")
def postgresql() -> Generator[Cluster]:
    with embedded_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def system_postgresql() -> Generator[Cluster]:
    binaries = find_system_binaries()
    if binaries is None:
        pytest.skip("no system PostgreSQL: pg_ctl and initdb were not found")
    with system_cluster(binaries) as cluster:
        yield cluster


@pytest.fixture
def database_url(postgresql: Cluster) -> Generator[str]:
    """A new, empty database on the embedded PostgreSQL."""
    with postgresql.database() as url:
        yield url


# What an older PostgreSQL does depends on no interpreter.
@pytest.fixture(params=["embedded", pytest.param("system", marks=pytest.mark.once)])
def each_database_url(request: pytest.FixtureRequest) -> Generator[str]:
    """A new, empty database on each PostgreSQL that there is."""
    name = "postgresql" if request.param == "embedded" else "system_postgresql"
    cluster: Cluster = request.getfixturevalue(name)
    with cluster.database() as url:
        yield url


@pytest.fixture
def server(database_url: str) -> Generator[ServerProcess]:
    """A server process on a database of its own; it has to end with code 0."""
    with ExitStack() as stack:
        running = start_server(database_url)
        assert running.process.stdout is not None
        stack.enter_context(running.process.stdout)
        stack.callback(running.process.wait)
        yield running
        assert running.stop() == 0
