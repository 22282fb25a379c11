"""The heaviest requests of each kind, each at the bound that stops the next heavier one."""

from __future__ import annotations

import gzip
import itertools
import json
import time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from psycopg import Connection

BODY_BYTES = 8 * 1024 * 1024
SAMPLES = 10_000
POINTS_OF_A_SERIES = 10_900
COMPONENTS = 1_000
DOCUMENT_CHARACTERS = 65_000
_BATCHES_OF_A_PROCESS = 9
_numbers = itertools.count()


class Request(NamedTuple):
    """A request."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = {}


def store(database: Connection[Any], points: int) -> str:
    """Fill the table for charts, and the table of components; return the id of one.

    Args:
        database: where the server keeps its metrics.
        points: how many samples there are for charts.
    """
    runtime_id = 7
    document = json.dumps({"x": "y" * DOCUMENT_CHARACTERS})
    database.execute(
        "INSERT INTO noetl.runtime (runtime_id, name, component_type, status) "
        "VALUES (%s, 'heavy', 'worker_pool', 'ready')", (runtime_id,),
    )  # fmt: skip
    database.execute(
        "INSERT INTO noetl.runtime "
        "(runtime_id, name, component_type, status, labels, capabilities, runtime) "
        "SELECT 100 + n, 'c' || n, 'worker_pool', 'ready', %(one)s, %(one)s, %(one)s "
        "FROM generate_series(1, %(count)s) AS n",
        {"one": document, "count": COMPONENTS},
    )  # fmt: skip
    series = max(1, points // POINTS_OF_A_SERIES)
    for number in range(series):
        labels = {"le": "+Inf" if number == series - 1 else str(number), "a": str(number)}
        database.execute(
            "INSERT INTO noetl.metric "
            "(runtime_id, metric_name, metric_type, metric_value, labels, timestamp) "
            "SELECT %s, 'heavy_bucket', 'histogram', n * 1.000001, %s, "
            "date_trunc('second', now()) - make_interval(secs => n) "
            "FROM generate_series(1, %s) AS n",
            (runtime_id, json.dumps(labels), POINTS_OF_A_SERIES),
        )  # fmt: skip
    return str(runtime_id)


def filling(runtime_id: str) -> dict[str, Iterable[Request]]:
    """Return requests that fill the tables of what the server knows."""
    return {
        "filling the table of series": (
            _batch(runtime_id, _new_samples(number // _BATCHES_OF_A_PROCESS))
            for number in range(18)
        ),
        "filling the table of labels": [Request("GET", "/metrics")] * 2,
    }


def only_written(runtime_id: str, rounds: int) -> dict[str, Iterable[Request]]:
    """Return requests to a server that writes to a time-series database only."""
    return {
        "written: 10,000 new series": _repeated(
            runtime_id, lambda: _new_samples(99, padded=True), rounds
        ),
        "written: 10,000 known series": _repeated(runtime_id, lambda: _known_samples({}), rounds),
    }


def heavy_requests(runtime_id: str, rounds: int) -> dict[str, Iterable[Request]]:
    """Return each kind of request, as often as it is to be sent.

    Args:
        runtime_id: a component that is registered.
        rounds: how often.
    """
    batches: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "10,000 known series": lambda: _known_samples({}),
        "10,000 new series, 8 MiB": lambda: _new_samples(99, padded=True),
        "10,000 new names": _named_samples,
        "10,000 rejected: no number": lambda: _known_samples({"metric_value": "x" * 550}),
        "10,000 rejected: no sample": lambda: _known_samples({"metric_value": []}),
        "10,000 rejected: a label's name": lambda: _known_samples({"labels": {"1": "y" * 550}}),
        "10,000 rejected: of others": _of_others,
        "28 series, 64 labels of 4,096": lambda: _large_samples(28, 4096),
        "28 rejected, 64 labels of 4,097": lambda: _large_samples(28, 4097),
    }
    kinds: dict[str, Iterable[Request]] = {
        name: _repeated(runtime_id, make, rounds) for name, make in batches.items()
    }
    bombs = dict(_bombs(runtime_id))
    kinds |= {
        name: [Request("POST", "/api/metrics", gzip.compress(body), {"Content-Encoding": "gzip"})]
        * rounds
        for name, body in bombs.items()
    }
    reads = {
        "a page of 10,000 samples": "/api/metrics?limit=10000&metric_name=heavy_bucket",
        "a page of 8 MiB": "/api/metrics?limit=10000&metric_name=large_total",
        "a page by component": f"/api/runtime/{runtime_id}/metrics?limit=10000",
        "a chart of 10,000 series": "/api/metrics/series?metric_name=known_total&group_by=index",
        "GET /metrics": "/metrics",
        "GET /metrics of one component": "/metrics?component_name=heavy",
        "the list of components": "/api/runtime",
        "the OpenAPI description": "/openapi.json",
    }
    kinds |= {name: [Request("GET", path)] * rounds for name, path in reads.items()}
    charts = {"avg": "a,le", "increase": "a,le", "quantile&quantile=0.9": "a"}
    kinds |= {
        f"a chart of {aggregation[:8]}": _charts(aggregation, group_by, rounds)
        for aggregation, group_by in charts.items()
    }
    kinds["GET /metrics, OpenMetrics, gzip"] = [
        Request("GET", "/metrics", b"", {
            "Accept": "application/openmetrics-text", "Accept-Encoding": "gzip",
        })
    ] * rounds  # fmt: skip
    kinds |= {
        name: [Request("POST", "/api/worker/pool/register", body)] * rounds
        for name, body in _registrations().items()
    }
    kinds["a cleanup"] = [Request("POST", "/api/metrics/cleanup")] * rounds
    return kinds


def _charts(aggregation: str, group_by: str, rounds: int) -> Iterator[Request]:
    for _ in range(rounds):
        start_time = int(time.time()) - POINTS_OF_A_SERIES
        yield Request(
            "GET", f"/api/metrics/series?metric_name=heavy_bucket&step=1&start_time={start_time}"
            f"&group_by={group_by}&aggregation={aggregation}",
        )  # fmt: skip


def _repeated(
    runtime_id: str, make: Callable[[], list[dict[str, Any]]], rounds: int
) -> Iterator[Request]:
    for _ in range(rounds):
        yield _batch(runtime_id, make())


def _batch(runtime_id: str, metrics: list[dict[str, Any]]) -> Request:
    body = json.dumps({"runtime_id": runtime_id, "metrics": metrics}).encode()
    assert len(body) <= BODY_BYTES, len(body)
    return Request("POST", "/api/metrics", body)


def _sample(labels: Mapping[str, str], name: str = "known_total") -> dict[str, Any]:
    return {
        "metric_name": name, "metric_type": "counter", "metric_value": 1.5, "labels": dict(labels)
    }  # fmt: skip


def _known_samples(changed: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        _sample({"index": str(index), "worker_id": "w-known"}) | changed for index in range(SAMPLES)
    ]


def _named_samples() -> list[dict[str, Any]]:
    number = next(_numbers)
    return [_sample({}, f"n{number}_{index}_total") for index in range(SAMPLES)]


def _new_samples(process: int, *, padded: bool = False) -> list[dict[str, Any]]:
    number = next(_numbers)
    padding = {"text": "p" * 550} if padded else {}
    return [
        _sample({
            "index": f"{number}-{index}", "worker_id": f"w-{process}", "queue": "default",
            "job_type": "sql", **padding,
        }, "filled_total")
        for index in range(SAMPLES)
    ]  # fmt: skip


def _of_others() -> list[dict[str, Any]]:
    samples = _known_samples({})
    for number, sample in enumerate(samples[1:]):
        sample["runtime_id"] = str(10**15 + number)
    return samples


def _large_samples(count: int, length: int) -> list[dict[str, Any]]:
    number = next(_numbers)
    return [
        _sample(
            {f"l{label}": f"{number}-{row}-{label}".ljust(length, "x") for label in range(64)},
            "large_total",
        )
        for row in range(count)
    ]


def _bombs(runtime_id: str) -> Iterator[tuple[str, bytes]]:
    """Yield bodies of eight megabytes that are small as gzip."""
    sample = b'"metric_name":"a","metric_type":"gauge","metric_value":1'
    one = b'{"runtime_id":"%b","metrics":[{%b,"labels":{' % (runtime_id.encode(), sample)
    yield "8 MB of [1,1,…]", b"[" + b"1," * 4_000_000 + b"1]"
    yield "8 MB of [[],[],…]", b"[" + b"[]," * 2_600_000 + b"[]]"
    yield "8 MB of [[[…", b"[" * 8_000_000
    yield "8 MB of labels in one sample", one + b'"a":"b",' * 1_000_000 + b'"c":"d"}}]}'
    yield "8 MB of one label", one + b'"a":"' + b"x" * 8_000_000 + b'"}}]}'
    yield "8 MB of one label's escapes", one + b'"a":"' + rb"\"" * 4_000_000 + b'"}}]}'
    yield "8 MB of another field", one[:-11] + b',"x":"' + rb"\u0041" * 1_300_000 + b'"}]}'
    yield "8 MB of escapes, and an error", b'["' + rb"\"" * 4_000_000 + b'",1]'
    yield "250,000 escapes", b'["' + rb"\u0041" * 249_999 + b"y" * 5_000_000 + b'",1]'
    yield "250,000 halves of surrogates", b'["' + rb"\ud800" * 249_999 + b'",1]'
    yield "8 MB of texts that are no JSON", b'["' + b'a""' * 2_600_000 + b'"]'
    yield "399,000 values, and NaN", b"[[" + b"111111111111111111," * 399_000 + b"NaN]]"
    many = b"1234567890123456," * 399_000
    yield "399,000 values, half a surrogate", b'[["\\ud800",' + many + b"1]]"
    yield "8 MB, and half a surrogate", b'["\\ud800","' + b"y" * 8_000_000 + b'"]'
    yield "8 MB of halves of surrogates", b'["' + rb"\ud800" * 1_300_000 + b'"]'
    wide = '["\ud800' + "y" * 4_000_000 + '"]'
    yield "8 MB of UTF-16", wide.encode("utf-16", "surrogatepass")
    yield "8 MB of letters of four bytes", one + b'"a":"' + "😀".encode() * 2_000_000 + b'"}}]}'


def _registrations() -> dict[str, bytes]:
    """Return registrations of half a megabyte."""
    lists = b"[" + b"[]," * 21_000 + b"[]]"
    documents = b",".join(b'"%b":%b' % (name, lists) for name in (b"labels", b"capabilities"))
    text = json.dumps({"x": "y" * DOCUMENT_CHARACTERS})
    texts = ",".join(f'"{name}":{text}' for name in ("labels", "capabilities", "meta", "runtime"))
    return {
        "a registration of lists": b'{"name":"lists",%b}' % documents,
        "a registration of texts": b'{"name":"texts",%b}' % texts.encode(),
        "a registration of too many lists": b'{"name":"a","labels":[' + b"[]," * 170_000 + b"[]]}",
        "a registration of wrong fields": b"[" + b"[]," * 170_000 + b"1]",
    }
