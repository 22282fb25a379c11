"""The fixtures that need a real PostgreSQL or a real server process."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.postgresql import Cluster, embedded_cluster, find_system_binaries, system_cluster
from tests.server_process import ServerProcess, start_server

if TYPE_CHECKING:
    from collections.abc import Generator

# No test asserts a time: not even Hypothesis, of a single example.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


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
