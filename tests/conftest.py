"""The fixtures that need a real PostgreSQL or a real server process."""

from __future__ import annotations

import os
import random
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.postgresql import (
    Cluster,
    RestartableCluster,
    embedded_cluster,
    find_system_binaries,
    restartable_cluster,
    system_cluster,
)
from tests.server_process import ServerProcess, start_server

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

# No test asserts how long it takes; Hypothesis asserts it of no example either.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Set before pytest-xdist starts its workers, so all of them have the same seed; and before pytest
# loads tests/chaos/conftest.py, which it does at once if that folder is its argument.
os.environ.setdefault("NOETL_CHAOS_SEED", str(random.SystemRandom().randrange(10**9)))

LOG_BYTES_MAX = 8_192
_log_sizes: dict[Path, int] = {}
"""Of each database's log: its size when the test began."""


def pytest_configure() -> None:
    """Have signals end the programs that tests start.

    Under nohup, in the background of a script and under some supervisors, a process ignores some
    of these signals, and the programs that it starts inherit that. They do not inherit a handler.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


def pytest_report_header() -> str:
    """Print the seed that repeats the random faults of tests/chaos."""
    return f"NOETL_CHAOS_SEED={os.environ['NOETL_CHAOS_SEED']}"


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the mark in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one worker of pytest-xdist run all tests that share what a module sets up.

    The worker sets it up once for all of them. The other tests go to the worker that has nothing
    to do.
    """
    for item in items:
        shared = sorted(_module_fixtures(item))
        if shared:
            # Each parameter of such a fixture has a set-up of its own.
            indices = getattr(getattr(item, "callspec", None), "indices", {})
            of_parameters = [f"{name}{indices[name]}" for name in shared if name in indices]
            group = " ".join([item.nodeid.partition("::")[0], *of_parameters])
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse a pytest-xdist that does not keep the tests of a group together.

    Each worker would set up once more what they share, and nothing but the time would show it.
    """
    if (
        not hasattr(session.config, "workerinput")
        or session.config.getoption("dist") != "loadgroup"
    ):
        return
    for item in session.items:
        mark = item.get_closest_marker("xdist_group")
        if mark is not None and not item.nodeid.endswith(f"@{mark.args[0]}"):
            raise pytest.UsageError(f"pytest-xdist gave {item.nodeid} no group")


def _module_fixtures(item: pytest.Item) -> set[str]:
    definitions = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return {name for name, found in definitions.items() if found[-1].scope == "module"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Remember where the databases' logs end before a test."""
    _log_sizes.update((log, log.stat().st_size) for log in _log_sizes if log.exists())
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what PostgreSQL has logged since a test began, if the test fails."""
    report = yield
    if report.failed:
        for log, size in _log_sizes.items():
            if log.exists():
                logged = log.read_bytes()[size:][-LOG_BYTES_MAX:].decode(errors="replace")
                report.sections.append((f"PostgreSQL's log {log}", logged))
    return report


@pytest.fixture(scope="session")
def postgresql() -> Generator[Cluster]:
    with embedded_cluster() as cluster:
        _log_sizes[cluster.log] = 0
        yield cluster


@pytest.fixture(scope="session")
def system_postgresql() -> Generator[Cluster]:
    binaries = find_system_binaries()
    if binaries is None:
        pytest.skip("no system PostgreSQL: pg_ctl and initdb were not found")
    with system_cluster(binaries) as cluster:
        _log_sizes[cluster.log] = 0
        yield cluster


@pytest.fixture(scope="module")
def restartable_postgresql() -> Generator[RestartableCluster]:
    """A PostgreSQL of the module's own, which tests stop and start."""
    binaries = find_system_binaries()
    if binaries is None:
        pytest.skip("no system PostgreSQL: pg_ctl and initdb were not found")
    with restartable_cluster(binaries) as cluster:
        yield cluster


@pytest.fixture
def database_url(postgresql: Cluster) -> Generator[str]:
    """Yield the URL of a new, empty database on the embedded PostgreSQL."""
    with postgresql.database() as url:
        yield url


# An older PostgreSQL does the same under every interpreter.
@pytest.fixture(params=["embedded", pytest.param("system", marks=pytest.mark.once)])
def each_database_url(request: pytest.FixtureRequest) -> Generator[str]:
    """Yield the URL of a new, empty database on each installed PostgreSQL."""
    name = "postgresql" if request.param == "embedded" else "system_postgresql"
    cluster: Cluster = request.getfixturevalue(name)
    with cluster.database() as url:
        yield url


@pytest.fixture
def server(database_url: str) -> Generator[ServerProcess]:
    """Yield a server process on a database of its own; the process has to end with code 0."""
    with ExitStack() as stack:
        running = start_server(database_url)
        assert running.process.stdout is not None
        stack.enter_context(running.process.stdout)
        stack.callback(running.process.wait)
        yield running
        assert running.stop() == 0
