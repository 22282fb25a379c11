"""The tools of a scenario, and its end: the comparison of the ledgers with the table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.chaos.assignment import Assignment
from tests.chaos.comparison import NOTHING_WRONG, compare, rows_by_worker, totals_by_worker
from tests.chaos.ledger import dropped_by_reason
from tests.chaos.numbered import JOBS
from tests.chaos.processes import Server, WorkerProcess
from tests.chaos.report import Row
from tests.chaos.waiting import wait_until

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable
    from pathlib import Path

    from tests.chaos.cluster import KillableCluster
    from tests.chaos.comparison import Comparison
    from tests.chaos.ledger import WorkerLedger
    from tests.chaos.proxy import Proxy
    from tests.chaos.report import Report

DELIVERED_SECONDS = 60.0
# A worker that soon tries again: the suite has many outages, all of them short.
QUICK = {"flush_interval": 0.2, "request_timeout": 2.0, "backoff_max": 0.2}


@dataclass
class Scenario:
    """The surroundings of a test.

    Args:
        name: the name in the report.
        database_url: a new database.
        cluster: the PostgreSQL of that database.
        chance: the source of every random choice.
        folder: the folder for files.
        report: gets the figures.
        long: whether this is the long form.
    """

    name: str
    database_url: str
    cluster: KillableCluster
    chance: random.Random
    folder: Path
    report: Report
    long: bool
    _next_number: int = 0
    _started: list[WorkerProcess] = field(default_factory=list)

    def size(self, short: int, long: int) -> int:
        """Return the first of two numbers in the short form, the second in the long form."""
        return long if self.long else short

    def start_server(self, role: str = "postgres") -> Server:
        """Start a server.

        Args:
            role: the PostgreSQL role as which it connects; it tells the servers of a test apart.
        """
        self.cluster.make_role(role)
        return Server.start(self.database_url, role)

    def numbers(self, count: int) -> range:
        """Return numbers that no other worker has."""
        first = self._next_number
        self._next_number += count
        return range(first, first + count)

    def start_worker(self, server_url: str, at_least: int, **orders: Any) -> WorkerProcess:
        """Start a worker with numbers of its own.

        Args:
            server_url: the URL to which it delivers.
            at_least: how many samples it records at least.
            orders: further fields of `Assignment`.
        """
        per_process = max(at_least, orders.get("at_most", 0))
        settings = {
            **QUICK,
            "shutdown_timeout": 60.0,
            # Where a test counts drops, only numbered samples may occur.
            "self_metrics": orders.get("instruments", True),
            **orders.pop("settings", {}),
        }
        worker = WorkerProcess(
            Assignment(
                server_url,
                str(self.folder / f"ledger-{len(self._started)}"),
                self.numbers(per_process * (1 + orders.get("forks", 0))).start,
                at_least,
                settings=settings,
                seed=self.chance.randrange(2**32),
                **orders,
            )
        )
        self._started.append(worker)
        return worker

    def end(self) -> None:
        """Kill the workers that a failed test has left."""
        for worker in self._started:
            if worker.process.poll() is None:
                worker.kill()

    def wait_until_delivering(self) -> None:
        """Wait until the table has more rows: then a worker is registered, and at work."""
        before = rows_by_worker(self.database_url)
        wait_until(lambda: rows_by_worker(self.database_url) != before, DELIVERED_SECONDS)

    def settle(
        self,
        ledgers: Iterable[WorkerLedger],
        times: int,
        *proxies: Proxy,
        own_times: bool = True,
    ) -> Comparison:
        """Compare what workers have recorded with the table; the workers have ended in order.

        Nothing may be wrong, and only samples that the SDK counts as dropped may be missing.
        Workers that drop samples must have no instruments. The SDK's own ledgers have to agree with
        the table, and the counters with what the workers counted. The report gets all figures.
        """
        ledgers = list(ledgers)
        for proxy in proxies:
            proxy.drain()
        recorded = [numbers for ledger in ledgers for numbers in ledger.did]
        compared = compare(self.database_url, recorded, recorded, own_times=own_times)
        # If the server refused the samples, little could be wrong in the table.
        assert "rejected" not in dropped_by_reason(ledgers)
        dropped = sum(dropped_by_reason(ledgers).values())
        compared = compared._replace(missing=compared.missing - dropped)
        self.note(compared, times, ledgers, *proxies)
        assert NOTHING_WRONG == compared.faults
        self.check_own_ledgers(ledgers)
        return compared

    def note(
        self, compared: Comparison, times: int, ledgers: Iterable[WorkerLedger], *proxies: Proxy
    ) -> None:
        """Add a line to the report."""
        self.report.rows.append(Row(self.name, times, compared, dropped_by_reason(ledgers)))
        for proxy in proxies:
            self.report.faults.update({str(fault): n for fault, n in proxy.counts.items()})

    def check_own_ledgers(self, ledgers: list[WorkerLedger]) -> None:
        """Check that each SDK counts as sent what the table has of it, and that all is settled."""
        ends = {ledger.worker_id: ledger.end for ledger in ledgers}
        assert len(ledgers) == len(ends)
        sent, counted = {}, {}
        for ledger in ledgers:
            end = ledger.end
            assert end is not None
            assert 0 == end["pending"]
            assert end["added"] == end["sent"] + sum(end["dropped"].values())
            sent[ledger.worker_id] = end["sent"]
            counted[ledger.worker_id] = float(sum(map(len, ledger.did)))
        assert sent == rows_by_worker(self.database_url)
        totals = totals_by_worker(self.database_url, JOBS)
        assert totals in ({}, counted)


def all_ledgers(workers: Iterable[WorkerProcess]) -> list[WorkerLedger]:
    """Wait for workers to end in order; return their ledgers."""
    return [ledger for worker in workers for ledger in worker.finish()]
