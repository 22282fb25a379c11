"""The page of one registry, which a worker serves itself.

Its series have only the labels that the instruments gave them. Prometheus adds `job` and `instance`
for each program that it scrapes. A page neither reads nor changes a client's memory of the samples
that it has sent, so scrapes have no effect on the client's deliveries.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING

from noetl_metrics_sdk.exposition.adopted_samples import adopted_samples
from noetl_metrics_sdk.exposition.claims import kind_of, settled_claims
from noetl_metrics_sdk.exposition.family_reading import FamilyReading, read_family
from noetl_metrics_sdk.exposition.kept_series import kept_series
from noetl_metrics_sdk.exposition.page import render
from noetl_metrics_sdk.instruments.counter import Counter
from noetl_metrics_sdk.jobs.collector import instruments_of
from noetl_metrics_sdk.process.pacing import Pacer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from noetl_metrics_sdk.exposition.kept_series import KeptSeries
    from noetl_metrics_sdk.exposition.page import WrittenFamily
    from noetl_metrics_sdk.exposition.samples import ExposedSample, PageFormat
    from noetl_metrics_sdk.instruments.instrument import Instrument
    from noetl_metrics_sdk.registry import Collector, Registry

    _Content = FamilyReading | list[ExposedSample]
    _Kept = dict[tuple[Instrument, ...], KeptSeries]

_logger = logging.getLogger("noetl_metrics_sdk")


class RegistryPage:
    """Makes the page of a registry.

    Args:
        registry: the registry whose collectors are asked for every page.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._failing: set[Collector] = set()
        self._kept: _Kept = {}
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
        pacer = Pacer(time.monotonic, time.sleep)
        pacer.start()
        reader = _Reader(self._kept, page_format, pacer)
        contents: list[_Content] = []
        invalid_count = 0
        for collector in self._registry.collectors():
            try:
                found, invalid = reader.read(collector)
            except BaseException as error:  # noqa: BLE001 - not our code, may raise SystemExit
                self._note_failure(collector, error)
                continue
            self._failing.discard(collector)
            contents += found
            invalid_count += invalid
        contents += reader.read_instruments([self._errors, self._omitted])
        # Pages are made in threads, several at once: each has what it needs until it is made.
        self._kept = reader.kept
        written, samples = _divided(contents, page_format, pacer)
        page = render(samples, page_format, invalid_count, written)
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


class _Reader:
    """Reads collectors for one page.

    Args:
        before: what an earlier page has kept, by the instruments of one name.
        page_format: the format of the page.
        pacer: rests during loops over many series.
    """

    def __init__(self, before: _Kept, page_format: PageFormat, pacer: Pacer) -> None:
        self._before = before
        self._page_format = page_format
        self._pacer = pacer
        self.kept: _Kept = {}
        """What the next page needs. It has nothing of instruments that are no longer there."""

    def read(self, collector: Collector) -> tuple[list[_Content], int]:
        """Return the contents of a collector, and how many samples are not valid."""
        instruments = instruments_of(collector)
        if instruments is not None:
            return self.read_instruments(instruments), 0
        samples, invalid_count = adopted_samples(collector, self._page_format, self._pacer)
        return [samples], invalid_count

    def read_instruments(self, instruments: Iterable[Instrument]) -> list[_Content]:
        """Return a reading of each name; job metrics have several instruments of one name."""
        alike: dict[object, list[Instrument]] = defaultdict(list)
        for one in instruments:
            alike[tuple([(form.name, form.own_label) for form in one.definition.forms])].append(one)
        readings: list[_Content] = []
        for group in map(tuple, alike.values()):
            series = kept_series(group, self._before.get(group), self._pacer)
            self.kept[group] = series
            definition = group[0].definition
            readings.append(read_family(definition, series, self._page_format, self._pacer))
        return readings


def _divided(
    contents: Sequence[_Content], page_format: PageFormat, pacer: Pacer
) -> tuple[list[WrittenFamily], list[ExposedSample]]:
    """Write the families that have one reading for all of their samples; return all other samples.

    The samples keep their order: if a series is there twice, the first one counts.
    """
    kinds = [
        content.kinds() if isinstance(content, FamilyReading) else set(map(kind_of, content))
        for content in contents
    ]
    claims = settled_claims({kind for found in kinds for kind in found}, page_format)
    families = [{claims[kind][:2] for kind in found} for found in kinds]
    parts: dict[tuple[str, str], int] = defaultdict(int)
    for family in chain.from_iterable(families):
        parts[family] += 1
    written: list[WrittenFamily] = []
    samples: list[ExposedSample] = []
    for content, found in zip(contents, families, strict=True):
        if not isinstance(content, FamilyReading):
            samples += content
            continue
        sole = [family for family in found if len(found) == parts[family] == 1]
        if sole and content.can_be_written(sole[0], page_format):
            written.append(content.written(sole[0], page_format, pacer))
        else:
            samples += content.samples()
    return written, samples
