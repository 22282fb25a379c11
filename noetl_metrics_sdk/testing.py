"""For tests of instrumented code: a transport that stays in memory, a clock, and a probe.

For pytest, the package brings the fixture `metrics_probe`::

    def test_a_failed_import_is_counted(metrics_probe):
        import_orders("no such file")
        assert metrics_probe.change("orders_failed_total", {"reason": "missing"}) == 1
"""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.errors import RecoverableError, UnknownRuntimeError
from noetl_metrics_sdk.model.metric import without_empty
from noetl_metrics_sdk.process.fork import reset_store_after_fork
from noetl_metrics_sdk.registry import REGISTRY, Registry
from noetl_metrics_sdk.transport.protocol import Receipt, Registration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noetl_metrics_sdk.errors import DeliveryError
    from noetl_metrics_sdk.queue.wire import Batch


class ManualClock:
    """A clock that stands still until a test moves it.

    Args:
        time: the time that it shows at first, in seconds since the epoch.
    """

    def __init__(self, time: float = 1_700_000_000.0) -> None:
        self._time = time
        self._monotonic = 0.0

    def time(self) -> float:
        """Return the seconds since the epoch."""
        return self._time

    def monotonic(self) -> float:
        """Return the seconds of the monotonic clock."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks on by some seconds."""
        self._time += seconds
        self._monotonic += seconds

    def set_time(self, time: float) -> None:
        """Set the wall clock, as an operator would; the monotonic clock does not change."""
        self._time = time


class ReceivedSample(NamedTuple):
    """A sample as the receiving side of a transport has read it."""

    runtime_id: str
    name: str
    metric_type: str
    value: float
    labels: Mapping[str, str]
    timestamp: float
    help_text: str
    unit: str


