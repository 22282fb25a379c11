"""Servers that die: at any moment, and at the worst one."""

from __future__ import annotations

import time
from contextlib import ExitStack

from tests.chaos.proxy import Proxy


def test_servers_killed_at_random_moments(scenario):
    """Of two servers one is killed again and again under load: each sample is there once."""
    rounds = scenario.size(2, 40)
    at_least = scenario.size(10_000, 150_000)
    with ExitStack() as stack:
        servers = [stack.enter_context(scenario.start_server()) for _ in range(2)]
        proxy = stack.enter_context(Proxy(*(server.url for server in servers)))
        worker = scenario.start_worker(proxy.url, at_least, at_most=20 * at_least, threads=2)
        for _ in range(rounds):
            time.sleep(scenario.chance.uniform(0.1, 0.6))  # the moment is what chance decides
            server = scenario.chance.choice(servers)
            server.kill()
            server.start_again()
            proxy.server_urls = [server.url for server in servers]
        scenario.settle(worker.finish(), rounds, proxy)


def test_a_server_killed_between_commit_and_answer(scenario):
    """What a server has committed and not acknowledged is not inserted again by the next one."""
    rounds = scenario.size(2, 15)
    at_least = scenario.size(2_000, 20_000)
    with ExitStack() as stack:
        servers = [stack.enter_context(scenario.start_server()) for _ in range(2)]
        proxy = stack.enter_context(Proxy())
        worker = scenario.start_worker(proxy.url, at_least, at_most=50 * at_least)
        for _ in range(rounds):
            doomed, other = servers
            proxy.server_urls = [doomed.url]
            scenario.cluster.hold_commits()
            scenario.cluster.wait_for_backend("wait_event = 'SyncRep' AND query = 'COMMIT'")
            doomed.kill()
            proxy.server_urls = [other.url]
            # The repeat waits for the transaction that nobody was told of.
            scenario.cluster.wait_for_backend("wait_event_type = 'Lock'")
            scenario.cluster.release_commits()
            doomed.start_again()
            servers.reverse()
        scenario.settle(worker.finish(), rounds, proxy)
