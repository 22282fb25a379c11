"""Reads the samples of a time-series database, by Prometheus' query API.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/. A range selector in an instant
query gives samples as they were written, each with its own time, in every engine that has this API.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import msgspec

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.model.names import (
    check_label_name,
    check_metric_name,
    exported_name,
    is_label_name,
    own_name,
)
from server_stub.components.labels import ADDED_LABELS
from server_stub.errors import HistoryUnavailableError, ParameterInvalidError
from server_stub.time_series_database.connections import database_client

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ANSWER_BYTES_MAX = 256 * 1024 * 1024
SAMPLES_MAX = 1_000_000
"""The most samples that are read for one answer."""

SHOWN_CHARACTERS_MAX = 300
RETRY_AFTER_SECONDS = 5


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []
    value: tuple[float, str] | None = None


class _Data(msgspec.Struct):
    result: list[_Series]


class _Answer(msgspec.Struct):
    data: _Data


_decode_answer = msgspec.json.Decoder(_Answer).decode


class HistorySeries(NamedTuple):
    """A series with its samples: pairs of milliseconds since the epoch and value, by time."""

    metric_name: str
    runtime_id: int
    component_name: str
    component_type: str
    labels: dict[str, str]
    samples: list[tuple[int, float]]


class History:
    """Reads a time-series database.

    Args:
        url: the base of its query API, before `/api/v1`.
        headers: sent with every request.
        timeout_seconds: how long the server waits for an answer.
        transport: used in place of the network, in tests.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        timeout_seconds: float,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url.rstrip("/") + "/api/v1/query"
        self._client = database_client(url, headers, timeout_seconds, transport)

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def count(self, selector: str, start_ms: int, end_ms: int) -> int:
        """Return about how many samples there are from `start_ms` until before `end_ms`.

        Args:
            selector: the selector of the series, as `selector_of` makes it.
            start_ms: where the range begins, in milliseconds since the epoch.
            end_ms: where the range ends, in milliseconds since the epoch.

        Raises:
            HistoryUnavailableError: the database is away or does not answer.
        """
        found = await self._query(
            f"sum(count_over_time({selector}[{end_ms - start_ms}ms]))", end_ms - 1
        )
        return sum(int(float(series.value[1])) for series in found if series.value is not None)

    async def read(self, selector: str, start_ms: int, end_ms: int) -> list[HistorySeries]:
        """Return the samples from `start_ms` until before `end_ms`.

        Args:
            selector: the selector of the series, as `selector_of` makes it.
            start_ms: where the range begins, in milliseconds since the epoch.
            end_ms: where the range ends, in milliseconds since the epoch.

        Raises:
            ParameterInvalidError: there are too many samples.
            HistoryUnavailableError: the database is away or does not answer.
        """
        if end_ms <= start_ms:
            return []
        # Engines differ in whether the beginning belongs to a range. Samples outside are left out.
        found = await self._query(f"{selector}[{end_ms - start_ms}ms]", end_ms - 1)
        return _series_of(found, start_ms, end_ms)

    async def latest(
        self, selector: str, lookback_seconds: float, time_ms: int | None = None
    ) -> list[HistorySeries]:
        """Return the latest sample of each series that has one within the lookback.

        Args:
            selector: the selector of the series.
            lookback_seconds: how old the sample may be.
            time_ms: up to when, in milliseconds since the epoch; None for now.

        Raises:
            HistoryUnavailableError: the database is away or does not answer.
        """
        lookback = f"{round(lookback_seconds * 1000)}ms"
        found = await self._query(f"last_over_time({selector}[{lookback}])", time_ms)
        for series in found:
            series.values = [] if series.value is None else [series.value]
        return _series_of(found, None, None)

    async def _query(self, query: str, time_ms: int | None) -> list[_Series]:
        # VictoriaMetrics' cache and latency offset are off: they would hide the newest samples.
        data = {"query": query, "nocache": "1", "latency_offset": "0s"}
        if time_ms is not None:
            data["time"] = f"{time_ms / 1000:.3f}"
        content = bytearray()
        try:
            async with self._client.stream("POST", self._url, data=data) as answer:
                async for chunk in answer.aiter_bytes():
                    content += chunk
                    if len(content) > ANSWER_BYTES_MAX:
                        raise too_many_samples()
        except httpx.HTTPError as error:
            raise _unavailable(str(error) or type(error).__name__) from error
        if not answer.is_success:
            text = " ".join(content.decode(errors="replace").split())
            raise _unavailable(f"{answer.status_code} {text[:SHOWN_CHARACTERS_MAX]}")
        try:
            return _decode_answer(bytes(content)).data.result
        except msgspec.DecodeError as error:
            raise _unavailable(f"it answers something else: {error}") from error


