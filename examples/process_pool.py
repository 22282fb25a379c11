"""A worker whose jobs run in processes of their own, forked or spawned.

Start a server with `python -m server_stub`, then `python examples/process_pool.py fork` or
`python examples/process_pool.py spawn`.

A forked child inherits the client and starts afresh with it: it has threads of its own, counts
that begin at zero, and a `worker_id` of its own. A spawned child inherits nothing, and makes its
client in the pool's initializer. In both cases the client of a child delivers its counts when the
child ends.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor

import noetl_metrics_sdk as metrics
from noetl_metrics_sdk import Counter, track_job

BYTES_COMPRESSED = Counter("example_bytes_compressed", "Bytes compressed", unit="bytes")


@track_job(job_type="compress")
def compress_block(seed: int) -> int:
    """Do one job: compress half a megabyte."""
    block = seed.to_bytes(8, "big") * 65_536
    BYTES_COMPRESSED.inc(len(block))
    return len(zlib.compress(block))


def start_metrics() -> None:
    """Make this process's client."""
    server_url = os.environ.get("NOETL_SERVER_URL", "http://localhost:8082")
    metrics.init(server_url, "example-process-pool")


def main(start_method: str) -> None:
    """Run forty jobs on two processes, and report them."""
    start_metrics()
    context = multiprocessing.get_context(start_method)
    initializer = start_metrics if start_method == "spawn" else None
    with ProcessPoolExecutor(2, mp_context=context, initializer=initializer) as pool:
        sizes = list(pool.map(compress_block, range(40)))
    result = metrics.shutdown()
    print(f"{len(sizes)} jobs done; the parent itself: {result}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "fork")
