"""Compare what the workers did with the table, with the charts, and with a VictoriaMetrics."""

from __future__ import annotations

import sys
import time
from collections import Counter as Tally
from typing import TYPE_CHECKING, Any, NamedTuple

from charts import increases
from database import rows_of
from report import compare, differences
from victoria_metrics import show_what_was_written, totals, wait_for_export

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

FOUND_SECONDS = 30.0


class Work(NamedTuple):
    """A pool's component, and what each of its workers says that it did."""

    component: str
    reports: Sequence[dict[str, Any]]

    @property
    def worker_ids(self) -> list[str]:
        """The `worker_id` of each worker."""
        return [report["worker_id"] for report in self.reports]

    @property
    def metric_names(self) -> list[str]:
        """The names of the metrics whose totals the workers know."""
        return sorted({key.split("/")[0] for key in self.done()})

    def done(self) -> Tally[str]:
        """Return the totals of all workers by `metric/job type/status/exception`."""
        done: Tally[str] = Tally()
        for report in self.reports:
            done.update(report["work_done"])
        return done

    def jobs(self) -> int:
        """Return how many jobs the workers did."""
        return sum(n for key, n in self.done().items() if key.startswith("noetl_jobs_processed"))


def verdict(connection: psycopg.Connection, work: Work, rows_before: int) -> bool:
    """Print and return whether the table holds exactly what the workers did."""
    found = differences(connection, work.component, work.worker_ids, work.done())
    sent = sum(report["samples_sent"] for report in work.reports)
    rows = rows_of(connection, work.component) - rows_before
    if rows != sent:
        found.append(f"rows: the workers sent {sent} samples, the table has {rows} rows")
    for report in work.reports:
        if report["samples_dropped"] or report["samples_pending"]:
            found.append(
                f"{report['worker_id']}: dropped {report['samples_dropped']}, "
                f"pending {report['samples_pending']}"
            )
    agreed = f"All {work.jobs()} jobs and all {sent} samples are in the table: every sum agrees"
    return _tell(found, "The table", agreed)


def verdict_of_charts(server_url: str, works: Sequence[Work], began_at: float) -> bool:
    """Print and return whether the charts of both pools show exactly what the workers did."""
    found: list[str] = []
    for work in works:
        shown = increases(server_url, work.component, work.metric_names, work.worker_ids, began_at)
        found += compare(work.done(), shown, "a chart")
    jobs = " and ".join(str(work.jobs()) for work in works)
    return _tell(found, "The charts", f"All {jobs} jobs are in the charts: no count is unseen")


def verdict_of_promql(
    connection: psycopg.Connection, works: Sequence[Work], receiver_url: str
) -> bool:
    """Print and return whether PromQL finds in VictoriaMetrics what the workers did."""
    wait_for_export(connection, receiver_url)
    deadline = time.monotonic() + FOUND_SECONDS
    while True:
        found: list[str] = []
        for work in works:
            for function in ("last_over_time", "increase"):
                sums = totals(
                    receiver_url, work.component, work.metric_names, work.worker_ids, function
                )
                found += compare(work.done(), sums, f"{function}() in VictoriaMetrics")
        if not found or time.monotonic() > deadline:
            break
        # VictoriaMetrics may take some seconds to find what it has acknowledged.
        time.sleep(0.5)
        show_what_was_written(receiver_url)
    agreed = "All of it is in VictoriaMetrics too: PromQL finds every sum and every increase"
    return _tell(found, "VictoriaMetrics", agreed)


def _tell(differing: Sequence[str], what: str, agreed: str) -> bool:
    if differing:
        print(f"\n== {what} and the work differ:", *differing, sep="\n   ", file=sys.stderr)
        return False
    print(f"\n== {agreed}")
    return True
