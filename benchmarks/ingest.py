"""From a request's body to committed rows: this server, a bare COPY, and a row at a time.

Usage: ./scripts/bench ingest [--rows N] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg
from rounds import medians
from started_server import server_command, started_server
from tables import OURS, Report, arguments, introduce, publish

from server_stub.embedded_postgresql.embedded import embedded_database
from server_stub.ingest.body import parse_body
from server_stub.ingest.copy_format import HEADER, TRAILER
from server_stub.ingest.row_encoding import RowEncoder, TimeBounds
from server_stub.ingest.series_table import SeriesLimits, SeriesTable
from server_stub.postgresql.schema import apply_schema
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FOLDER = Path(__file__).parent
BATCH_SAMPLES = 5_000
"""What the SDK puts into a request; fewer if there are too few rows for every client."""

SERIES = 10_000
COPY, COPY_TEXT, ROW_BY_ROW = "COPY", "COPY of text", "INSERT a row"
CLIENTS = (1, 4)
ROW_BY_ROW_SHARE = 20
"""The INSERTs get a twentieth of the rows: they would take the rest of the day."""


class Batch(NamedTuple):
    """One request, and its rows in the form that COPY takes."""

    runtime_id: int
    samples: int
    body: bytes
    binary: bytes
    text: bytes


def make_batch(number: int, now: float, samples: int = BATCH_SAMPLES) -> Batch:
    """Return a batch as the SDK sends it: half of the series of one of ten components."""
    runtime_id = 1 + number % 10
    half = number // 10 % 2
    encoded, lines = [], []
    for index in range(samples):
        series = half * samples + index
        name = f"noetl_worker_metric_{series // 100}_total"
        labels = {
            "job_type": f"type-{series % 10}", "status": "ok" if series // 10 % 2 else "failed",
            "queue": f"queue-{series // 20 % 5}", "worker_id": f"worker-{runtime_id}-4711",
        }  # fmt: skip
        value = float(number * 7 + index)
        sample = {
            "metric_name": name, "metric_type": "counter", "help_text": "Jobs that were done",
            "unit": "jobs", "labels": labels, "metric_value": value, "timestamp": now,
        }  # fmt: skip
        encoded.append(json.dumps(sample, separators=(",", ":")))
        columns = (
            str(runtime_id), datetime.fromtimestamp(now, UTC).isoformat(), repr(value), name,
            "counter", json.dumps(labels, separators=(",", ":")), "Jobs that were done", "jobs",
        )  # fmt: skip
        lines.append("\t".join(columns) + "\n")
    body = f'{{"runtime_id":"{runtime_id}","metrics":[{",".join(encoded)}]}}'.encode()
    return Batch(runtime_id, samples, body, encode_rows(body, runtime_id), "".join(lines).encode())


def encode_rows(body: bytes, runtime_id: int) -> bytes:
    """Return a body's rows as this server gives them to COPY."""
    parsed = parse_body(body, BATCH_SAMPLES)
    encoder = RowEncoder(
        SeriesTable(SeriesLimits(64, 4096, SERIES)),
        {None: runtime_id},
        datetime.now(UTC),
        TimeBounds(604_800.0, 86_400.0),
    )
    rows = encoder.encode(zip(parsed.positions, parsed.samples, strict=True))
    assert not encoder.rejects
    return HEADER + rows + TRAILER


