"""Report a client's work so far: as numbers for the worker, and as metrics of the client."""

from __future__ import annotations

from collections import Counter as Multiset
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.jobs.collector import instruments_of
from noetl_metrics_sdk.model.metric import MetricFamily, MetricType
from noetl_metrics_sdk.process.log_guard import lost_messages

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.collection.collection import Collection
    from noetl_metrics_sdk.delivery.thread import DeliveryThread
    from noetl_metrics_sdk.model.metric import Series
    from noetl_metrics_sdk.process.periodic_thread import PeriodicThread
    from noetl_metrics_sdk.queue.batch_queue import BatchQueue
    from noetl_metrics_sdk.queue.buffer import Ledger, SampleBuffer
    from noetl_metrics_sdk.queue.spool import SpoolStats
    from noetl_metrics_sdk.registry import Registry

PREFIX = "noetl_metrics_sdk_"
COUNTER, GAUGE = MetricType.COUNTER, MetricType.GAUGE


class FlushResult(NamedTuple):
    """The result of a flush or a shutdown.

    `sent` and `dropped` count the samples that were settled meanwhile. `pending` counts the samples
    that are not settled yet; `spooled` of them are safe on disk. `timed_out` says that the time ran
    out before all samples were settled.
    """

    sent: int
    pending: int
    dropped: int
    timed_out: bool
    spooled: int = 0


class ClientStats(NamedTuple):
    """The numbers of a client's work so far.

    Attributes:
        runtime_id: the component's id, once the client knows it.
        samples: added, sent, pending and dropped by reason: `added = sent + dropped + pending`.
        invalid_samples: samples of other libraries, like OpenTelemetry, that are not valid.
        collect_errors: how many times a collector raised.
        batches_sent: batches that the server has acknowledged.
        batches_retried: attempts that failed, by cause: a status, or `no_answer`.
        bytes_sent: the bytes of the bodies of acknowledged batches, as they were sent.
        buffer_bytes: the bytes of the samples in the buffer.
        flush_seconds: how long the last delivery of everything in the buffer took.
        spool: what is on disk; None without a spool.
        series: label sets by instrument.
        overflowed: calls of `labels()` beyond `max_series`, by instrument.
        amounts_left_out: amounts that would have spoilt a total for ever, by instrument.
        label_values_replaced: calls of `labels()` with a text that needed U+FFFD, by instrument.
        last_error: the last error of the delivery, in words.
        unexpected_errors: errors after which a thread had to begin anew, and lost log messages.
        disabled: whether the client is disabled, and sends nothing.
    """

    runtime_id: str | None
    samples: Ledger
    invalid_samples: int
    collect_errors: int
    batches_sent: int
    batches_retried: Mapping[str, int]
    bytes_sent: int
    buffer_bytes: int
    flush_seconds: float
    spool: SpoolStats | None
    series: Mapping[str, int]
    overflowed: Mapping[str, int]
    amounts_left_out: Mapping[str, int]
    label_values_replaced: Mapping[str, int]
    last_error: str | None
    unexpected_errors: Mapping[str, int] = MappingProxyType({})
    disabled: bool = False


class Statistics:
    """Reads the counts of the parts of a client. It is a collector too.

    Args:
        registry: has the instruments, which count their series.
        collection: counts the samples that it leaves out.
        buffer: has the ledger.
        batches: counts what is on disk.
        delivery_thread: counts what it has sent.
        clock: the time.
        periodic_threads: the threads that run an action again and again, by what they do.
    """

    def __init__(
        self,
        registry: Registry,
        collection: Collection,
        buffer: SampleBuffer,
        batches: BatchQueue,
        delivery_thread: DeliveryThread,
        clock: Clock,
        periodic_threads: Mapping[str, PeriodicThread],
    ) -> None:
        self._registry = registry
        self._collection = collection
        self._buffer = buffer
        self._batches = batches
        self._delivery_thread = delivery_thread
        self._clock = clock
        self._periodic_threads = periodic_threads
        # The last report, in which the series were not that are new in the next one.
        self._reported_at = clock.time()
        self._beginnings: dict[Series, float] = {}

    def read(self) -> ClientStats:
        """Return the current numbers."""
        # Jobs with other label names are counted by other instruments of the same name.
        series: Multiset[str] = Multiset()
        overflowed: Multiset[str] = Multiset()
        left_out: Multiset[str] = Multiset()
        replaced: Multiset[str] = Multiset()
        for collector in self._registry.collectors():
            for instrument in instruments_of(collector) or ():
                series[instrument.name] += instrument.series_count
                overflowed[instrument.name] += instrument.overflowed
                left_out[instrument.name] += instrument.amounts_left_out
                replaced[instrument.name] += instrument.label_values_replaced
        delivery = self._delivery_thread.delivery
        return ClientStats(
            runtime_id=delivery.runtime_id,
            samples=self._buffer.ledger(),
            invalid_samples=self._collection.invalid_samples,
            collect_errors=self._collection.errors,
            batches_sent=delivery.batches_sent,
            batches_retried=dict(self._delivery_thread.failures),
            bytes_sent=delivery.bytes_sent,
            buffer_bytes=self._buffer.size_bytes,
            flush_seconds=self._delivery_thread.flush_seconds,
            spool=self._batches.spool_stats(),
            series=dict(series),
            overflowed=dict(+overflowed),
            amounts_left_out=dict(+left_out),
            label_values_replaced=dict(+replaced),
            last_error=delivery.last_error,
            unexpected_errors=dict(+self._unexpected_errors()),
        )

    def _unexpected_errors(self) -> Multiset[str]:
        errors = Multiset(
            {name: thread.failed_runs for name, thread in self._periodic_threads.items()}
        )
        errors["delivery"] = self._delivery_thread.unexpected_errors
        errors["logging"] = lost_messages()
        return errors

    def collect(self) -> list[MetricFamily]:
        """Return the current numbers as metrics.

        A count appears when it is first more than zero, so it was zero in the report before.
        """
        now = self._clock.time()
        families = families_of(self.read())
        for family in families:
            if family.type is COUNTER:
                family.samples = [
                    sample._replace(
                        created_at=self._beginnings.setdefault(sample.series, self._reported_at)
                    )
                    for sample in family.samples
                ]
        self._reported_at = now
        return families


