"""A metrics server as NoETL's was: every sample a model, and every row an INSERT of its own.

Usage: python benchmarks/row_server.py DATABASE_URL; prints its port, and ends with its standard
input. It takes the same body as `POST /api/metrics`, and commits once for each request.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import uvicorn
from fastapi import FastAPI
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

INSERT = """
INSERT INTO noetl.metric
    (runtime_id, metric_name, metric_type, metric_value, labels, help_text, unit, timestamp)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""


class Sample(BaseModel):
    """A sample."""

    metric_name: str
    metric_type: str
    metric_value: float
    labels: dict[str, str] | None = None
    help_text: str | None = None
    unit: str | None = None
    timestamp: float


class Batch(BaseModel):
    """The body of a request."""

    runtime_id: int
    metrics: list[Sample]


def make_app(database_url: str) -> FastAPI:
    pool = AsyncConnectionPool(database_url, min_size=1, max_size=8, open=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with pool:
            yield

    app = FastAPI(lifespan=lifespan)

    async def insert(batch: Batch) -> dict[str, object]:
        async with pool.connection() as connection, connection.cursor() as cursor:
            for sample in batch.metrics:
                await cursor.execute(
                    INSERT,
                    (
                        batch.runtime_id, sample.metric_name, sample.metric_type,
                        sample.metric_value, json.dumps(sample.labels), sample.help_text,
                        sample.unit, datetime.fromtimestamp(sample.timestamp, UTC),
                    ),
                )  # fmt: skip
        return {"status": "ok", "metrics_inserted": len(batch.metrics)}

    # The module's postponed annotations use a name that only this function knows.
    insert.__annotations__ = {"batch": Batch}
    app.post("/api/metrics")(insert)
    return app


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def wait() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
    server = uvicorn.Server(uvicorn.Config(make_app(sys.argv[1]), log_level="error"))
    print(listener.getsockname()[1], flush=True)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
