"""Programs that fork, and what each of their processes has delivered."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

# When its transport closes, each process writes what that has received to a file of its own.
PREAMBLE = """
import atexit, json, multiprocessing, os, sys, threading, warnings
# From 3.12 on, a fork in a process with threads is warned of; being right in one is what is
# tested here.
warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
import noetl_metrics_sdk as metrics
from noetl_metrics_sdk import Counter, Gauge, Histogram, MetricsClient, Summary
from noetl_metrics_sdk.testing import InMemoryTransport

FOLDER = sys.argv[1]


class WritingTransport(InMemoryTransport):
    def close(self):
        samples = [s._asdict() for s in self.samples]
        if len(sys.argv) < 3:  # a forked transport holds what the parent's had received
            own = str(os.getpid())
            samples = [s for s in samples if s["labels"]["worker_id"].endswith(own)]
        with open(os.path.join(FOLDER, str(os.getpid())), "w") as file:
            json.dump({"samples": samples, "keys": self.keys}, file)


JOBS = Counter("jobs", "Jobs", ["kind"])
RUNNING = Gauge("running", "Running")
SECONDS = Histogram("seconds", "Seconds")
SIZES = Summary("sizes", "Sizes")


def start():
    metrics.init(component_name="pool", transport=WritingTransport(), system_metrics=())


def count(amount):
    JOBS.labels("a").inc(amount)
    RUNNING.inc()
    SECONDS.observe(0.5)
    SIZES.observe(2.0)
"""


def run(program, folder, *arguments):
    source = PREAMBLE + textwrap.dedent(program)
    path = folder / "program.py"
    path.write_text(source)
    subprocess.run(
        [sys.executable, "-W", "error", str(path), str(folder), *arguments],
        check=True,
        timeout=60,
    )
    return {
        int(file.name): json.loads(file.read_text())
        for file in folder.iterdir()
        if file.name.isdigit()
    }


def last_values(process, name):
    return [
        sample["value"]
        for sample in process["samples"]
        if sample["name"] == name and sample["labels"].get("kind", "a") == "a"
    ][-1:]


def totals(processes, name="jobs_total"):
    return sorted(value for process in processes.values() for value in last_values(process, name))
