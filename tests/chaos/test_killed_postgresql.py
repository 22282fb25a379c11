"""A PostgreSQL all of whose processes are killed at once."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress

import psycopg

from tests.chaos.cluster import BLOCKED, COMMITTED, wait_for_backend
from tests.chaos.proxy import Proxy


@contextmanager
def loaded(scenario, rounds, at_least, pace_seconds=0.02):
    """Run a server and a worker; settle in the end."""
    with scenario.start_server() as server, Proxy(server.url) as proxy:
        worker = scenario.start_worker(
            proxy.url, at_least, at_most=50 * at_least, threads=2, pace_seconds=pace_seconds
        )
        yield
        scenario.settle(worker.finish(), rounds, proxy)


def test_postgresql_killed_at_random_moments(scenario):
    """Whatever PostgreSQL was at when it was killed, each sample is there once."""
    rounds = scenario.size(2, 20)
    with loaded(scenario, rounds, scenario.size(5_000, 100_000), pace_seconds=0.0):
        for _ in range(rounds):
            time.sleep(scenario.chance.uniform(0.1, 1.0))  # the moment is what chance decides
            scenario.cluster.kill()
            scenario.cluster.start()


def test_postgresql_killed_in_a_transaction(scenario):
    """A batch that was claimed and not inserted when PostgreSQL died is inserted afterwards."""
    rounds = scenario.size(1, 10)
    with loaded(scenario, rounds, scenario.size(2_000, 20_000)):
        for _ in range(rounds):
            with suppress(psycopg.OperationalError), psycopg.connect(scenario.database_url) as held:
                held.execute("LOCK TABLE noetl.metric IN ACCESS EXCLUSIVE MODE")
                wait_for_backend(scenario.database_url, f"{BLOCKED} AND query ~ 'COPY noetl'")
                scenario.cluster.kill()
            scenario.cluster.start()


def test_postgresql_killed_before_it_could_say_that_it_had_committed(scenario):
    """A batch whose commit nobody was told of is not inserted again."""
    rounds = scenario.size(1, 10)
    with loaded(scenario, rounds, scenario.size(2_000, 20_000)):
        for _ in range(rounds):
            scenario.wait_until_delivering()
            with scenario.cluster.commits_held():
                wait_for_backend(scenario.database_url, COMMITTED)
                scenario.cluster.kill()
                scenario.cluster.start()
