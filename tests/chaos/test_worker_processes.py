"""What happens to worker processes: forks, clocks that jump, signals."""

from __future__ import annotations

import time

from tests.chaos.comparison import NOTHING_WRONG, compare
from tests.chaos.faults import Deck, Fault
from tests.chaos.proxy import Proxy
from tests.chaos.worker import CHUNK_SAMPLES

QUICK_FAULTS = (
    Fault.RESET_IN_REQUEST, Fault.RESET_BEFORE_ANSWER, Fault.RESET_IN_ANSWER, Fault.STATUS_500,
    Fault.STATUS_404, Fault.NO_JSON, Fault.STATUS_504_AFTER_COMMIT,
)  # fmt: skip


def test_forks_under_load(scenario):
    """Children forked while threads record report their own samples only."""
    forks = scenario.size(4, 12)
    plan = Deck(scenario.chance, QUICK_FAULTS, passes=2)
    with scenario.start_server() as server, Proxy(server.url, plan=plan) as proxy:
        worker = scenario.start_worker(
            proxy.url, scenario.size(2_000, 10_000), threads=3, forks=forks
        )
        ledgers = worker.finish()
        assert 1 + forks == len({ledger.worker_id for ledger in ledgers})
        scenario.settle(ledgers, forks, proxy)


def test_a_clock_that_jumps_by_hours(scenario):
    """The wall clock goes back and forth, and no sample is late, lost or doubled by it."""
    recorded = scenario.size(3_000, 60_000)
    plan = Deck(scenario.chance, QUICK_FAULTS, passes=2)
    with scenario.start_server() as server, Proxy(server.url, plan=plan) as proxy:
        worker = scenario.start_worker(
            proxy.url,
            recorded,
            threads=2,
            clock_jumps=True,
            own_times=False,
            settings={"batch_samples_max": 200},
        )
        jumps = recorded // CHUNK_SAMPLES  # about as many
        scenario.settle(worker.finish(), jumps, proxy, own_times=False)


def test_workers_killed_after_a_flush(scenario):
    """The table has once what a flush called delivered, whatever becomes of the worker."""
    rounds = scenario.size(3, 40)
    plan = Deck(scenario.chance, QUICK_FAULTS, passes=1)
    ledgers = []
    with scenario.start_server() as server, Proxy(server.url, plan=plan) as proxy:
        for _ in range(rounds):
            worker = scenario.start_worker(proxy.url, 10**6, flush_after=400)
            worker.wait_until_safe()
            time.sleep(scenario.chance.uniform(0.0, 0.3))  # chance decides the moment
            ledgers += worker.kill()
        proxy.drain()
    must = [numbers for ledger in ledgers for numbers in ledger.safe]
    may = [numbers for ledger in ledgers for numbers in ledger.will]
    compared = compare(scenario.database_url, must, may)
    scenario.note(compared, rounds, ledgers, proxy)
    assert NOTHING_WRONG == compared.faults


def test_workers_ended_by_sigterm(scenario):
    """A worker without a handler of its own delivers what it had recorded before the signal."""
    rounds = scenario.size(2, 25)
    must, ledgers = [], []
    with scenario.start_server() as server, Proxy(server.url) as proxy:
        for _ in range(rounds):
            # The delivery catches up in a pause, whenever that is on a busy machine.
            worker = scenario.start_worker(
                proxy.url, 10**6, threads=2, pace_seconds=0.2, settings={"shutdown_timeout": 30.0}
            )
            worker.wait_until_recorded(1)
            time.sleep(scenario.chance.uniform(0.0, 0.3))  # chance decides the moment
            recorded, written = worker.terminate()
            must += recorded
            ledgers += written
        proxy.drain()
    may = [numbers for ledger in ledgers for numbers in ledger.will]
    compared = compare(scenario.database_url, must, may)
    scenario.note(compared, rounds, ledgers, proxy)
    assert NOTHING_WRONG == compared.faults
