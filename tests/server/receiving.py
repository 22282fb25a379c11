"""A receiver of remote write in the test's own process, which a test controls."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import cramjam
import httpx

from server_stub.export.exporter import Exporter
from server_stub.export.pacing import Pacing
from server_stub.export.state import ExportReport
from server_stub.postgresql.database import Database
from server_stub.settings import Settings
from server_stub.statistics import Statistics
from server_stub.time_series_database.messages import VERSION_1, VERSION_2, message_classes
from server_stub.time_series_database.receiver import WRITTEN_HEADER, Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.server.application import Api

URL = "http://receiver.test/api/v1/write"

_V1 = message_classes("prometheus", VERSION_1)
_V2 = message_classes("io.prometheus.write.v2", VERSION_2)


class Received(NamedTuple):
    labels: dict[str, str]
    timestamp_ms: int
    value: float


class FakeReceiver:
    """Keeps the samples that it gets.

    It calls `answer` with the samples of each request. `answer` may return a response, to refuse
    samples of some kind; if it returns None, the receiver takes them. `takes_version_2` says
    whether the receiver knows version 2.
    """

    def __init__(self) -> None:
        self.answer: Callable[[list[Received]], httpx.Response | None] = lambda _: None
        self.takes_version_2 = False
        self.samples: list[Received] = []
        self.requests: list[httpx.Request] = []
        self.metadata: list[Any] = []

    def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        body = bytes(cramjam.snappy.decompress_raw(request.content))
        is_version_2 = "proto=io.prometheus.write.v2.Request" in request.headers["Content-Type"]
        if is_version_2 and not self.takes_version_2:
            return httpx.Response(415, text="unknown message")
        samples = self._read_2(body) if is_version_2 else self._read_1(body)
        refused = self.answer(samples)
        if refused is not None:
            return refused
        self.samples += samples
        headers = {WRITTEN_HEADER: str(len(samples))} if is_version_2 else {}
        return httpx.Response(204, headers=headers)

    def _read_1(self, body: bytes) -> list[Received]:
        message = _V1["WriteRequest"].FromString(body)
        self.metadata += message.metadata
        return [
            Received(
                {label.name: label.value for label in series.labels},
                sample.timestamp,
                sample.value,
            )
            for series in message.timeseries
            for sample in series.samples
        ]

    def _read_2(self, body: bytes) -> list[Received]:
        message = _V2["Request"].FromString(body)
        texts = list(message.symbols)
        found = []
        for series in message.timeseries:
            names = [texts[number] for number in series.labels_refs]
            labels = dict(zip(names[::2], names[1::2], strict=True))
            metadata = series.metadata
            self.metadata.append(
                (labels["__name__"], metadata.type, texts[metadata.help_ref],
                 texts[metadata.unit_ref])
            )  # fmt: skip
            found += [Received(labels, one.timestamp, one.value) for one in series.samples]
        return found

    def values(self, name: str) -> list[float]:
        return [one.value for one in self.samples if one.labels["__name__"] == name]

    def by_series(self) -> dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]:
        found = defaultdict(list)
        for one in self.samples:
            key = tuple(sorted(one.labels.items()))
            found[key].append((one.timestamp_ms, one.value))
        return found


class RunningExport(NamedTuple):
    """An export that takes its turns when a test calls for one."""

    api: Api
    export: Exporter
    receiver: Receiver
    statistics: Statistics

    def turn(self) -> bool:
        """Take a turn; return whether there is more to do."""
        more: bool = self.api.loop.run(self.export.take_turn())
        return more

    def finish(self) -> None:
        """Take turns until nothing is left."""
        while self.turn():
            pass

    def dropped(self, reason: str) -> float | None:
        return self.statistics.registry.get_sample_value(
            "noetl_api_export_samples_dropped_total", {"reason": reason}
        )

    def counted(self, name: str) -> float | None:
        return self.statistics.registry.get_sample_value(f"noetl_api_export_{name}")

    def progress(self) -> tuple[int, int, int]:
        """Return the export's position, its acknowledged row and its settled row."""
        (row,) = self.api.sql("SELECT position, acknowledged, settled FROM noetl.metric_export")
        return row[0], row[1], row[2]


@contextmanager
def export_to(
    api: Api, fake: FakeReceiver, monotonic: Callable[[], float] = time.monotonic, **settings: Any
) -> Generator[RunningExport]:
    """Set up an export from an application's database to a receiver of the test."""
    receiver = Receiver(URL, {}, transport=httpx.MockTransport(fake.handle))
    with running_export(api, receiver, monotonic, **settings) as export:
        yield export


@contextmanager
def running_export(
    api: Api, receiver: Receiver, monotonic: Callable[[], float] = time.monotonic, **settings: Any
) -> Generator[RunningExport]:
    """Set up an export from an application's database to any receiver."""
    database = Database(api.database_url, 1)
    statistics = Statistics()
    export = Exporter(
        database,
        receiver,
        Settings(**settings),
        statistics,
        ExportReport(),
        monotonic,
        Pacing(lambda: 0.0, monotonic),
    )
    api.loop.run(database.open())
    try:
        yield RunningExport(api, export, receiver, statistics)
    finally:
        api.loop.run(database.close())
        api.loop.run(receiver.close())
