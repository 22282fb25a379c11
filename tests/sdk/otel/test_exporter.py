"""Programs of OpenTelemetry on a real server, and the table's rows after either has ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import ExitStack

import psycopg
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

import noetl_metrics_sdk
from noetl_metrics_sdk import ConfigurationError, MetricsClient
from noetl_metrics_sdk.otel import NoetlMetricExporter
from tests.server_process import start_server


def rows_of(server, name):
    """Return labels and value of a metric's rows, oldest first."""
    return stored(server.database_url, name)


def stored(database_url, name):
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT labels - 'worker_id', metric_value FROM noetl.metric WHERE metric_name = %s "
            "ORDER BY timestamp, metric_id",
            [name],
        ).fetchall()


def record_and_export(url):
    """Record a known amount through a client of its own; return its ledger."""
    client = MetricsClient(url, "otel-pool", system_metrics=(), self_metrics=False, backoff_max=0.2)
    with client:
        exporter = NoetlMetricExporter(client)
        reader = PeriodicExportingMetricReader(exporter, 50)
        provider = MeterProvider([reader], shutdown_on_exit=False)
        meter = provider.get_meter("orders", "3")
        reads = meter.create_counter("orders.read", "By")
        wait = meter.create_histogram("wait", "s", explicit_bucket_boundaries_advisory=[0.1, 1])
        for number in range(200):
            reads.add(number, {"table": f"t{number % 2}"})
            wait.record(number / 100)
            time.sleep(0.001)
        provider.shutdown()
        assert 0 == client.flush(30).pending
        return client.stats()


def assert_all_is_in_the_table(server, stats):
    scope = {"otel_scope_name": "orders", "otel_scope_version": "3"}
    read = rows_of(server, "orders_read_bytes_total")
    last = {labels["table"]: value for labels, value in read}
    assert {"t0": sum(range(0, 200, 2)), "t1": sum(range(1, 200, 2))} == last
    assert {**scope, "table": "t1"} in [labels for labels, _ in read]
    for table in last:
        values = [value for labels, value in read if labels["table"] == table]
        assert sorted(set(values)) == values  # never twice, and never falling
    assert (scope, 200.0) == rows_of(server, "wait_seconds_count")[-1]
    assert sum(range(200)) / 100 == pytest.approx(rows_of(server, "wait_seconds_sum")[-1][1])
    buckets = {labels["le"]: value for labels, value in rows_of(server, "wait_seconds_bucket")}
    assert {"0.1": 11.0, "1.0": 101.0, "+Inf": 200.0} == buckets
    with psycopg.connect(server.database_url) as connection:
        ((count,),) = connection.execute(
            "SELECT count(*) FROM noetl.metric JOIN noetl.runtime USING (runtime_id) "
            "WHERE name = 'otel-pool'"
        ).fetchall()
    assert (stats.samples.added, {}) == (count, stats.samples.dropped)


def test_rows_are_what_was_recorded(server):
    """The table of the real server has each recorded sample once."""
    assert_all_is_in_the_table(server, record_and_export(server.url))


def test_a_server_that_comes_back_gets_all_of_it_once(database_url):
    """A sample exported while the server is away is delivered once, when the server is back."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ExitStack() as stack:
        client = stack.enter_context(
            MetricsClient(
                f"http://127.0.0.1:{port}", "otel-pool", system_metrics=(), backoff_max=0.2
            )
        )
        exporter = NoetlMetricExporter(client)
        reader = PeriodicExportingMetricReader(exporter, 600_000)
        provider = MeterProvider([reader], shutdown_on_exit=False)
        stack.callback(provider.shutdown, 100)
        reads = provider.get_meter("orders").create_counter("reads")

        def count_to(last):
            for _ in range(last - 10, last):
                reads.add(1)
                reader.collect()

        count_to(10)
        assert not exporter.force_flush(timeout_millis=200)
        server = start_server(database_url, f"--port={port}")
        assert server.process.stdout is not None
        stack.enter_context(server.process.stdout)
        stack.callback(server.stop)
        count_to(20)
        assert exporter.force_flush(timeout_millis=30_000)
        assert 0 == client.shutdown().pending
    # A counter begins with a sample of 0.
    assert [float(number) for number in range(21)] == [
        value for _, value in stored(database_url, "reads_total")
    ]


ENDING_PROGRAM = """
import sys
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from noetl_metrics_sdk import MetricsClient
from noetl_metrics_sdk.otel import NoetlMetricExporter

