"""A worker that runs its jobs in a thread pool.

Start a server with `python -m server_stub`, then `python examples/thread_pool.py`.
"""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor

from noetl_metrics_sdk import Counter, MetricsClient, track_job

BYTES_HASHED = Counter("example_bytes_hashed", "Bytes that jobs have hashed", unit="bytes")


@track_job(job_type="hash")
def hash_block(seed: int) -> str:
    """Do one job: hash a megabyte."""
    block = seed.to_bytes(8, "big") * 131_072
    BYTES_HASHED.inc(len(block))
    return hashlib.sha256(block).hexdigest()


def main() -> None:
    """Run forty jobs on four threads, and report them."""
    server_url = os.environ.get("NOETL_SERVER_URL", "http://localhost:8082")
    with MetricsClient(server_url, "example-thread-pool", labels={"site": "lab"}) as client:
        with ThreadPoolExecutor(max_workers=4) as pool:
            digests = set(pool.map(hash_block, range(40)))
        result = client.flush()
    print(f"{len(digests)} jobs done; {result}")


if __name__ == "__main__":
    main()
