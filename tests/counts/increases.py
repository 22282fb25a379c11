"""The sums of all increases that a chart or a query in PromQL shows, by series."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from tests.counts.lives import Ledger
from tests.peer_program import PLAIN_HTTP

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.peer_program import PeerProgram

NAMES = (
    "counted_jobs_total",
    "counted_took_bucket",
    "counted_took_sum",
    "counted_took_count",
    "counted_sizes_sum",
    "counted_sizes_count",
)
LABELS = ("worker_id", "kind", "le")
POINTS_MAX = 10_000
ANSWER_SECONDS = 300.0


class Span(NamedTuple):
    """From `start` to `end`, in seconds since the epoch."""

    start: float
    end: float

    def widths(self, widths: Iterable[float]) -> list[float]:
        """Return those widths of buckets of which the span has no more than a chart may have."""
        return [width for width in widths if (self.end - self.start) / width < POINTS_MAX]


def in_charts(
    url: str, component_name: str, span: Span, width: float, labels: Sequence[str] = LABELS
) -> Ledger:
    """Return the sums of all points of the charts of `GET /api/metrics/series`.

    Args:
        url: the server's address.
        component_name: the component.
        span: the range of the charts.
        width: the length of a bucket in seconds.
        labels: the labels by which the charts group the series.
    """
    sums: Ledger = Ledger()
    with httpx.Client(base_url=url, timeout=ANSWER_SECONDS, verify=PLAIN_HTTP) as client:
        for name in NAMES:
            asked: dict[str, str | float] = {
                "metric_name": name, "aggregation": "increase", "group_by": ",".join(labels),
                "component_name": component_name, "step": width,
                "start_time": span.start, "end_time": span.end,
            }  # fmt: skip
            answer = client.get("/api/metrics/series", params=asked)
            assert answer.is_success, answer.text
            for curve in answer.json()["series"]:
                key = series_of(name, curve["labels"])
                sums[key] += sum(value for _, value in curve["points"])
    return +sums


def in_steps(
    peer: PeerProgram,
    component_name: str,
    span: Span,
    width: float,
    labels: Sequence[str] = LABELS,
) -> Ledger:
    """Return the sums of PromQL's increases over consecutive ranges, without extrapolation.

    Args:
        peer: VictoriaMetrics, whose `increase` does not extrapolate.
        component_name: the component.
        span: the ranges begin at its start and reach to its end or beyond it.
        width: the length of a range in seconds.
        labels: the labels by which the query groups the series.
    """
    milliseconds = round(width * 1_000)
    steps = -(-round((span.end - span.start) * 1_000) // milliseconds)
    sums: Ledger = Ledger()
    for name in NAMES:
        asked = {
            "query": f"sum by ({', '.join(labels)}) "
            f'(increase({name}{{component="{component_name}"}}[{milliseconds}ms]))',
            "start": span.start + width, "end": span.start + steps * width,
            "step": f"{milliseconds}ms", "nocache": 1,
        }  # fmt: skip
        for found in peer.get("/api/v1/query_range", params=asked).json()["data"]["result"]:
            values = [float(value) for _, value in found["values"]]
            sums[series_of(name, found["metric"])] += sum(values)  # type: ignore[assignment]
    return +sums


def over_lives(peer: PeerProgram, matchers: str, span: Span) -> Ledger:
    """Return PromQL's increase of each series over the range that ends with its last sample.

    Prometheus extrapolates to the ends of a range. It does not before a sample of 0, nor after a
    sample at the end of the range.

    Args:
        peer: any database with PromQL.
        matchers: the matchers of a selector, like `component="pool"`.
        span: the range that has all samples.
    """
    seconds = round(span.end - span.start) + 1
    ended: dict[float, list[Mapping[str, str]]] = defaultdict(list)
    for name in NAMES:
        selector = f"{name}{{{matchers}}}[{seconds}s]"
        for found in peer.query(selector, time=span.end, nocache=1):
            ended[found["values"][-1][0]].append(found["metric"])
    sums: Ledger = Ledger()
    for end, series in ended.items():
        wanted = {series_of(one["__name__"], one) for one in series}
        for name in {one["__name__"] for one in series}:
            query = f"increase({name}{{{matchers}}}[{seconds}s])"
            for found in peer.query(query, time=end, nocache=1):
                key = series_of(name, found["metric"])
                if key in wanted:
                    sums[key] = float(found["value"][1])  # type: ignore[assignment]
    return +sums


def series_of(name: str, labels: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return the key of a series in a ledger."""
    worker_id, kind, le = (str(labels.get(label, "")) for label in LABELS)
    return name, worker_id, kind, le


def grouped(ledger: Ledger, labels: Sequence[str]) -> Ledger:
    """Return the sums of a ledger over all series that have these labels in common."""
    sums: Ledger = Ledger()
    for (name, *values), amount in ledger.items():
        kept = [
            value if label in labels else "" for label, value in zip(LABELS, values, strict=True)
        ]
        sums[name, kept[0], kept[1], kept[2]] += amount
    return sums


def differences(expected: Ledger, found: Ledger, precision: float = 0.0) -> list[Any]:
    """Return each series whose sum is not what the ledger has."""
    return [
        (series, expected[series], found[series])
        for series in expected.keys() | found.keys()
        if abs(expected[series] - found[series]) > precision * max(1.0, abs(expected[series]))
    ]
