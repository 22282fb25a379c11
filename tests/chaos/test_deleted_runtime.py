"""An operator deletes a component while it reports."""

from __future__ import annotations

import time

import psycopg

from tests.chaos.comparison import ARCHIVE
from tests.chaos.proxy import Proxy
from tests.chaos.waiting import wait_until


def try_to_delete_runtime(database_url):
    """Delete the workers' component if it has reported anything; return whether it had.

    A second table keeps its rows as they were.
    """
    with psycopg.connect(database_url) as connection:
        # Inserts under way end first; later ones wait and fail.
        connection.execute(
            "SELECT FROM noetl.runtime WHERE component_type = 'worker_pool' FOR UPDATE"
        )
        archived = connection.execute(
            f"INSERT INTO {ARCHIVE} SELECT m.* FROM noetl.metric AS m "
            "JOIN noetl.runtime AS r USING (runtime_id) WHERE r.component_type = 'worker_pool'"
        )
        if archived.rowcount:
            connection.execute("DELETE FROM noetl.runtime WHERE component_type = 'worker_pool'")
        return archived.rowcount > 0


def test_a_runtime_that_is_deleted_meanwhile(scenario):
    """The worker registers again, and sends the batch under way again: it is inserted once."""
    rounds = scenario.size(3, 25)
    at_least = scenario.size(5_000, 80_000)
    with scenario.start_server() as server, Proxy(server.url) as proxy:
        with psycopg.connect(scenario.database_url) as connection:
            connection.execute(f"CREATE TABLE {ARCHIVE} (LIKE noetl.metric)")
        worker = scenario.start_worker(proxy.url, at_least, at_most=1_000 * at_least, threads=2)
        for _ in range(rounds):
            time.sleep(scenario.chance.uniform(0.1, 0.6))  # chance decides the moment
            wait_until(lambda: try_to_delete_runtime(scenario.database_url), 60)
        scenario.settle(worker.finish(), rounds, proxy)
        with psycopg.connect(scenario.database_url) as connection:
            archived = connection.execute(f"SELECT count(DISTINCT runtime_id) >= 2 FROM {ARCHIVE}")
            assert (True,) == archived.fetchone()
