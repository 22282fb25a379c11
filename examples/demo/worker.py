"""One process of the demo's worker pool: it does real jobs, and reports at its end what it did.

This module counts its report itself, apart from the SDK. The demo then compares the table with the
report.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import warnings
import zlib
from collections import Counter as Tally
from pathlib import Path

from noetl_metrics_sdk import Counter, Histogram, MetricsClient, Summary, track_job

COMPONENT = "demo-pool"

BYTES_READ = Counter("demo_bytes_read", "Bytes that jobs have read", ["job_type"], unit="bytes")
BYTES_WRITTEN = Counter(
    "demo_bytes_written", "Bytes that jobs have produced", ["job_type"], unit="bytes"
)
INPUT_BYTES = Summary("demo_input_bytes", "Size of the files that jobs have read", unit="bytes")
COMPRESSION_RATIO = Histogram(
    "demo_compression_ratio", "Input size by output size", buckets=[1, 2, 3, 4, 5, 7, 10]
)


def parse(source: bytes) -> int:
    """Count the nodes of a module's syntax tree."""
    return sum(1 for _ in ast.walk(ast.parse(source)))


def digest(source: bytes) -> int:
    """Hash a file, as a store of artifacts would, and return the size of the hash in bytes."""
    return len(hashlib.sha256(source).digest())


def compress(source: bytes) -> int:
    """Compress a file, and return the compressed size in bytes."""
    compressed = len(zlib.compress(source, 9))
    COMPRESSION_RATIO.observe(len(source) / max(compressed, 1))
    return compressed


JOBS = {"parse": parse, "hash": digest, "compress": compress}


def run_jobs(path: Path, work_done: Tally[str]) -> None:
    """Do every kind of job on one file, and add to the totals of the work."""
    source = path.read_bytes()
    INPUT_BYTES.observe(len(source))
    for job_type, job in JOBS.items():
        outcome = "completed/"
        try:
            with track_job(job_type=job_type):
                BYTES_READ.labels(job_type).inc(len(source))
                written = job(source)
                BYTES_WRITTEN.labels(job_type).inc(written)
                work_done[f"demo_bytes_written_total/{job_type}//"] += written
        except (SyntaxError, ValueError) as error:
            # The standard library has modules that do not parse, for its own tests.
            outcome = f"failed/{type(error).__name__}"
        work_done[f"noetl_jobs_processed_total/{job_type}/{outcome}"] += 1
        work_done[f"noetl_job_duration_seconds_count/{job_type}//"] += 1
        work_done[f"demo_bytes_read_total/{job_type}//"] += len(source)
    work_done["demo_input_bytes_count///"] += 1
    work_done["demo_input_bytes_sum///"] += len(source)
    work_done["demo_compression_ratio_count///"] += 1


def main(server_url: str, component: str, flush_seconds: float, paths: list[str]) -> None:
    """Do the jobs on some files, and print a report of the work as one line of JSON."""
    # Python warns of the escapes in old source files. This program cannot mend them.
    warnings.simplefilter("ignore", SyntaxWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    work_done: Tally[str] = Tally()
    client = MetricsClient(
        server_url, component, flush_interval=flush_seconds, system_interval=0.5,
        handle_sigterm=False,  # the demo throws the counts away if it is interrupted
    )  # fmt: skip
    with client:
        for path in paths:
            run_jobs(Path(path), work_done)
        result = client.shutdown(timeout=30)
    samples = client.stats().samples
    report = {
        "worker_id": client.worker_id,
        "work_done": work_done,
        "samples_sent": samples.sent,
        "samples_dropped": dict(samples.dropped),
        "samples_pending": result.pending,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.stdin.read().splitlines())
