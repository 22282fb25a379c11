"""Every count is in the charts, whenever workers start, count, collect and end."""

from __future__ import annotations

import itertools
import random
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.counts.conftest import LONG
from tests.counts.increases import (
    Span,
    differences,
    grouped,
    in_charts,
    in_steps,
    over_lives,
)
from tests.counts.lives import Ledger, Life, Step, live
from tests.prometheus import needs_prometheus, running_prometheus
from tests.server_process import start_server
from tests.victoria_metrics import needs_victoria_metrics, running_victoria_metrics

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from tests.peer_program import PeerProgram
    from tests.postgresql import Cluster
    from tests.server_process import ServerProcess

# The databases and the server are the same on every interpreter; tests/sdk has what is not.
pytestmark = pytest.mark.once

HOUR, DAY = 3_600.0, 86_400.0
RECENTLY = 50 * 60.0
"""Prometheus takes no sample that is an hour older than its newest one."""
WIDTHS = (0.4, 1.0, 7.0, 60.0, 977.0, HOUR, DAY) if LONG else (1.0, 60.0, DAY)
EXAMPLES = 200 if LONG else 25
EXAMPLES_EXPORTED = 30 if LONG else 6
WAIT_SECONDS = 60.0
WORKER_LIVES, WORKERS, KINDS = (1_000, 500, 27) if LONG else (40, 20, 10)

AMOUNTS = st.integers(1, 20).map(lambda quarters: quarters / 4)
"""Binary fractions, whose sums are exact."""
ACTIONS = st.sampled_from(["count", "count", "count", "collect", "collect", "reset", "remove"])
STEPS = st.lists(
    st.builds(Step, st.floats(0.0, 100.0), ACTIONS, st.sampled_from("ab"), AMOUNTS), max_size=12
)
LIVES = st.lists(
    st.builds(Life, st.sampled_from(["w-1", "w-2"]), st.floats(0.005, 100.0), STEPS), max_size=5
)
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(postgresql: Cluster) -> Generator[ServerProcess]:
    with postgresql.database() as url:
        yield from _running(url)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(running_victoria_metrics, marks=needs_victoria_metrics, id="victoria-metrics"),
        pytest.param(running_prometheus, marks=needs_prometheus, id="prometheus"),
    ],
)
def peer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Generator[PeerProgram]:
    folder: Path = tmp_path_factory.mktemp("peer")
    # For the history, samples of two days ago are written. Other tests have no need of the window.
    window = {"out_of_order_time_window": "10d"} if request.param is running_prometheus else {}
    with request.param(folder, **window) as program:
        yield program


@pytest.fixture(scope="module")
def exporting(postgresql: Cluster, peer: PeerProgram) -> Generator[ServerProcess]:
    with postgresql.database() as url:
        flags = (
            f"--remote-write-url={peer.write_url}",  # type: ignore[attr-defined]
            f"--history-url={peer.url}",
            "--export-interval-seconds=0.05",
            "--sample-age-seconds-max=864000",
        )
        yield from _running(url, *flags)


def _running(database_url: str, *flags: str) -> Generator[ServerProcess]:
    running = start_server(database_url, *flags)
    try:
        yield running
    finally:
        running.stop()
        running.process.communicate()


def lead(
    server: ServerProcess, lives: Sequence[Life], started_at: float
) -> tuple[str, Span, Ledger]:
    """Let workers live; return their component, the time that has all samples, and the ledger."""
    component_name = f"pool-{next(_numbers)}"
    ledger: Ledger = Ledger()
    settings = {"server_url": server.url, "component_name": component_name}
    ends = [started_at]
    for ended_at, counted in live(lives, started_at, **settings):
        ends.append(ended_at)
        ledger += counted
    # Times of samples may be some milliseconds later than the clock says.
    return component_name, Span(started_at - 1.0, ends[-1] + 1.0), ledger


