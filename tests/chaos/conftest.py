"""What every scenario of the chaos suite has: a database, numbers, chance, and a report line.

`NOETL_CHAOS=long` (`./scripts/test chaos`) chooses the long form. `NOETL_CHAOS_SEED` repeats the
random faults of an earlier run.
"""

from __future__ import annotations

import os
import random
from collections import Counter as Tally
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.cluster import killable_cluster
from tests.chaos.report import Report
from tests.chaos.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.chaos.cluster import KillableCluster

LONG = os.environ.get("NOETL_CHAOS") == "long"
SEED = os.environ["NOETL_CHAOS_SEED"]  # tests/conftest.py draws one
REPORT = pytest.StashKey[Report]()
NOT_THE_WORKER = {
    "test_killed_postgresql",
    "test_killed_server",
    "test_same_key",
    "test_deleted_runtime",
    "test_network_faults",
    "test_accounted_drops",
    "test_large_pool",
}
"""What breaks there is the server, its database or the network, whatever runs the worker."""

LONG_SECONDS, SHORT_SECONDS = 900, 240


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of this folder, and give the long form its time."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.parent == folder:
            item.add_marker(pytest.mark.chaos)
            if item.path.stem in NOT_THE_WORKER:
                item.add_marker(pytest.mark.once)
            item.add_marker(pytest.mark.timeout(LONG_SECONDS if LONG else SHORT_SECONDS))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the figures of the report."""
    report = config.stash.get(REPORT, None)
    if report is not None:
        terminalreporter.section("chaos")
        for line in report.lines():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def killable_postgresql() -> Generator[KillableCluster]:
    with killable_cluster() as cluster:
        yield cluster


@pytest.fixture
def scenario(
    request: pytest.FixtureRequest, killable_postgresql: KillableCluster, tmp_path: Path
) -> Generator[Scenario]:
    """Yield a scenario with its own seed, on a database of its own."""
    report = request.config.stash.setdefault(
        REPORT, Report(SEED, "long" if LONG else "short", [], Tally())
    )
    name = request.node.name.removeprefix("test_").replace("_", " ")
    with killable_postgresql.database() as database_url:
        # The faults of a scenario are the same, whichever other scenarios run.
        chance = random.Random(f"{SEED}/{name}")
        made = Scenario(name, database_url, killable_postgresql, chance, tmp_path, report, LONG)
        yield made
        made.end()