class Contenders:
    """All contenders that insert the batches, into the same table of the same database.

    Args:
        stack: ends their processes.
        batches: the batches to insert.
    """

    def __init__(self, stack: ExitStack, batches: Sequence[Batch]) -> None:
        self._batches = batches
        self._url = stack.enter_context(embedded_database(None))
        apply_schema(self._url)
        self._database = stack.enter_context(psycopg.connect(self._url, autocommit=True))
        self._database.execute("SELECT noetl.initialize_metric_partitions()")
        for runtime_id in range(1, 11):
            self._database.execute(
                "INSERT INTO noetl.runtime (runtime_id, name, component_type, status) "
                "VALUES (%s, %s, 'worker_pool', 'ready')",
                (runtime_id, f"pool-{runtime_id}"),
            )
        self._port = stack.enter_context(started_server(server_command(self._url)))
        row_server = [sys.executable, str(FOLDER / "row_server.py"), self._url]
        self._row_server_port = stack.enter_context(started_server(row_server))
        self._sequence = 0

    def server(self, clients: int) -> float:
        """Return how many rows a second this server inserts."""

        def send(batches: Sequence[Batch], client: int) -> None:
            self._post(self._port, batches, f"client-{self._sequence}-{client}")

        return self._measure(clients, self._batches, send)

    def row_by_row(self, clients: int) -> float:
        """Return how many rows a second a server inserts row by row."""
        few = self._batches[: max(clients, len(self._batches) // ROW_BY_ROW_SHARE)]
        return self._measure(
            clients, few, lambda batches, _: self._post(self._row_server_port, batches, None)
        )

    def copy(self, clients: int) -> float:
        """Return how many rows a second COPY inserts, from the bytes that this server gives it."""
        statement = read_sql("ingest/copy_metrics.sql")
        return self._measure(
            clients, self._batches,
            lambda batches, _: self._copy(statement, [batch.binary for batch in batches]),
        )  # fmt: skip

    def copy_text(self, clients: int) -> float:
        """Return how many rows a second COPY inserts in its text format."""
        statement = read_sql("ingest/copy_metrics.sql").replace("(FORMAT binary)", "")
        return self._measure(
            clients, self._batches,
            lambda batches, _: self._copy(statement, [batch.text for batch in batches]),
        )  # fmt: skip

    def _copy(self, statement: str, contents: Sequence[bytes]) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            for content in contents:
                with connection.cursor().copy(statement.encode()) as copy:
                    copy.write(content)

    @staticmethod
    def _post(port: int, batches: Sequence[Batch], boot_id: str | None) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for number, batch in enumerate(batches, 1):
            headers = {"Content-Type": "application/json"}
            if boot_id is not None:
                headers["Idempotency-Key"] = f"{boot_id}:{number}"
            connection.request("POST", "/api/metrics", batch.body, headers)
            answer = connection.getresponse()
            found = json.loads(answer.read())
            if found.get("metrics_inserted") != batch.samples:
                raise RuntimeError(f"not inserted: {answer.status} {found}")
        connection.close()

    def _measure(
        self,
        clients: int,
        batches: Sequence[Batch],
        insert: Callable[[Sequence[Batch], int], None],
    ) -> float:
        """Return the rows a second into an empty table, with that many clients at once."""
        self._sequence += 1
        self._database.execute("TRUNCATE noetl.metric")
        self._database.execute("CHECKPOINT")
        threads = [
            threading.Thread(target=insert, args=(batches[client::clients], client))
            for client in range(clients)
        ]
        started_at = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.perf_counter() - started_at
        row = self._database.execute(
            "SELECT count(*) FROM noetl.metric WHERE metric_name LIKE 'noetl_worker_metric_%'"
        ).fetchone()
        rows = sum(batch.samples for batch in batches)
        if row != (rows,):
            raise RuntimeError(f"{rows} rows were sent, and {row} are there")
        return rows / seconds


def main() -> None:
    options = arguments(__doc__, rows=200_000, rounds=5)
    introduce()
    now = time.time()
    samples = min(BATCH_SAMPLES, options.rows // max(CLIENTS))
    count = options.rows // samples
    batches = [make_batch(number, now, samples) for number in range(count)]
    report = Report(
        f"Rows a second of {count * samples:,}, in requests of {samples:,}",
        "rows/s",
        smaller_is_better=False,
    )
    with ExitStack() as stack:
        contenders = Contenders(stack, batches)
        for clients in CLIENTS:
            measured = {
                OURS: partial(contenders.server, clients),
                COPY: partial(contenders.copy, clients),
                COPY_TEXT: partial(contenders.copy_text, clients),
                ROW_BY_ROW: partial(contenders.row_by_row, clients),
            }
            # Once uncounted, as after some time of running: the server then knows its series, and
            # PostgreSQL has its files.
            for contender in measured.values():
                contender()
            figures = medians(measured, options.rounds)
            report.add(f"{clients} client{'s' * (clients > 1)}", figures)
    publish([report], options.json)


if __name__ == "__main__":
    main()
