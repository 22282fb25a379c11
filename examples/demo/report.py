"""Show the demo's results, and compare the totals with what the workers did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from database import Answer, ask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import psycopg

# A sum of floats depends on the order of the additions.
TOLERANCE = 1e-9


def show_table(title: str, answer: Answer) -> None:
    """Print a table under its title."""
    cells = [answer.columns, *[["" if v is None else str(v) for v in row] for row in answer.rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(answer.columns))]
    print(f"\n{title}")
    for row in cells:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"  {'  '.join(padded)}".rstrip())


def show_exposition(page: str, names: Sequence[str]) -> None:
    """Print the lines of an exposition page that are about some metrics, at most four of each."""
    print("\nA few lines of GET /metrics:")
    for name in names:
        matching = [
            line for line in page.splitlines() if f" {name} " in line or line.startswith(name)
        ]
        for line in matching[:4]:
            print(f"  {line}")


def differences(
    connection: psycopg.Connection,
    component: str,
    worker_ids: Sequence[str],
    work_done: Mapping[str, float],
) -> list[str]:
    """Compare the table with the work, and return a line for each figure that differs.

    Args:
        connection: a connection to the database.
        component: the worker pool's name.
        worker_ids: the `worker_id` of each process whose figures are compared.
        work_done: the workers' own totals by `metric/job type/status/exception`.
    """
    metric_names = sorted({key.split("/")[0] for key in work_done})
    in_table: dict[str, float] = {}
    for metric_name in metric_names:
        answer = ask(
            connection,
            "totals",
            component=component,
            metric_name=metric_name,
            worker_ids=list(worker_ids),
        )
        for *labels, total in answer.rows:
            in_table["/".join([metric_name, *map(str, labels)])] = float(str(total))
    return compare(work_done, in_table, "the table")


def compare(work_done: Mapping[str, float], totals: Mapping[str, float], where: str) -> list[str]:
    """Return a line for each figure in which the work and a database differ.

    Args:
        work_done: the workers' own totals by `metric/job type/status/exception`.
        totals: the totals that were found in the database, by the same keys.
        where: the name of the database, for the lines.
    """
    found: list[str] = []
    for key in sorted({*work_done, *totals}):
        done, stored = work_done.get(key, 0.0), totals.get(key, 0.0)
        if abs(done - stored) > TOLERANCE * abs(done):
            found.append(f"{key}: the workers did {done:g}, {where} has {stored:g}")
    return found
