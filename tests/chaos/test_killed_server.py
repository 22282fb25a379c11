"""Servers die at any moment, and at the worst one."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.chaos.cluster import BLOCKED, COMMITTED, backends, wait_for_backend
from tests.chaos.proxy import Proxy

PACE_SECONDS = 0.02
"""Enough for the worker to have something to send at any moment."""


def test_servers_killed_at_random_moments(scenario):
    """One of two servers is killed again and again under load; the table has each sample once."""
    rounds = scenario.size(2, 40)
    at_least = scenario.size(10_000, 150_000)
    with ExitStack() as stack:
        servers = [stack.enter_context(scenario.start_server()) for _ in range(2)]
        proxy = stack.enter_context(Proxy(*(server.url for server in servers)))
        worker = scenario.start_worker(proxy.url, at_least, at_most=1_000 * at_least, threads=2)
        for _ in range(rounds):
            time.sleep(scenario.chance.uniform(0.1, 0.6))  # chance decides the moment
            server = scenario.chance.choice(servers)
            server.kill()
            server.start_again()
            proxy.server_urls = [server.url for server in servers]
        scenario.settle(worker.finish(), rounds, proxy)


def test_a_server_killed_between_commit_and_answer(scenario):
    """The next server does not insert again what a server committed but did not acknowledge."""
    rounds = scenario.size(2, 15)
    at_least = scenario.size(2_000, 20_000)
    repeats = 0
    with ExitStack() as stack:
        servers = [
            stack.enter_context(scenario.start_server(role)) for role in ("chaos_1", "chaos_2")
        ]
        proxy = stack.enter_context(Proxy(servers[0].url))
        worker = scenario.start_worker(
            proxy.url, at_least, at_most=1_000 * at_least, pace_seconds=PACE_SECONDS
        )
        while repeats < rounds:
            doomed, other = servers
            proxy.server_urls = [doomed.url]
            scenario.wait_until_delivering()
            with scenario.cluster.commits_held():
                wait_for_backend(
                    scenario.database_url, f"{COMMITTED} AND usename = '{doomed.role}'"
                )
                doomed.kill()
                proxy.server_urls = [other.url]
                # A repeat waits for the transaction that was not reported. That one may have been a
                # transaction of the server's own, though: then there is no repeat, and this one is
                # new.
                of_other = f"usename = '{other.role}'"
                wait_for_backend(
                    scenario.database_url, f"({BLOCKED} OR {COMMITTED}) AND {of_other}"
                )
                repeats += bool(backends(scenario.database_url, f"{BLOCKED} AND {of_other}"))
            doomed.start_again()
            servers.reverse()
        scenario.settle(worker.finish(), rounds, proxy)
