"""A pool of many processes reports to a server with default settings."""

from __future__ import annotations

import httpx

from tests.chaos.comparison import NOTHING_WRONG, compare
from tests.chaos.numbered import body_of

PROCESSES = 500
SERIES = 250


def test_a_pool_of_many_processes_that_live_shortly(scenario):
    """Each of 500 processes reports 250 series and ends: no sample of theirs is rejected."""
    rounds = scenario.size(1, 8)
    sequence = 0
    with scenario.start_server() as server, httpx.Client(base_url=server.url, timeout=30) as client:
        registered = client.post("/api/worker/pool/register", json={"name": "chaos-pool"})
        for _ in range(rounds):
            for _ in range(PROCESSES):
                sequence += 1
                answer = client.post(
                    "/api/metrics",
                    content=body_of(
                        registered.json()["runtime_id"],
                        scenario.numbers(SERIES),
                        f"process-{sequence}",
                    ),
                    headers={"Idempotency-Key": f"process-{sequence}:1"},
                ).json()
                assert (SERIES, []) == (answer["metrics_inserted"], answer["errors"])
    sent = [range(rounds * PROCESSES * SERIES)]
    compared = compare(scenario.database_url, sent, sent)
    scenario.note(compared, rounds, [])
    assert NOTHING_WRONG == compared.faults
