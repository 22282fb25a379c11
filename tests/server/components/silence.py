"""Components and processes that have been silent for some time, though no test waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noetl_metrics_sdk.testing import ManualClock
from server_stub.components.sweeping import Sweeping
from server_stub.settings import Settings
from server_stub.statistics import Statistics

if TYPE_CHECKING:
    from tests.server.application import Api


class Sweeper:
    """A server's search for what is silent, by a clock that a test moves."""

    def __init__(self, api: Api, **settings: Any) -> None:
        self.clock = ManualClock()
        self.statistics = Statistics()
        self._api = api
        self._sweeping = Sweeping(
            api.app.state.resources.database,
            Settings(**settings),
            self.statistics,
            self.clock.monotonic,
        )

    def sweep(self) -> None:
        self._api.loop.run(self._sweeping.run_once())

    def value(self, name: str, **labels: str) -> float | None:
        return self.statistics.registry.get_sample_value(f"noetl_api_{name}", labels)


def listening_sweeper(api: Api, **settings: Any) -> Sweeper:
    """Return one that has listened for long enough to know who is silent."""
    sweeper = Sweeper(api, **settings)
    sweeper.clock.advance(60.0)
    return sweeper


def age(api: Api, seconds: float) -> None:
    """Have all components and processes be silent for some seconds longer."""
    api.sql(
        "UPDATE noetl.runtime SET last_heartbeat = last_heartbeat - make_interval(secs => %s)",
        float(seconds),
    )
    api.sql(
        "UPDATE noetl.runtime_process SET last_heard_at = last_heard_at - given.age, "
        "expected_until = expected_until - given.age "
        "FROM (SELECT make_interval(secs => %s) AS age) AS given",
        float(seconds),
    )
