"""The samples of other libraries' collectors as samples of a page.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.exposition.family_reading import created_sample
from noetl_metrics_sdk.exposition.samples import ExposedLabels, ExposedSample, PageFormat
from noetl_metrics_sdk.model.adoption import adopt_series, shared_labels
from noetl_metrics_sdk.model.metric import INFO, STATE_SET, MetricType, counts_from_zero
from noetl_metrics_sdk.process.pacing import STEPS_BETWEEN_RESTS

if TYPE_CHECKING:
    from noetl_metrics_sdk.process.pacing import Pacer
    from noetl_metrics_sdk.registry import Collector


def adopted_samples(
    collector: Collector, page_format: PageFormat, pacer: Pacer
) -> tuple[list[ExposedSample], int]:
    """Return the valid samples of a collector, and how many samples are not valid.

    Args:
        collector: the collector, which is no instrument of this package.
        page_format: the format of the page.
        pacer: rests during loops over many samples.

    Raises:
        BaseException: what the collector raises, as it is.
    """
    samples: list[ExposedSample] = []
    invalid_count = 0
    for family in collector.collect():
        start_times: dict[tuple[tuple[str, str], ...], ExposedSample] = {}
        for step, sample in enumerate(family.samples):
            if step % STEPS_BETWEEN_RESTS == 0:
                pacer.rest_if_due()
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
    shown = created_sample(family.name, float(created_at), ExposedLabels(own))
    return {tuple(own.items()): shown}


def _adopted(family: Any, sample: Any) -> ExposedSample:
    series = adopt_series(family, sample)
    labels = ExposedLabels(series.labels)
    value = float(sample.value)
    kind = family.type if family.type in {INFO, STATE_SET} else series.type.value
    return ExposedSample(series.name, kind, value, labels, series.help_text, series.unit)
