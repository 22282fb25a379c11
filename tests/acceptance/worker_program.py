"""A worker process for the acceptance test; it notes what it records, apart from the SDK.

Usage: worker_program.py SERVER_URL LEDGER_FILE SEED
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Any

from noetl_metrics_sdk import Counter, Gauge, Histogram, MetricsClient, Summary, track_job

RECORDED_PER_THREAD = 400
THREADS = 3
LABEL_VALUES = ["plain", 'with "quotes"', "new\nline", "back\\slash", "ünïcödé 🚀", "", " space "]

ROWS = Counter("accepted_rows", "Rows read", ["source"], unit="rows")
SECONDS = Histogram("accepted_seconds", "Time taken", unit="seconds", buckets=[0.25, 0.5])
SIZES = Summary("accepted_size", "Sizes", unit="bytes")
LEVEL = Gauge("accepted_level", "Level", ["worker"])


def record_samples(client: MetricsClient, seed: int, ledger: list[dict[str, Any]]) -> None:
    """Record samples of every type, with times, labels and values of all kinds."""
    chance = random.Random(seed)
    for number in range(RECORDED_PER_THREAD):
        metric_type = chance.choice(["counter", "gauge", "histogram", "summary"])
        value = chance.choice([chance.random(), float(number), -1e300, 5e-324, 0.1, 1e15])
        if metric_type == "gauge":
            value = chance.choice([value, float("nan"), float("inf"), float("-inf")])
        sample: dict[str, Any] = {
            "name": f"recorded_{chance.randrange(5)}_total",
            "value": value,
            "metric_type": metric_type,
            "labels": {"text": chance.choice(LABEL_VALUES), "n": f"{seed}-{number}"},
            # PostgreSQL keeps microseconds: eighths of a second are exact in both. The times are
            # those of the last days.
            "timestamp": int(time.time()) - chance.randrange(4_000_000) / 8,
            "help_text": chance.choice(["", "Recorded", "Récordé"]),
            "unit": chance.choice(["", "rows"]),
        }
        client.record(**sample)
        ledger.append(sample)


def use_instruments(seed: int, tally: dict[str, float]) -> None:
    """Do jobs with every instrument, and count the jobs by hand as well."""
    chance = random.Random(seed)
    for number in range(200):
        amount = chance.randrange(1_000)
        with track_job(job_type="accept"):
            ROWS.labels("a" if number % 2 else "b").inc(amount)
            SECONDS.observe(amount / 1024)  # exact in binary, so sums are exact
            SIZES.observe(amount)
        tally["rows"] = tally.get("rows", 0) + amount
        tally["jobs"] = tally.get("jobs", 0) + 1
        tally["seconds"] = tally.get("seconds", 0) + amount / 1024


def main(server_url: str, ledger_file: str, seed: int) -> None:
    """Record from several threads, and write down the records."""
    ledgers: list[list[dict[str, Any]]] = [[] for _ in range(THREADS)]
    tallies: list[dict[str, float]] = [{} for _ in range(THREADS)]
    LEVEL.labels(seed).set(seed + 0.5)
    with MetricsClient(
        server_url, "accepted-pool", labels={"site": "test"}, flush_interval=0.2,
        batch_samples_max=97,
    ) as client:  # fmt: skip
        threads = [
            threading.Thread(target=record_samples, args=(client, 10 * seed + n, ledgers[n]))
            for n in range(THREADS)
        ]
        threads += [
            threading.Thread(target=use_instruments, args=(10 * seed + n, tallies[n]))
            for n in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        result = client.shutdown(timeout=60)
    samples = client.stats().samples
    Path(ledger_file).write_text(
        json.dumps(
            {
                "worker_id": client.worker_id,
                "recorded": [sample for ledger in ledgers for sample in ledger],
                "tally": {
                    name: sum(tally[name] for tally in tallies)
                    for name in ("rows", "jobs", "seconds")
                },
                "sent": samples.sent,
                "dropped": dict(samples.dropped),
                "pending": result.pending,
            }
        ),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
