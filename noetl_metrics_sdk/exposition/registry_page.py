"""The page of one registry, which a worker serves itself.

Its series have only the labels that the instruments gave them. Prometheus adds `job` and `instance`
for each program that it scrapes. A page neither reads nor changes a client's memory of the samples
that it has sent, so scrapes have no effect on the client's deliveries.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.exposition.page import render
from noetl_metrics_sdk.exposition.samples import ExposedLabels, ExposedSample, PageFormat
from noetl_metrics_sdk.instruments.counter import Counter
from noetl_metrics_sdk.jobs.collector import instruments_of
from noetl_metrics_sdk.model.adoption import adopt_series, shared_labels
from noetl_metrics_sdk.model.metric import INFO, STATE_SET, MetricType, counts_from_zero

if TYPE_CHECKING:
    from collections.abc import Iterator

    from noetl_metrics_sdk.instruments.instrument import Instrument
    from noetl_metrics_sdk.registry import Collector, Registry

_logger = logging.getLogger("noetl_metrics_sdk")


class RegistryPage:
    """Makes the page of a registry.

    Args:
        registry: the registry whose collectors are asked for every page.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._failing: set[Collector] = set()
        self._errors = Counter(
            "noetl_metrics_sdk_page_collect_errors",
            "Collectors that raised when a page was made, and are missing on it",
            registry=None,
        )
        self._omitted = Counter(
            "noetl_metrics_sdk_page_series_omitted",
            "Series left out of pages: not valid, not whole, or reported twice",
            registry=None,
        )

    def render(self, page_format: PageFormat) -> str:
        """Return the page with the current values.

        If a collector raises, this page lacks only its metrics. A metric on the page counts such
        collectors, and the log names a collector when it begins to fail.
        """
        samples: list[ExposedSample] = []
        invalid_count = 0
        for collector in self._registry.collectors():
            try:
                found, invalid = _samples_of(collector, page_format)
            except BaseException as error:  # noqa: BLE001 - not our code, may raise SystemExit
                self._note_failure(collector, error)
                continue
            self._failing.discard(collector)
            samples += found
            invalid_count += invalid
        for counter in (self._errors, self._omitted):
            samples += _instrument_samples(counter, page_format)
        page = render(samples, page_format, invalid_count)
        self._omitted.inc(page.omitted_count)
        return page.text

    def _note_failure(self, collector: Collector, error: BaseException) -> None:
        self._errors.inc()
        if collector not in self._failing:
            self._failing.add(collector)
            _logger.error(
                "collector %r raises; its metrics are missing on the page", collector,
                exc_info=error,
            )  # fmt: skip


def _samples_of(collector: Collector, page_format: PageFormat) -> tuple[list[ExposedSample], int]:
    """Return the valid samples of a collector, and how many samples are not valid."""
    instruments = instruments_of(collector)
    if instruments is not None:
        return [one for found in instruments for one in _instrument_samples(found, page_format)], 0
    samples: list[ExposedSample] = []
    invalid_count = 0
    for family in collector.collect():
        start_times: dict[tuple[tuple[str, str], ...], ExposedSample] = {}
        for sample in family.samples:
            try:
                samples.append(_adopted(family, sample))
                if page_format is PageFormat.OPENMETRICS:
                    start_times |= _start_time(family, sample)
            except (
                InvalidMetricError, TypeError, ValueError, AttributeError, ArithmeticError,
            ):  # fmt: skip
                invalid_count += 1
        samples += start_times.values()
    return samples, invalid_count


def _start_time(family: Any, sample: Any) -> dict[tuple[tuple[str, str], ...], ExposedSample]:
    """Return when the sample's series was 0, by the labels of its label set, if it says so."""
    created_at = getattr(sample, "created_at", None)
    if created_at is None or not counts_from_zero(MetricType(family.type), sample.labels):
        return {}
    own = shared_labels(sample.labels)
    shown = _created_sample(family.name, float(created_at), ExposedLabels(own))
    return {tuple(own.items()): shown}


def _instrument_samples(instrument: Instrument, page_format: PageFormat) -> Iterator[ExposedSample]:
    definition = instrument.definition
    kind = definition.type.value
    # The text format has no start times: there they would be series of their own.
    has_start_times = (
        page_format is PageFormat.OPENMETRICS and definition.forms[-1].counts_from_zero
    )
    for holder in instrument.holders():
        own = dict(zip(definition.label_names, holder.label_values, strict=True))
        labels = ExposedLabels(own)
        # The values of a label set are read at one moment. A label set that is left out has none.
        for form, value in zip(definition.forms, holder.values(), strict=False):
            shown = (
                labels if form.own_label is None else ExposedLabels(own | dict([form.own_label]))
            )
            yield ExposedSample(form.name, kind, value, shown, form.help_text, form.unit)
        if has_start_times:
            yield _created_sample(definition.name, holder.created_at, labels)


def _created_sample(family_name: str, created_at: float, labels: ExposedLabels) -> ExposedSample:
    """Return the sample that says when a series began, in the form that OpenMetrics has for it."""
    return ExposedSample(f"{family_name}_created", "gauge", created_at, labels)


def _adopted(family: Any, sample: Any) -> ExposedSample:
    series = adopt_series(family, sample)
    labels = ExposedLabels(series.labels)
    value = float(sample.value)
    kind = family.type if family.type in {INFO, STATE_SET} else series.type.value
    return ExposedSample(series.name, kind, value, labels, series.help_text, series.unit)
