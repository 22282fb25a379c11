"""Everything that a network does, between workers and servers."""

from __future__ import annotations

from contextlib import ExitStack

from tests.chaos.faults import Deck, Fault, Sequence
from tests.chaos.proxy import Proxy
from tests.chaos.scenario import all_ledgers


def test_every_fault_of_a_network(scenario):
    """Workers with threads, two servers, and every fault in turn: each sample is there once."""
    with ExitStack() as stack:
        servers = [stack.enter_context(scenario.start_server()) for _ in range(2)]
        plan = Deck(scenario.chance)
        proxy = stack.enter_context(
            Proxy(*(server.url for server in servers), plan=plan, seed=scenario.chance.random())
        )
        workers = [
            scenario.start_worker(
                proxy.url,
                scenario.size(10_000, 200_000),
                threads=3,
                settings={"batch_samples_max": 400, "request_timeout": 0.5},
            )
            for _ in range(2)
        ]
        ledgers = all_ledgers(workers)
        scenario.settle(ledgers, sum(proxy.counts.values()), proxy)


def test_a_batch_that_is_refused_after_its_commit_is_not_sent_again_in_parts(scenario):
    """A 413 to a repeat, whose first answer was lost, splits nothing that is there already."""
    plan = Sequence(Fault.NONE, Fault.RESET_BEFORE_ANSWER, Fault.STATUS_413)
    with scenario.start_server() as server, Proxy(server.url, plan=plan) as proxy:
        worker = scenario.start_worker(proxy.url, 1_000)
        scenario.settle(worker.finish(), proxy.counts[Fault.STATUS_413], proxy)
        assert 1 == proxy.counts[Fault.STATUS_413]