def selector_of(filters: Mapping[str, Any], metric_names: Collection[str] | None) -> str | None:
    """Return the PromQL selector of the series that filters choose; None if they choose none.

    A request may ask for a name that is not valid. No series was ever written with such a name, and
    the database would read it as PromQL.

    Args:
        filters: the filters, of which only `runtime_id`, `component_name`, `labels` and
            `labels_absent` count.
        metric_names: the names to choose from, or None for all.
    """
    # Every series is without a label whose name is not valid.
    absent = [name for name in filters.get("labels_absent", ()) if is_label_name(name)]
    labels: dict[str, str] = {**filters.get("labels", {}), **dict.fromkeys(absent, "")}
    try:
        names = None if metric_names is None else sorted(map(check_metric_name, metric_names))
        for label in labels:
            check_label_name(label)
    except InvalidMetricError:
        return None
    if names is not None and not names:
        return None
    matchers = [f'runtime_id="{filters["runtime_id"]}"' if "runtime_id" in filters else
                'runtime_id!=""']  # fmt: skip
    if names is not None:
        # The characters of valid names have no meaning of their own in a regular expression.
        matchers.append(f'__name__=~"{"|".join(names)}"')
    if "component_name" in filters:
        matchers.append(f"component={_quoted(filters['component_name'])}")
    for name, value in labels.items():
        matchers.append(f"{exported_name(name, ADDED_LABELS)}={_quoted(value)}")
    return "{" + ",".join(matchers) + "}"


def too_many_samples() -> ParameterInvalidError:
    """Return the error of an answer that would be too large."""
    return ParameterInvalidError(
        f"the time-series database has more than {SAMPLES_MAX:,} samples for this answer: "
        "choose a shorter range, a metric_name or a component"
    )


def _quoted(value: str) -> str:
    # PromQL's strings have the escapes that JSON has.
    return json.dumps(value, ensure_ascii=False)


def _series_of(
    found: list[_Series], start_ms: int | None, end_ms: int | None
) -> list[HistorySeries]:
    series: list[HistorySeries] = []
    total = 0
    for one in found:
        labels = dict(one.metric)
        name = labels.pop("__name__", "")
        runtime_id = labels.pop("runtime_id", "")
        component, component_type = labels.pop("component", ""), labels.pop("component_type", "")
        if not (name and runtime_id.isdecimal()):
            continue  # another program has written this series
        labels = {own_name(shown, ADDED_LABELS): value for shown, value in labels.items()}
        samples = [(round(at * 1000), float(value)) for at, value in one.values]
        if start_ms is not None and end_ms is not None:
            samples = [sample for sample in samples if start_ms <= sample[0] < end_ms]
        total += len(samples)
        if samples:
            series.append(
                HistorySeries(name, int(runtime_id), component, component_type, labels, samples)
            )
    if total > SAMPLES_MAX:
        raise too_many_samples()
    return series


def _unavailable(reason: str) -> HistoryUnavailableError:
    return HistoryUnavailableError(
        "the time-series database with what is older than the retention does not answer "
        f"({reason}): try again later, or ask for what is within the retention",
        RETRY_AFTER_SECONDS,
    )
