"""What a worker has spooled and called safe arrives, whatever becomes of the worker."""

from __future__ import annotations

import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.chaos.comparison import NOTHING_WRONG, compare
from tests.chaos.faults import Deck, Fault
from tests.chaos.proxy import Proxy
from tests.chaos.scenario import all_ledgers

DISK_BYTES = 256 * 1024
FLUSH_SECONDS = 0.05
FLUSH_SECONDS_LAST = 2.0
"""A disk that others keep busy takes longer for seven files than `FLUSH_SECONDS`, each time."""
# A 404, and a server that asks for time, cost time; other tests cover them without a spool.
FAULTS = (
    Fault.REFUSED, Fault.RESET_IN_REQUEST, Fault.RESET_BEFORE_ANSWER, Fault.RESET_IN_ANSWER,
    Fault.ANSWER_SWALLOWED, Fault.LATE, Fault.OVERTAKEN, Fault.STATUS_500, Fault.STATUS_413,
    Fault.STATUS_504_AFTER_COMMIT,
)  # fmt: skip


def settings_for(folder):
    return {
        "spool_directory": str(folder),
        "batch_samples_max": 300,
        "request_timeout": 0.3,
        "shutdown_timeout": 0.5,
    }


def settle_with_last_worker(scenario, server, settings, times, must, ledgers, *proxies):
    """Have a last worker take over what the others have left, and compare."""
    with Proxy(server.url) as proxy:
        last = scenario.start_worker(proxy.url, 400, settings=settings).finish()
    for each in proxies:
        each.drain()
    must = [*must, *(numbers for ledger in last for numbers in ledger.did)]
    may = [numbers for ledger in [*ledgers, *last] for numbers in ledger.will]
    compared = compare(scenario.database_url, must, may)
    scenario.note(compared, times, [*ledgers, *last], *proxies)
    assert NOTHING_WRONG == compared.faults
    assert [0] == [ledger.end["pending"] for ledger in last]


def test_workers_with_a_spool_killed_at_random_moments(scenario):
    """Two workers at a time share a spool; the next takes over, and stores safe samples once."""
    rounds = scenario.size(3, 150)
    settings = settings_for(scenario.folder / "spool")
    ledgers = []
    with (
        scenario.start_server() as server,
        Proxy(plan=Deck(scenario.chance, FAULTS), seed=scenario.chance.random()) as proxy,
    ):
        for number in range(rounds):
            proxy.server_urls = [server.url] if number % 3 else []
            workers = [
                scenario.start_worker(
                    proxy.url, 10**6, settings=settings, clock_jumps=True,
                    flush_after=scenario.chance.choice([200, 600, 2_000]),
                    flush_seconds=FLUSH_SECONDS_LAST if number == rounds - 1 else FLUSH_SECONDS,
                )
                for _ in range(2)
            ]  # fmt: skip
            if number == rounds - 1:  # on a busy machine the others may be killed before
                workers[0].wait_until_safe()
            for worker in workers:
                time.sleep(scenario.chance.uniform(0.1, 0.7))  # chance decides the moment
                ledgers += worker.kill()
        must = [numbers for ledger in ledgers for numbers in ledger.safe]
        assert must
        settle_with_last_worker(scenario, server, settings, 2 * rounds, must, ledgers, proxy)


@pytest.mark.once
def test_workers_killed_while_they_take_over(scenario):
    """Workers take over in several goes, and at last two at once; each sample is stored once."""
    rounds = scenario.size(1, 10)
    settings = {**settings_for(scenario.folder / "spool"), "batch_samples_max": 8}
    # Many small files: it takes time to take them over one by one.
    left = scenario.size(1_000, 8_000)
    must, ledgers = [], []
    with scenario.start_server() as server, Proxy() as proxy:
        for _ in range(rounds):
            proxy.server_urls = []
            written = scenario.start_worker(
                proxy.url, left, settings=settings, flush_after=left, flush_seconds=left / 2_500,
                shutdown_seconds=None,
            ).finish()  # fmt: skip
            must += [numbers for ledger in written for numbers in ledger.safe]
            ledgers += written
            for _ in range(scenario.size(1, 3)):
                heirs = [scenario.start_worker(proxy.url, 10**6, settings=settings) for _ in "ab"]
                for heir in heirs:
                    heir.wait_until_begun()
                time.sleep(scenario.chance.uniform(0.0, 0.05))  # chance decides the moment
                for heir in heirs:
                    ledgers += heir.kill()
            proxy.server_urls = [server.url]
            heirs = [scenario.start_worker(proxy.url, 200, settings=settings) for _ in range(2)]
            written = all_ledgers(heirs)
            must += [numbers for ledger in written for numbers in ledger.did]
            ledgers += written
        settle_with_last_worker(scenario, server, settings, rounds, must, ledgers, proxy)


