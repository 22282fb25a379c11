"""The real VictoriaMetrics and Prometheus get every row once, whichever process is killed."""

from __future__ import annotations

import math
import random
import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from noetl_metrics_sdk import Counter, Gauge, Histogram, MetricsClient, Registry, Summary
from server_stub.components.labels import exposed_labels
from tests.prometheus import needs_prometheus, running_prometheus
from tests.server_process import start_server
from tests.victoria_metrics import needs_victoria_metrics, running_victoria_metrics

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from tests.peer_program import PeerProgram
    from tests.server_process import ServerProcess

# These programs do not depend on the interpreter.
pytestmark = pytest.mark.once

WAIT_SECONDS = 150.0
"""A server that is killed between the receiver's answer and its own commit leaves rows to the next
server that Prometheus knows and refuses; that server finds them one by one."""
SETTLING_SECONDS = 5
"""VictoriaMetrics has on disk by then what it has acknowledged."""

Samples = dict[tuple[tuple[tuple[str, str], ...], int], list[float]]
"""By labels and time in milliseconds; a list has more than one where something was repeated."""

RECEIVERS = [
    pytest.param(running_victoria_metrics, marks=needs_victoria_metrics, id="victoria-metrics"),
    pytest.param(running_prometheus, marks=needs_prometheus, id="prometheus"),
]


@pytest.fixture(params=RECEIVERS)
def receiver(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Any]:
    with request.param(tmp_path) as program:
        yield program


def exporting_server(database_url: str, receiver: Any, settling_seconds: float) -> ServerProcess:
    return start_server(
        database_url,
        f"--remote-write-url={receiver.write_url}",
        "--export-interval-seconds=0.05",
        f"--export-settling-seconds={settling_seconds}",
    )


def kill(server: ServerProcess) -> None:
    server.process.kill()
    server.process.communicate()


def samples_in_table(database_url: str, *, acknowledged: bool) -> Samples:
    """Return the samples of the table as a receiver has to have them.

    Args:
        database_url: the database.
        acknowledged: True for the samples that the receiver has acknowledged, False for those
            that are still to come: a server reports on itself to its very end.
    """
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT runtime_id, r.name, component_type, m.labels::text, metric_name, "
            "floor(extract(epoch FROM timestamp) * 1000)::bigint, metric_value "
            "FROM noetl.metric AS m INNER JOIN noetl.runtime AS r USING (runtime_id), "
            "noetl.metric_export AS e WHERE (metric_id <= e.acknowledged) = %s",
            (acknowledged,),
        ).fetchall()
    found = defaultdict(list)
    for runtime_id, component, kind, labels, name, timestamp_ms, value in rows:
        shown = dict(exposed_labels(runtime_id, component, kind, labels).sorted_pairs())
        found[series_of({"__name__": name} | shown), timestamp_ms].append(value)
    return found


def samples_in_receiver(receiver: PeerProgram) -> Samples:
    """Return every sample that PromQL finds, with its own time."""
    found = defaultdict(list)
    for series in receiver.query('{runtime_id!=""}[2h]', time=time.time() + 60, nocache=1):
        for seconds, value in series["values"]:
            key = series_of(series["metric"]), round(seconds * 1000)
            found[key].append(float(value))
    return found


