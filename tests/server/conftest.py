"""The application in the test's own process, on a real database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.application import Api, running_api

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.postgresql import Cluster


@pytest.fixture
def api(each_database_url: str) -> Generator[Api]:
    """The application on each installed PostgreSQL."""
    with running_api(each_database_url) as running:
        yield running


@pytest.fixture
def embedded_api(database_url: str) -> Generator[Api]:
    """The application on the embedded PostgreSQL, for tests that do not depend on its version."""
    with running_api(database_url) as running:
        yield running


@pytest.fixture(scope="module")
def embedded_api_shared(postgresql: Cluster) -> Generator[Api]:
    """One application for all tests of a module that only provoke errors."""
    with postgresql.database() as url, running_api(url) as running:
        yield running
