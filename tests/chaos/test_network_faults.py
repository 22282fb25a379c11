"""Every fault of a network, between workers and servers."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.chaos.faults import Deck, Fault, Sequence
from tests.chaos.proxy import Proxy
from tests.chaos.scenario import all_ledgers


def test_every_fault_of_a_network(scenario):
    """With threaded workers, two servers and every fault in turn, each sample is stored once."""
    with ExitStack() as stack:
        servers = [stack.enter_context(scenario.start_server()) for _ in range(2)]
        plan = Deck(scenario.chance)
        proxy = stack.enter_context(
            Proxy(*(server.url for server in servers), plan=plan, seed=scenario.chance.random())
        )
        workers = [
            scenario.start_worker(
                proxy.url,
                scenario.size(5_000, 120_000),
                threads=3,
                settings={"batch_samples_max": 400, "request_timeout": 0.5},
            )
            for _ in range(2)
        ]
        ledgers = all_ledgers(workers)
        scenario.settle(ledgers, sum(proxy.counts.values()), proxy)


@pytest.mark.parametrize(
    "fault",
    [Fault.RESET_BEFORE_ANSWER, Fault.LATE, Fault.OVERTAKEN],
    ids=["there", "late", "overtaken"],
)
def test_a_batch_that_is_refused_later_on_is_not_inserted_again_in_parts(scenario, fault):
    """A server refuses a repeat with 413 while the first request is in the table, or on its way."""
    plan = Sequence(fault, Fault.STATUS_413)
    with scenario.start_server() as server, Proxy(plan=plan) as proxy:
        worker = scenario.start_worker(proxy.url, 1_000, settings={"request_timeout": 0.3})
        worker.wait_until_recorded(1_000)  # so that the batch is large enough for a 413
        proxy.server_urls = [server.url]
        scenario.settle(worker.finish(), 1, proxy)
        assert {fault: 1, Fault.STATUS_413: 1}.items() <= proxy.counts.items()
