"""A worker whose jobs are coroutines: one of them fails, and one is cancelled.

Start a server with `python -m server_stub`, then `python examples/asyncio_worker.py`.
"""

from __future__ import annotations

import asyncio
import os

from noetl_metrics_sdk import Gauge, MetricsClient, Summary, track_job

QUEUE_LENGTH = Gauge("example_queue_length", "Jobs that wait", unit="jobs")
ANSWER_BYTES = Summary("example_answer_size", "Size of the answers", unit="bytes")


async def fetch(number: int) -> int:
    """Do one job: pretend to fetch a page."""
    async with track_job(job_type="http"):
        if number == 7:  # noqa: PLR2004 - one has to fail
            raise ConnectionError("the page is gone")
        await asyncio.sleep(0.01 if number else 60)
        size = 1_000 * number
        ANSWER_BYTES.observe(size)
        return size


async def run_jobs() -> None:
    """Run twenty jobs at once, and cancel the first, which would take a minute."""
    waiting = {asyncio.create_task(fetch(number)): number for number in range(20)}
    QUEUE_LENGTH.set_function(lambda: sum(not task.done() for task in waiting))
    first, *others = waiting
    await asyncio.wait(others)
    first.cancel()
    await asyncio.wait(waiting)
    print("outcomes:", sum(not task.cancelled() and not task.exception() for task in waiting), "ok")


def main() -> None:
    """Run the jobs, and report them."""
    server_url = os.environ.get("NOETL_SERVER_URL", "http://localhost:8082")
    with MetricsClient(server_url, "example-asyncio-worker") as client:
        asyncio.run(run_jobs())
        print(client.flush())


if __name__ == "__main__":
    main()