@pytest.mark.once
def test_everything_at_once(scenario):
    """Workers, servers and PostgreSQL are killed, while the network fails in every way."""
    rounds = scenario.size(1, 20)
    settings = settings_for(scenario.folder / "spool")
    ledgers = []
    with ExitStack() as stack:
        servers = [stack.enter_context(scenario.start_server()) for _ in range(2)]
        plan = Deck(scenario.chance, FAULTS)
        proxy = stack.enter_context(
            Proxy(*(each.url for each in servers), plan=plan, seed=scenario.chance.random())
        )
        for number in range(rounds):
            workers = [
                scenario.start_worker(
                    proxy.url, 10**6, settings=settings, flush_after=600,
                    flush_seconds=FLUSH_SECONDS_LAST if number == rounds - 1 else FLUSH_SECONDS,
                )
                for _ in range(2)
            ]  # fmt: skip
            if number == rounds - 1:
                workers[0].wait_until_safe()
            time.sleep(scenario.chance.uniform(0.3, 0.6))  # chance decides the moment
            if scenario.chance.random() < 0.5:
                scenario.cluster.kill()
                scenario.cluster.start()
            doomed = scenario.chance.choice(servers)
            doomed.kill()
            ledgers += scenario.chance.choice(workers).kill()
            doomed.start_again()
            proxy.server_urls = [each.url for each in servers]
            for worker in workers:
                if worker.process.poll() is None:
                    ledgers += worker.kill()
        must = [numbers for ledger in ledgers for numbers in ledger.safe]
        assert must
        settle_with_last_worker(scenario, servers[0], settings, rounds, must, ledgers, proxy)


@pytest.mark.once
def test_workers_that_share_a_spool_and_end_in_order(scenario):
    """Processes on one spool neither deliver each other's samples nor lose their own."""
    # Six processes at once: on a busy machine the server needs more than a moment for an answer.
    settings = {
        **settings_for(scenario.folder / "spool"), "request_timeout": 1.0, "shutdown_timeout": 60.0,
    }  # fmt: skip
    plan = Deck(scenario.chance, FAULTS, passes=2)
    with ExitStack() as stack:
        server = stack.enter_context(scenario.start_server())
        proxy = stack.enter_context(Proxy(plan=plan, seed=scenario.chance.random()))
        workers = [
            scenario.start_worker(
                proxy.url, scenario.size(3_000, 30_000), threads=2, forks=2, settings=settings
            )
            for _ in range(2)
        ]
        for worker in workers:
            worker.wait_until_recorded(1)
        proxy.server_urls = [server.url]
        ledgers = all_ledgers(workers)
        scenario.settle(ledgers, len(ledgers), proxy)


@pytest.mark.parametrize("by_signal", [False, True], ids=["in order", "by SIGTERM"])
def test_workers_that_end_while_the_server_is_away(scenario, by_signal):
    """The next worker delivers what a worker could not deliver when it ended, or was told to."""
    rounds = scenario.size(2, 10)
    # The server is away for all of a shutdown's time, and the disk may be busy.
    settings = {**settings_for(scenario.folder / "spool"), "shutdown_timeout": 3.0}
    must, ledgers = [], []
    with scenario.start_server() as server, Proxy() as proxy:
        for _ in range(rounds):
            worker = scenario.start_worker(
                proxy.url, 10**6 if by_signal else 2_000, settings=settings, shutdown_seconds=None,
                # What the workers before have left waits too, and must not hold up a worker's end.
                pending_max=20_000 if by_signal else 0,
            )  # fmt: skip
            if by_signal:
                worker.wait_until_recorded(1)
                recorded, written = worker.terminate()
            else:
                written = worker.finish()
                recorded = [numbers for ledger in written for numbers in ledger.did]
            must += recorded
            ledgers += written
        settle_with_last_worker(scenario, server, settings, rounds, must, ledgers, proxy)


@contextmanager
def small_disk(folder):
    """Mount a small file system where that is permitted, or limit files otherwise; yield which."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        yield {"file_bytes_max": DISK_BYTES // 4}
        return
    try:
        yield {}
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.once
def test_a_disk_that_is_full(scenario):
    """Samples wait in memory then, and the SDK calls none safe that is not."""
    recorded = scenario.size(6_000, 50_000)
    folder = scenario.folder / "disk"
    settings = settings_for(folder)
    with small_disk(folder) as limits, scenario.start_server() as server, Proxy() as proxy:
        doomed = scenario.start_worker(
            proxy.url, recorded, at_most=10**6, settings=settings, pending_max=0, flush_after=200,
            flush_seconds=0.01, first_flush_is_repeated=True, **limits,
        )  # fmt: skip
        doomed.wait_until_recorded(recorded)
        ledgers = doomed.kill()
        must = [numbers for ledger in ledgers for numbers in ledger.safe]
        assert 0 < sum(map(len, must)) < recorded
        settle_with_last_worker(scenario, server, settings, 1, must, ledgers, proxy)


@pytest.mark.once
def test_a_disk_that_is_full_costs_no_sample_of_a_worker_that_lives(scenario):
    """With the server back, the table has once what waited on disk and what waited in memory."""
    recorded = scenario.size(6_000, 50_000)
    folder = scenario.folder / "disk"
    settings = {**settings_for(folder), "shutdown_timeout": 60.0}
    with small_disk(folder) as limits, scenario.start_server() as server, Proxy() as proxy:
        worker = scenario.start_worker(
            proxy.url, recorded, settings=settings, pending_max=0, **limits
        )
        worker.wait_until_recorded(recorded)
        proxy.server_urls = [server.url]
        scenario.settle(worker.finish(), 1, proxy)
