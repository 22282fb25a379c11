"""The SDK counts each sample that it drops as undeliverable; the table has the others."""

from __future__ import annotations

import json
import statistics

from tests.chaos.faults import Fault, Sequence
from tests.chaos.ledger import dropped_by_reason
from tests.chaos.numbered import numbered_sample
from tests.chaos.proxy import Proxy

WORKER_ID = "small"
RUNTIME_ID = "1234567890123456789"  # as long as the ids that the server gives


def test_a_long_outage_drops_the_oldest_samples_and_says_how_many(scenario):
    """With a full buffer, the samples missing in the table are those counted as dropped."""
    recorded = scenario.size(20_000, 100_000)
    with scenario.start_server() as server, Proxy() as proxy:
        worker = scenario.start_worker(
            proxy.url, recorded, instruments=False, pending_max=0,
            settings={"buffer_samples_max": recorded // 4},
        )  # fmt: skip
        worker.wait_until_recorded(recorded // 2)
        proxy.server_urls = [server.url]
        ledgers = worker.finish()
        scenario.settle(ledgers, 1, proxy)
        assert {"buffer_full"} == set(dropped_by_reason(ledgers))


def test_batches_that_the_server_refuses_are_counted_as_dropped(scenario):
    """A 400 costs only the samples of its batch; the SDK counts them under a reason."""
    batches = scenario.size(4, 40)
    faults = [Fault.STATUS_400, Fault.NONE] * batches
    plan = Sequence(*faults)
    recorded = scenario.size(3_000, 30_000)
    with scenario.start_server() as server, Proxy(plan=plan) as proxy:
        worker = scenario.start_worker(
            proxy.url, recorded, instruments=False, pending_max=0,
            settings={"batch_samples_max": 100},
        )  # fmt: skip
        worker.wait_until_recorded(recorded)  # so that every batch that is refused is full
        proxy.server_urls = [server.url]
        ledgers = worker.finish()
        scenario.settle(ledgers, batches, proxy)
        assert 0 == plan.left
        assert {"batch_rejected": 100 * batches} == dropped_by_reason(ledgers)


def test_a_load_balancer_that_takes_small_bodies_only(scenario):
    """The SDK splits batches until they pass, and drops only samples that are too large alone."""
    recorded = scenario.size(400, 2_000)
    sizes = [alone_bytes(numbered_sample(number)) for number in range(recorded)]
    limit = statistics.median_low(sizes)
    with (
        scenario.start_server() as server,
        Proxy(server.url, body_bytes_max=limit, takes_gzip=False) as proxy,
    ):
        worker = scenario.start_worker(
            proxy.url, recorded, instruments=False, settings={"worker_id": WORKER_ID}
        )
        ledgers = worker.finish()
        scenario.settle(ledgers, proxy.counts[Fault.STATUS_413], proxy)
    too_large = sum(size > limit for size in sizes)
    assert {"too_large": too_large} == dropped_by_reason(ledgers)
    assert too_large > 0


def alone_bytes(sample):
    """Return how many bytes the request for a single sample has."""
    fields = {
        "metric_name": sample["name"],
        "metric_type": sample["metric_type"],
        "help_text": sample["help_text"],
        "unit": sample["unit"],
        "labels": {**sample["labels"], "worker_id": WORKER_ID},
        "metric_value": sample["value"],
        "timestamp": sample["timestamp"],
    }
    body = {"runtime_id": RUNTIME_ID, "metrics": [fields]}
    return len(json.dumps(body, ensure_ascii=False, separators=(",", ":")))
