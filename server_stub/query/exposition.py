"""The latest samples of all components as a page for Prometheus. Pure: no I/O, no clock.

Every series gets the labels `runtime_id`, `component` and `component_type`. If a sample has a label
of its own with one of these names, that label becomes `exported_…`, as Prometheus itself names it.
The SDK's `exposition` writes the page, and decides what is left out of it.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.exposition import page as exposition
from noetl_metrics_sdk.exposition.samples import ExposedSample, PageFormat
from noetl_metrics_sdk.model.names import check_metric_name
from server_stub.components.labels import exposed_labels

if TYPE_CHECKING:
    from collections.abc import Iterable


class LatestSample(NamedTuple):
    """The latest sample of one series, with the component that reported it.

    `labels` is JSON, as PostgreSQL writes it. `taken_at` is in seconds since the epoch. Only the
    samples of histograms have it, because their parts have to be of one moment.
    """

    runtime_id: int
    component_name: str
    component_type: str
    metric_name: str
    metric_type: str
    metric_value: float
    labels: str | None
    help_text: str | None
    unit: str | None = None
    taken_at: float | None = None


def render(
    samples: Iterable[LatestSample], page_format: PageFormat = PageFormat.TEXT
) -> exposition.Page:
    """Return the page.

    Args:
        samples: at most one sample of each series. If no page can hold the name or a label name of
            a sample, the sample is left out and counted.
        page_format: the format of the page.
    """
    shown, invalid_count = exposed_samples(samples)
    return exposition.render(shown, page_format, invalid_count)


def exposed_samples(samples: Iterable[LatestSample]) -> tuple[list[ExposedSample], int]:
    """Return the samples in the form of a page, and how many no page can hold.

    Args:
        samples: the same as for `render`.
    """
    shown: list[ExposedSample] = []
    known: set[str] = set()
    invalid_count = 0
    for sample in samples:
        (
            runtime_id, component, component_type,
            name, metric_type, value, labels, help_text, unit, taken_at,
        ) = sample  # fmt: skip
        try:
            if name not in known:
                known.add(check_metric_name(name))
            found = exposed_labels(runtime_id, component, component_type, labels)
        except InvalidMetricError:
            invalid_count += 1
        else:
            shown.append(ExposedSample(name, metric_type, value, found, help_text, unit, taken_at))
    return shown, invalid_count
