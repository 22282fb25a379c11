"""A server that all tests of commands share; each test has components of its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.command.running import Runner
from tests.server_process import ServerProcess, start_server

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.postgresql import Cluster


@pytest.fixture(scope="session")
def command_server(postgresql: Cluster) -> Generator[ServerProcess]:
    """A server process on a database of its own."""
    with postgresql.database() as url:
        server = start_server(url)
        assert server.process.stdout is not None
        with server.process.stdout:
            yield server
            assert 0 == server.stop()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings of the machine."""
    for name in list(os.environ):
        if name.startswith("NOETL_"):
            monkeypatch.delenv(name)


@pytest.fixture
def run(
    command_server: ServerProcess,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Runner:
    """Run commands in this process; NOETL_SERVER_URL names the shared server."""
    monkeypatch.setenv("NOETL_SERVER_URL", command_server.url)
    return Runner(command_server.url, capsys)