def series_of(labels: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def differences(expected: Samples, found: Samples, precision: float) -> list[Any]:
    """Return the samples that only one side has, that occur twice, or that have another value."""
    return [
        (key, expected.get(key), found.get(key))
        for key in expected.keys() | found.keys()
        if len(expected.get(key, [])) != 1
        or len(found.get(key, [])) != 1
        or not is_equal(expected[key][0], found[key][0], precision)
    ]


def is_equal(expected: float, found: float, precision: float) -> bool:
    if math.isnan(expected):
        return math.isnan(found)
    return math.isclose(expected, found, rel_tol=precision, abs_tol=0.0)


def wait_for_export(database_url: str) -> None:
    """Wait until the receiver has acknowledged every present row, and all of them are settled."""
    deadline = time.monotonic() + WAIT_SECONDS
    with psycopg.connect(database_url, autocommit=True) as connection:
        (last,) = connection.execute("SELECT max(metric_id) FROM noetl.metric").fetchall()
        while True:
            row = connection.execute("SELECT settled FROM noetl.metric_export").fetchone()
            if row is not None and row[0] >= last[0]:
                return
            assert time.monotonic() < deadline, row
            time.sleep(0.05)


def assert_equal(database_url: str, receiver: Any) -> int:
    """Compare the table with the receiver, sample by sample; return the number of samples."""
    expected = samples_in_table(database_url, acknowledged=True)
    may_be_there = samples_in_table(database_url, acknowledged=False)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = samples_in_receiver(receiver)
        for key in may_be_there:
            found.pop(key, None)
        differing = differences(expected, found, receiver.relative_precision)
        # A query finds a sample a moment after it was written.
        if not differing or time.monotonic() > deadline:
            break
        time.sleep(0.2)
    assert [] == differing[:10]
    return len(expected)


@contextmanager
def reporting(server: ServerProcess, name: str) -> Generator[tuple[MetricsClient, Registry]]:
    registry = Registry()
    client = MetricsClient(
        server.url, name, registry=registry, flush_interval=0.2, backoff_max=0.2,
        handle_sigterm=False,
    )  # fmt: skip
    with client:
        yield client, registry


def test_what_the_sdk_reports_is_found_by_promql(database_url: str, receiver: Any) -> None:
    """Each sample has its value, time and labels, and PromQL can compute with it."""
    server = exporting_server(database_url, receiver, 0.5)
    try:
        with reporting(server, 'pool "1"') as (client, registry):
            jobs = Counter("jobs", "Jobs", ["kind"], registry=registry)
            running = Gauge("running", "Running", registry=registry)
            seconds = Histogram("seconds", "Time", unit="seconds", registry=registry)
            sizes = Summary("sizes", "Sizes", registry=registry)
            start = time.time() - 100
            for turn in range(20):
                jobs.labels('a "quote"\\\n').inc(turn)
                running.set(turn)
                seconds.observe(turn / 16)
                sizes.observe(turn)
                client.flush()
                value = receiver.extreme_values[turn % len(receiver.extreme_values)]
                client.record("recorded", value, timestamp=start + turn, labels={"t": "ü🚀"})
            assert not client.flush(WAIT_SECONDS).timed_out
        wait_for_export(database_url)
        receiver.wait_until('sum(jobs_total{component="pool \\"1\\""})', (190.0).__eq__)
        receiver.wait_until("sum(seconds_count)", (20.0).__eq__)
    finally:
        server.stop()
        server.process.communicate()
    # The next server sends the last samples that this server reports on itself.
    server = exporting_server(database_url, receiver, 0.5)
    try:
        wait_for_export(database_url)
    finally:
        kill(server)
    assert 20 * 20 < assert_equal(database_url, receiver)


@pytest.mark.timeout(400)
def test_killing_either_end_loses_nothing_and_repeats_nothing(
    database_url: str, receiver: Any
) -> None:
    """Servers and the receiver are killed during the export; the receiver has each sample once."""
    chance = random.Random(1)
    servers = [exporting_server(database_url, receiver, SETTLING_SECONDS) for _ in range(2)]
    try:
        for round_number in range(4):
            with reporting(servers[0], f"pool-{round_number}") as (client, _):
                start = time.time() - 50
                for number_of_sample in range(2_000):
                    client.record(
                        "numbered",
                        float(number_of_sample),
                        timestamp=start + number_of_sample / 100,
                        labels={"series": str(number_of_sample % 50)},
                    )
                assert not client.flush(WAIT_SECONDS).timed_out
            # At some moment while the server exports these.
            time.sleep(chance.random() * 0.2)
            if round_number % 2:
                receiver.kill()
                receiver.start()
            else:
                kill(servers.pop(0))
                servers.append(exporting_server(database_url, receiver, SETTLING_SECONDS))
        wait_for_export(database_url)
    finally:
        for server in servers:
            kill(server)
    server = exporting_server(database_url, receiver, SETTLING_SECONDS)
    try:
        wait_for_export(database_url)
    finally:
        kill(server)
    assert 8_000 < assert_equal(database_url, receiver)


def test_a_receiver_that_was_away_is_caught_up(database_url: str, receiver: Any) -> None:
    """Inserts go on during the outage, the alarm metric shows it, and afterwards all samples
    arrive."""
    receiver.kill()
    server = exporting_server(database_url, receiver, 0.5)
    try:
        with reporting(server, "pool") as (client, _):
            for turn in range(5):
                for i in range(2_000):
                    at = time.time() - 50 + turn + i / 2_000
                    client.record("numbered", float(i), timestamp=at, labels={"s": str(i)})
                assert not client.flush(WAIT_SECONDS).timed_out
        receiver.start()
        wait_for_export(database_url)
    finally:
        kill(server)
    server = exporting_server(database_url, receiver, 0.5)
    try:
        wait_for_export(database_url)
    finally:
        kill(server)
    assert 10_000 < assert_equal(database_url, receiver)