class InMemoryTransport:
    """Keeps in memory the batches that a client sends, and fails when a test tells it to.

    Like a server it knows a batch by its key: it acknowledges a repeat and does not keep it twice.
    In a forked child the transport has what the parent's transport had received before the fork.
    """

    def __init__(self) -> None:
        # Guards everything below: a test may read while the delivery thread writes.
        self._lock = threading.RLock()
        self._failures: deque[tuple[DeliveryError, bool]] = deque()
        self._receipts: dict[str, Receipt] = {}
        self._rejections: dict[str, str] = {}
        self._next_runtime_id = 1
        self.runtime_ids: dict[str, str] = {}
        self.registrations: list[Registration] = []
        self.heartbeats: list[Registration] = []
        self.goodbyes: list[Registration] = []
        self.samples: list[ReceivedSample] = []
        self.keys: list[str] = []
        self.closed = False
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    def _reset_after_fork(self) -> None:
        # A thread of the parent may have held the lock. It is not in the child to release it.
        self._lock = threading.RLock()

    def fail_next(self, *errors: DeliveryError, after_delivery: bool = False) -> None:
        """Let the next calls of `register()` and `send()` raise these errors, one each.

        Args:
            errors: the errors, in the order in which the calls raise them.
            after_delivery: whether `send()` keeps the batch before it raises, as when the server's
                answer is lost.
        """
        with self._lock:
            self._failures.extend((error, after_delivery) for error in errors)

    def reject_samples(self, name: str, reason: str) -> None:
        """Reject every sample of this name from now on, as a server rejects a bad sample."""
        with self._lock:
            self._rejections[name] = reason

    def forget_runtimes(self) -> None:
        """Forget all registered components, like a server whose database was replaced."""
        with self._lock:
            self.runtime_ids.clear()

    def register(self, registration: Registration, timeout: float) -> str:
        """Return the component's id: the same one for each registration of its name."""
        del timeout
        with self._lock:
            self._raise_next_failure()
            self.registrations.append(registration)
            if registration.name not in self.runtime_ids:
                self.runtime_ids[registration.name] = str(self._next_runtime_id)
                self._next_runtime_id += 1
            return self.runtime_ids[registration.name]

    def heartbeat(self, registration: Registration, timeout: float) -> None:
        """Keep the heartbeat.

        Raises:
            UnknownRuntimeError: the component has not registered.
        """
        del timeout
        with self._lock:
            if registration.name not in self.runtime_ids:
                raise UnknownRuntimeError(f"no component {registration.name!r}", 404)
            self.heartbeats.append(registration)

    def goodbye(self, registration: Registration, timeout: float) -> None:
        """Keep the goodbye."""
        del timeout
        with self._lock:
            self.goodbyes.append(registration)

    def send(self, batch: Batch, runtime_id: str, timeout: float) -> Receipt:
        """Keep the batch's samples, read from the body as a server would read them.

        Raises:
            DeliveryError: the next error that `fail_next()` was given.
            UnknownRuntimeError: no component has this id.
        """
        del timeout
        with self._lock:
            self.keys.append(batch.key)
            failure = self._failures.popleft() if self._failures else None
            if failure is not None and not failure[1]:
                raise failure[0]
            if self.runtime_ids and runtime_id not in self.runtime_ids.values():
                raise UnknownRuntimeError(f"no runtime {runtime_id}", 404)
            receipt = self._keep(batch, runtime_id)
            if failure is not None:
                raise failure[0]
            return receipt

    def close(self) -> None:
        """Remember that the client has closed the transport."""
        self.closed = True

    def received(self, name: str) -> list[ReceivedSample]:
        """Return the samples of a name, in the order in which they arrived."""
        with self._lock:
            return [sample for sample in self.samples if sample.name == name]

    def _keep(self, batch: Batch, runtime_id: str) -> Receipt:
        earlier = self._receipts.get(batch.key)
        if earlier is not None:
            return earlier._replace(duplicate=True)
        body = json.loads(batch.body(runtime_id))
        reasons: list[str] = []
        for metric in body["metrics"]:
            if metric["metric_name"] in self._rejections:
                reasons.append(self._rejections[metric["metric_name"]])
                continue
            self.samples.append(
                ReceivedSample(
                    body["runtime_id"],
                    metric["metric_name"],
                    metric["metric_type"],
                    float(metric["metric_value"]),
                    metric["labels"],
                    metric["timestamp"],
                    metric["help_text"],
                    metric["unit"],
                )
            )
        receipt = Receipt(len(body["metrics"]) - len(reasons), len(reasons), tuple(reasons))
        self._receipts[batch.key] = receipt
        return receipt

    def _raise_next_failure(self) -> None:
        if self._failures:
            raise self._failures.popleft()[0]


def server_away(retry_after: float | None = None) -> RecoverableError:
    """Return the error for a server that is out of reach, or that asks the client to wait.

    Args:
        retry_after: how many seconds the server asks the client to wait, or None.
    """
    return RecoverableError("the server is away", 503, retry_after)


class MetricsProbe:
    """Reads the series of a registry, and compares them with their values when it was made.

    Args:
        registry: the registry that it reads.
    """

    def __init__(self, registry: Registry = REGISTRY) -> None:
        self._registry = registry
        self._before = self._values()

    def value(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """Return the current value of a series, or None if there is no such series.

        Args:
            name: the sample's name, with its suffix: `jobs_total`.
            labels: all labels of the series.
        """
        return self._registry.get_sample_value(name, labels)

    def change(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """Return by how much a series has grown since the probe was made.

        A series that does not exist counts as zero.

        Args:
            name: the sample's name, with its suffix: `jobs_total`.
            labels: all labels of the series.
        """
        key = (name, frozenset(without_empty(labels or {}).items()))
        return self._values().get(key, 0.0) - self._before.get(key, 0.0)

    def _values(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {
            (sample.name, frozenset(without_empty(sample.labels).items())): float(sample.value)
            for family in self._registry.collect()
            for sample in family.samples
        }
