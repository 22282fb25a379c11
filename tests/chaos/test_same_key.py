"""Requests with one name arrive at one moment."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx

from tests.chaos.comparison import NOTHING_WRONG, compare
from tests.chaos.numbered import body_of

AT_ONCE = 4
SAMPLES = 200


def test_requests_with_one_key_at_the_same_moment(scenario):
    """Two servers get each batch twice at once: one request inserts it, all get its answer."""
    rounds = scenario.size(15, 300)
    with ExitStack() as stack:
        urls = [stack.enter_context(scenario.start_server()).url for _ in range(2)]
        clients = [
            stack.enter_context(httpx.Client(base_url=urls[n % 2], timeout=30))
            for n in range(AT_ONCE)
        ]
        registered = clients[0].post("/api/worker/pool/register", json={"name": "chaos-pool"})
        start_together = threading.Barrier(AT_ONCE)

        def send(client, body, key):
            start_together.wait(30)
            return client.post("/api/metrics", content=body, headers={"Idempotency-Key": key})

        with ThreadPoolExecutor(AT_ONCE) as pool:
            for sequence in range(1, rounds + 1):
                body = body_of(registered.json()["runtime_id"], scenario.numbers(SAMPLES))
                key = f"chaos:{sequence}"
                answers = [
                    answer.json()
                    for answer in pool.map(lambda c, b=body, k=key: send(c, b, k), clients)
                ]
                statuses = Tally(answer["status"] for answer in answers)
                assert Tally(ok=1, duplicate=AT_ONCE - 1) == statuses
                assert [SAMPLES] * AT_ONCE == [each["metrics_inserted"] for each in answers]
    sent = [range(rounds * SAMPLES)]
    compared = compare(scenario.database_url, sent, sent)
    scenario.note(compared, rounds, [])
    assert NOTHING_WRONG == compared.faults
