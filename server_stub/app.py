"""The application: its routes, and what lives as long as it does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from server_stub.auth.token_source import TokenSource
from server_stub.components.store import ComponentStore
from server_stub.export.background import exporting
from server_stub.ingest.admission import Admission
from server_stub.ingest.insertion import Insertion
from server_stub.ingest.intake import Intake
from server_stub.ingest.row_encoding import TimeBounds
from server_stub.ingest.series_table import SeriesLimits, SeriesTable
from server_stub.postgresql.database import Database, TimeOuts
from server_stub.postgresql.maintenance import Maintenance
from server_stub.postgresql.partitions import PartitionStore
from server_stub.query.boundary import Boundaries
from server_stub.query.history_samples import HistoryChart
from server_stub.query.pages import Pages
from server_stub.query.recent_rows import Store
from server_stub.query.series import SeriesStore
from server_stub.routes import (
    components as routes_runtime,
)
from server_stub.routes import (
    exposition as routes_exposition,
)
from server_stub.routes import (
    ingest as routes_ingest,
)
from server_stub.routes import (
    operations as routes_operations,
)
from server_stub.routes import (
    query as routes_query,
)
from server_stub.routes import (
    series as routes_series,
)
from server_stub.routes.resources import Resources
from server_stub.self_reporting import self_reporting
from server_stub.statistics import Statistics
from server_stub.time_series_database.endpoints import time_series_database
from server_stub.web.authentication import Authentication
from server_stub.web.body_bounds import BodyLimit, BodyTimeout, Observation
from server_stub.web.description import DescribedApplication
from server_stub.web.request_log import RequestLog
from server_stub.web.responses import install_error_answers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from fastapi import FastAPI

    from server_stub.settings import Settings


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    database_url: str, settings: Settings, clock: Callable[[], datetime] = _utc_now
) -> FastAPI:
    """Return the application.

    Args:
        database_url: the database, whose schema is there (`schema.apply_schema`).
        settings: the limits and intervals.
        clock: the time of samples that have none of their own; whatever is about partitions and
            retention goes by the database's.

    Raises:
        StartupError: the tokens cannot be used.
    """
    tokens = TokenSource(settings, time.monotonic)
    statistics = Statistics()
    database = Database(
        database_url,
        settings.pool_size,
        TimeOuts(settings.lock_timeout_seconds, settings.statement_timeout_seconds),
    )
    elsewhere = time_series_database(settings, statistics)
    boundaries = Boundaries(settings)
    store = Store(database, settings, elsewhere.history)
    history_chart = HistoryChart(store, elsewhere.history, boundaries)
    series_store = SeriesStore(database, settings, history_chart)
    components = ComponentStore(database)
    series = SeriesTable(
        SeriesLimits(settings.labels_max, settings.text_length_max, settings.series_per_runtime_max)
    )
    bounds = TimeBounds(settings.sample_age_seconds_max, settings.sample_ahead_seconds_max)
    partitions = PartitionStore(database, settings)
    insertion = Insertion(database, partitions, series, bounds, elsewhere.destination)
    intake = Intake(insertion, settings, statistics, clock)
    admission = Admission(settings.ingest_bytes_max)
    maintenance = Maintenance(partitions, settings, statistics)
    statistics.database_requests_waiting.set_function(lambda: database.requests_waiting)
    statistics.ingest_bytes.set_function(lambda: admission.bytes_held)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        # The last of the server's own metrics needs the loop and the pool.
        async with (
            elsewhere.connected(),
            _maintained(database, maintenance),
            exporting(database_url, settings, statistics),
            self_reporting(intake, components, statistics.registry, settings),
        ):
            yield

    app = DescribedApplication(
        needs_tokens=tokens.is_configured,
        title="NoETL metrics server",
        summary="Takes metrics of NoETL's workers and keeps them in PostgreSQL",
        lifespan=lifespan,
        strict_content_type=False,
    )
    app.state.resources = Resources(
        settings,
        statistics,
        store,
        Pages(store, elsewhere.history, boundaries),
        history_chart,
        series_store,
        partitions,
        components,
        intake,
        admission,
        maintenance,
    )
    _add_routes(app)
    # The last one is the outermost.
    app.add_middleware(BodyLimit, bytes_max=settings.body_bytes_max)
    app.add_middleware(BodyTimeout, seconds_max=settings.body_seconds_max)
    app.add_middleware(Authentication, tokens=tokens)
    app.add_middleware(Observation, statistics=statistics)
    app.add_middleware(RequestLog, is_logging=settings.access_log)
    return app


def _add_routes(app: FastAPI) -> None:
    modules = (
        routes_ingest,
        routes_query,
        routes_series,
        routes_exposition,
        routes_runtime,
        routes_operations,
    )
    routers = [module.router for module in modules]
    for router in routers:
        app.include_router(router)
    install_error_answers(app, [*app.routes, *(route for it in routers for route in it.routes)])


@asynccontextmanager
async def _maintained(database: Database, maintenance: Maintenance) -> AsyncGenerator[None]:
    """Hold the pool open, and look after the partitions, while the block runs."""
    await database.open()
    try:
        await maintenance.start()
        task = asyncio.create_task(maintenance.run_forever())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    finally:
        await database.close()
