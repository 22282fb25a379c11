"""All processes of a PostgreSQL are killed at once."""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress

import psycopg

from tests.chaos.cluster import BLOCKED, COMMITTED, wait_for_backend
from tests.chaos.proxy import Proxy


@contextmanager
def loaded(scenario, rounds, at_least, pace_seconds=0.02):
    """Run a server and a worker; settle at the end."""
    with scenario.start_server() as server, Proxy(server.url) as proxy:
        worker = scenario.start_worker(
            proxy.url, at_least, at_most=1_000 * at_least, threads=2, pace_seconds=pace_seconds
        )
        yield
        scenario.settle(worker.finish(), rounds, proxy)


def test_postgresql_killed_at_random_moments(scenario):
    """Whatever PostgreSQL was doing when it was killed, the table has each sample once."""
    rounds = scenario.size(2, 20)
    with loaded(scenario, rounds, scenario.size(5_000, 100_000), pace_seconds=0.0):
        for _ in range(rounds):
            time.sleep(scenario.chance.uniform(0.1, 1.0))  # chance decides the moment
            scenario.cluster.kill()
            scenario.cluster.start()


def test_postgresql_killed_in_a_transaction(scenario):
    """PostgreSQL dies between claiming and inserting a batch; the batch is inserted afterwards."""
    rounds = scenario.size(1, 10)
    with loaded(scenario, rounds, scenario.size(2_000, 20_000)):
        for _ in range(rounds):
            with suppress(psycopg.OperationalError), psycopg.connect(scenario.database_url) as held:
                held.execute("LOCK TABLE noetl.metric IN ACCESS EXCLUSIVE MODE")
                wait_for_backend(scenario.database_url, f"{BLOCKED} AND query ~ 'COPY noetl'")
                scenario.cluster.kill()
            scenario.cluster.start()


def test_postgresql_killed_before_it_could_say_that_it_had_committed(scenario):
    """A batch whose commit PostgreSQL could no longer report is not inserted again."""
    rounds = scenario.size(1, 10)
    with loaded(scenario, rounds, scenario.size(2_000, 20_000)):
        for _ in range(rounds):
            scenario.wait_until_delivering()
            with scenario.cluster.commits_held():
                wait_for_backend(scenario.database_url, COMMITTED)
                scenario.cluster.kill()
                scenario.cluster.start()