def families_of(stats: ClientStats) -> list[MetricFamily]:
    """Return a client's numbers as metrics; docs/client.md has the table of them."""
    samples = stats.samples
    families = [
        _total("samples_collected", "Samples that have entered the buffer", samples.added),
        _total("samples_sent", "Samples that the server has acknowledged", samples.sent),
        _gauge("samples_pending", "Samples that wait or are on their way", samples.pending),
        _by("samples_dropped", "Samples that were dropped", COUNTER, "reason", samples.dropped),
        _total("samples_invalid", "Samples that are no valid metrics", stats.invalid_samples),
        _total("collect_errors", "Collections that failed", stats.collect_errors),
        _total("batches_sent", "Batches that the server has acknowledged", stats.batches_sent),
        _by("batches_retried", "Attempts that failed", COUNTER, "cause", stats.batches_retried),
        _total("bytes_sent", "Bodies of acknowledged batches", stats.bytes_sent, "bytes"),
        _gauge("buffer_bytes", "Samples in the buffer", stats.buffer_bytes, "bytes"),
        _gauge(
            "flush_duration_seconds", "How long the last delivery took", stats.flush_seconds,
            "seconds",
        ),
        _by("series", "Label sets of an instrument", GAUGE, "instrument", stats.series),
        _by(
            "series_overflowed", "Calls that met the overflow series", COUNTER, "instrument",
            stats.overflowed,
        ),
        _by(
            "amounts_left_out", "Amounts that would have spoilt a total for ever", COUNTER,
            "instrument", stats.amounts_left_out,
        ),
        _by(
            "label_values_replaced", "Calls with a label value that needed U+FFFD", COUNTER,
            "instrument", stats.label_values_replaced,
        ),
        _by(
            "unexpected_errors", "Errors that no code here expects", COUNTER, "place",
            stats.unexpected_errors,
        ),
    ]  # fmt: skip
    spool = stats.spool
    if spool is not None:
        families += [
            _gauge("spool_bytes", "Batches on disk", spool.size_bytes, "bytes"),
            _gauge("spool_samples", "Samples on disk", spool.samples),
            _gauge("spool_available", "Whether the disk takes batches", spool.is_available),
            _total("spool_samples_adopted", "Samples of dead processes", spool.adopted),
        ]
    return [family for family in families if family.samples]


def _gauge(name: str, documentation: str, value: float, unit: str = "") -> MetricFamily:
    family = MetricFamily(PREFIX + name, documentation, GAUGE, unit)
    family.add("", {}, float(value))
    return family


def _total(name: str, documentation: str, value: float, unit: str = "") -> MetricFamily:
    family = MetricFamily(PREFIX + name, documentation, COUNTER, unit)
    family.add("_total", {}, float(value))
    return family


def _by(
    name: str,
    documentation: str,
    metric_type: MetricType,
    label: str,
    values: Mapping[str, int],
) -> MetricFamily:
    family = MetricFamily(PREFIX + name, documentation, metric_type)
    suffix = "_total" if metric_type is COUNTER else ""
    for key, value in sorted(values.items()):
        family.add(suffix, {label: key}, float(value))
    return family
