"""One contender of `process.py`, in a process of its own that then has nothing to do.

Usage: python benchmarks/idle_process.py NAME URL INTERVAL [PACKAGE ...]

It prints a line of JSON as soon as it is idle: how many modules are loaded, and which of those
packages that only some environments have. To each line of its standard input it answers with the
processor time that it has taken, in seconds, and it ends with that input. Each PACKAGE counts as
not installed. The process imports nothing but its contender: what it imports is measured.
"""

from __future__ import annotations

import gc
import json
import sys
import time

SOME_ENVIRONMENTS_HAVE = ("click", "rich", "pygments", "trio")


def our_client(url: str, interval: int) -> object:
    """Start this project's client, with all system metrics; count and deliver something."""
    import noetl_metrics_sdk as sdk  # noqa: PLC0415 - each contender only where it is measured

    client = sdk.MetricsClient(
        url, "benchmark", flush_interval=interval, system_interval=interval
    ).start()
    sdk.Counter("jobs", "Jobs", ["kind"]).labels("sql").inc()
    # The first system metrics come in while the first flush is under way.
    while (result := client.flush()).pending:
        if result.dropped or result.timed_out:
            raise RuntimeError(f"the flush failed: {result}, {client.stats().last_error}")
    return client


def opentelemetry(url: str, interval: int) -> object:
    """Start the OpenTelemetry SDK with its exporter over OTLP and HTTP; do the same."""
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415

    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"{url}/v1/metrics"), export_interval_millis=interval * 1000
    )
    provider = MeterProvider([reader])
    provider.get_meter("benchmark").create_counter("jobs").add(1, {"kind": "sql"})
    if not provider.force_flush():
        raise RuntimeError("the flush failed")
    return provider


def dependencies(_url: str, _interval: int) -> object:
    """Import the SDK's dependencies, and nothing of the SDK."""
    import httpcore  # noqa: PLC0415
    import httpx  # noqa: PLC0415
    import psutil  # noqa: PLC0415
    import pydantic  # noqa: PLC0415
    import tenacity  # noqa: PLC0415

    # pydantic loads its parts when they are first asked for.
    return httpcore, httpx, psutil, tenacity, pydantic.BaseModel, pydantic.Field


def interpreter(_url: str, _interval: int) -> object:
    """Do nothing."""
    return None


def psutil_alone(_url: str, interval: int) -> object:
    """Make the calls of psutil and of the system that the client makes for its system metrics."""
    import os  # noqa: PLC0415
    import threading  # noqa: PLC0415

    import psutil  # noqa: PLC0415

    process = psutil.Process()

    def read() -> None:
        psutil.cpu_times()
        psutil.cpu_times(percpu=True)
        psutil.cpu_count()
        os.getloadavg()
        psutil.virtual_memory()
        psutil.swap_memory()
        psutil.disk_io_counters(perdisk=True, nowrap=False)
        psutil.net_io_counters(pernic=True, nowrap=False)
        for mount in psutil.disk_partitions(all=False):
            psutil.disk_usage(mount.mountpoint)
        with process.oneshot():
            process.memory_info()
            process.num_fds()
            process.rlimit(psutil.RLIMIT_NOFILE)
            process.num_threads()
            process.create_time()
            process.num_ctx_switches()
        gc.get_stats()

    def read_for_ever() -> None:
        while True:
            time.sleep(interval)
            read()

    read()
    threading.Thread(target=read_for_ever, daemon=True).start()
    return process


CONTENDERS = {
    contender.__name__: contender
    for contender in (our_client, opentelemetry, dependencies, interpreter, psutil_alone)
}


def main() -> None:
    """Start the contender, say that it is idle, and answer until the input ends."""
    name, url, interval, *missing = sys.argv[1:]
    for package in missing:
        # A module that is None cannot be imported. The annotation of `sys.modules` has no None.
        sys.modules[package] = None  # type: ignore[assignment]
    kept = CONTENDERS[name](url, int(interval))
    gc.collect()
    loaded = [each for each in SOME_ENVIRONMENTS_HAVE if sys.modules.get(each) is not None]
    print(json.dumps({"modules": len(sys.modules), "loaded": loaded}), flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)
    del kept


if __name__ == "__main__":
    main()
