"""The application in the test's own process, on a real database."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import uvloop

from server_stub.app import create_app
from server_stub.postgresql.schema import apply_schema
from server_stub.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from fastapi import FastAPI


_logger = logging.getLogger(__name__)


class LoopThread:
    """An event loop as the server's, in a thread of its own, for tests that are plain functions."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def close(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Api:
    """The application's routes, and its database."""

    def __init__(self, app: FastAPI, loop: LoopThread, database_url: str) -> None:
        self.app = app
        self.loop = loop
        self.database_url = database_url

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def logged(scope: Any, receive: Any, send: Any) -> None:
            try:
                await self.app(scope, receive, send)
            except Exception:  # the client gets a 500, which does not say what it was
                _logger.exception("%s %s", method, path)
                raise

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(logged, raise_app_exceptions=False)
            base_url = "http://localhost"
            async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
                return await client.request(method, path, **options)

        response: httpx.Response = self.loop.run(send())
        return response

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)

    def register(self, name: str = "cpu-01", **fields: Any) -> str:
        answer = self.post("/api/worker/pool/register", json={"name": name, **fields})
        assert 200 == answer.status_code, answer.text
        runtime_id: str = answer.json()["runtime_id"]
        return runtime_id

    def insert(self, body: Any, **headers: str) -> httpx.Response:
        return self.post(
            "/api/metrics",
            content=json.dumps(body),
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    def sql(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run any SQL; return its rows."""
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            cursor = connection.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def stored(self) -> list[tuple[Any, ...]]:
        """Return what the tests inserted: (name, type, value, labels)."""
        return self.sql(
            "SELECT metric_name, metric_type, metric_value, m.labels FROM noetl.metric AS m "
            "INNER JOIN noetl.runtime AS r USING (runtime_id) "
            "WHERE r.component_type <> 'server_api' ORDER BY metric_id"
        )


@contextmanager
def running_api(
    database_url: str, clock: Any = None, *, reports_itself: Any = False, **settings: Any
) -> Generator[Api]:
    """Run the application on a database, whose schema is made when it is not there.

    The application stores its own metrics only for a test that is about them: they come at a
    moment that no test chooses, among the samples that the test has inserted.
    """
    apply_schema(database_url)
    # Samples of tests have times of their own, whenever the test is run.
    settings.setdefault("sample_age_seconds_max", 3_200_000_000.0)
    app = create_app(
        database_url,
        Settings(**settings),
        **({"clock": clock} if clock else {}),
        reports_itself=reports_itself,
    )
    loop = LoopThread()
    try:
        lifespan = app.router.lifespan_context(app)
        loop.run(lifespan.__aenter__())
        try:
            yield Api(app, loop, database_url)
        finally:
            loop.run(lifespan.__aexit__(None, None, None))
    finally:
        loop.close()


def sample(**fields: Any) -> dict[str, Any]:
    """Return a sample as a client sends it."""
    return {"metric_name": "jobs_total", "metric_type": "counter", "metric_value": 1.0, **fields}


def insert(api: Api, runtime_id: str, *samples: dict[str, Any]) -> None:
    """Insert samples; the server has to take all of them."""
    answer = api.insert({"runtime_id": runtime_id, "metrics": list(samples)}).json()
    assert answer["metrics_inserted"] == len(samples), answer


def values(api: Api, path: str = "/api/metrics", **parameters: Any) -> list[float]:
    """Return the values of a page of a query."""
    answer = api.get(path, params=parameters)
    assert 200 == answer.status_code, answer.text
    return [metric["metric_value"] for metric in answer.json()["metrics"]]