@given(LIVES)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_charts_show_every_count(server: ServerProcess, lives: list[Life]) -> None:
    """Workers restart under one `worker_id`; the increases add up in every width of buckets."""
    component_name, span, ledger = lead(server, lives, time.time() - RECENTLY)
    for width in span.widths(WIDTHS):
        assert [] == differences(ledger, in_charts(server.url, component_name, span, width))


@given(LIVES)
@settings(max_examples=EXAMPLES_EXPORTED)
def test_charts_of_the_history_show_every_count(
    exporting: ServerProcess, peer: PeerProgram, lives: list[Life]
) -> None:
    """Two days later the samples come from the time-series database, and the sums are the same."""
    component_name, span, ledger = lead(exporting, lives, time.time() - 2 * DAY)
    wait_for_export(exporting, peer)
    for width in span.widths(WIDTHS):
        found = in_charts(exporting.url, component_name, span, width)
        assert [] == differences(ledger, found, peer.relative_precision)  # type: ignore[attr-defined]


@given(LIVES)
@settings(max_examples=EXAMPLES_EXPORTED)
def test_promql_finds_every_count(
    exporting: ServerProcess, peer: PeerProgram, lives: list[Life]
) -> None:
    """`increase()` over what was exported is what the workers have counted."""
    component_name, span, ledger = lead(exporting, lives, time.time() - RECENTLY)
    wait_for_export(exporting, peer)
    precision = 1e-9
    assert [] == differences(
        ledger, over_lives(peer, f'component="{component_name}"', span), precision
    )
    if not peer.extrapolates:  # type: ignore[attr-defined]
        for width in span.widths(WIDTHS):
            found = in_steps(peer, component_name, span, width)
            assert [] == differences(ledger, found, precision)


def wait_for_export(server: ServerProcess, peer: PeerProgram) -> None:
    """Wait until the receiver has acknowledged every row, and let its queries find them."""
    deadline = time.monotonic() + WAIT_SECONDS
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        (last,) = connection.execute(
            "SELECT coalesce(max(metric_id), 0) FROM noetl.metric"
        ).fetchone() or (0,)
        while True:
            row = connection.execute("SELECT acknowledged FROM noetl.metric_export").fetchone()
            if row is not None and row[0] >= last:
                break
            assert time.monotonic() < deadline, row
            time.sleep(0.02)
    peer.show_what_was_written()


def test_many_short_lives_are_seen(exporting: ServerProcess, peer: PeerProgram) -> None:
    """Workers live for 0.2 s each, are never collected before they end, and begin again."""
    chance = random.Random(13)
    lives = [
        Life(
            f"w-{number % WORKERS}",
            0.05,
            [
                Step(0.2 / KINDS, "count", f"kind-{kind}", chance.randint(1, 20) / 4)
                for kind in range(KINDS)
            ],
        )
        for number in range(WORKER_LIVES)
    ]
    began_at = time.monotonic()
    component_name, span, ledger = lead(exporting, lives, time.time() - RECENTLY)
    wait_for_export(exporting, peer)
    compared = 0
    by_worker = ("worker_id", "le")
    expected = grouped(ledger, by_worker)
    for width in (1.0, 60.0, DAY):
        found = in_charts(exporting.url, component_name, span, width, by_worker)
        assert [] == differences(expected, found)
        compared += len(expected)
        if not peer.extrapolates:  # type: ignore[attr-defined]
            found = in_steps(peer, component_name, span, width, by_worker)
            assert [] == differences(expected, found, 1e-9)
            compared += len(expected)
    if peer.extrapolates:  # type: ignore[attr-defined]
        found = Ledger()
        for number in range(WORKERS):
            matchers = f'component="{component_name}",worker_id="w-{number}"'
            found += over_lives(peer, matchers, span)
        assert [] == differences(ledger, found, 1e-9)
        compared += len(ledger)
    print(  # noqa: T201 - the figures of the long form
        f"{WORKER_LIVES:,} lives of {WORKERS:,} workers: {len(ledger):,} series that count, "
        f"{sum(ledger.values()):,} counted in all; {compared:,} sums compared, none differs; "
        f"{time.monotonic() - began_at:.0f} s"
    )