client = MetricsClient(sys.argv[1], "ending", system_metrics=())
provider = MeterProvider([PeriodicExportingMetricReader(NoetlMetricExporter(client))])
provider.get_meter("orders").create_counter("reads").add(7)
"""


def test_a_program_that_just_ends_loses_nothing(server):
    """The provider's last export comes before the client's last delivery."""
    command = [sys.executable, "-W", "error", "-c", ENDING_PROGRAM, server.url]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "" == result.stderr
    assert [7.0] == [value for _, value in rows_of(server, "reads_total") if value != 0.0]


FORKING_PROGRAM = """
import os, sys
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from noetl_metrics_sdk import MetricsClient
from noetl_metrics_sdk.otel import NoetlMetricExporter

client = MetricsClient(sys.argv[1], "forking", worker_id="w", system_metrics=())

def make_counter():
    reader = PeriodicExportingMetricReader(NoetlMetricExporter(client), 600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    return provider, provider.get_meter("orders").create_counter("reads")

inherited = make_counter()
inherited[1].add(2)

def in_child(provider, counter):
    counter.add(3)
    provider.force_flush()
    os._exit(0)

for make in (lambda: inherited, make_counter):
    child = os.fork()
    if not child:
        in_child(*make())
    print(child, os.waitpid(child, 0)[1])
inherited[0].force_flush()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no os.fork()")
def test_a_forked_child_delivers_under_its_own_worker_id(server):
    """A provider made in the child starts from zero; an inherited one has the parent's counts.

    The SDK of OpenTelemetry forks in this way; docs/ecosystem.md says so.
    """
    command = [
        sys.executable,
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        FORKING_PROGRAM,
        server.url,
    ]
    output = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    inheriting, making = (line.split() for line in output.splitlines())
    assert ("0", "0") == (inheriting[1], making[1])
    with psycopg.connect(server.database_url) as connection:
        rows = connection.execute(
            "SELECT labels->>'worker_id', metric_value FROM noetl.metric "
            "WHERE metric_name = 'reads_total' AND metric_value > 0"
        ).fetchall()
    assert {("w", 2.0), (f"w-{inheriting[0]}", 5.0), (f"w-{making[0]}", 3.0)} == set(rows)


SHUT_DOWN_AND_FORKING_PROGRAM = """
import os, threading
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from noetl_metrics_sdk import MetricsClient
from noetl_metrics_sdk.otel import NoetlMetricExporter
from noetl_metrics_sdk.testing import InMemoryTransport

exported = threading.Event()

class Exporter(NoetlMetricExporter):
    def export(self, *data, **settings):
        result = super().export(*data, **settings)
        exported.set()
        return result

client = MetricsClient(component_name="forking", transport=InMemoryTransport(), system_metrics=())
reader = PeriodicExportingMetricReader(Exporter(client), 600_000)
provider = MeterProvider([reader], shutdown_on_exit=False)
provider.get_meter("orders").create_counter("reads").add(2)
provider.shutdown()
client.shutdown()
exported.clear()
child = os.fork()
if not child:
    os._exit(0 if exported.wait(60) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no os.fork()")
def test_a_child_forked_after_the_shutdown_warns_of_nothing():
    """OpenTelemetry starts the reader's thread again in the child, and it collects a last time.

    What it collects is the parent's, who has delivered it: nothing is missing.
    """
    command = [sys.executable, "-W", "ignore::DeprecationWarning"]
    result = subprocess.run(
        [*command, "-c", SHUT_DOWN_AND_FORKING_PROGRAM],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ("0\n", "") == (result.stdout, result.stderr)


def test_without_opentelemetry_it_says_what_to_install():
    """The error of the import names the extra to install."""
    program = (
        "import sys; sys.modules['opentelemetry.sdk.metrics'] = None\n"
        "try:\n    import noetl_metrics_sdk.otel\nexcept ImportError as error:\n    print(error)"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert 'pip install "noetl-metrics-sdk[otel]"' in output


def test_without_a_client_it_makes_that_of_the_process(monkeypatch, server):
    """The client's settings come from the environment, and the exporter's shutdown ends it."""
    monkeypatch.setenv("NOETL_SERVER_URL", server.url)
    monkeypatch.setenv("NOETL_WORKER_POOL_NAME", "otel-environment")
    exporter = NoetlMetricExporter()
    provider = MeterProvider([PeriodicExportingMetricReader(exporter)], shutdown_on_exit=False)
    provider.get_meter("orders").create_counter("reads").add(2)
    with pytest.raises(ConfigurationError, match="use the client that it gave"):
        NoetlMetricExporter()
    provider.shutdown()
    assert [2.0] == [value for _, value in rows_of(server, "reads_total") if value != 0.0]
    assert noetl_metrics_sdk.shutdown().pending == 0  # the process has no client any more
