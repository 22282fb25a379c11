"""The application: its routes, and what lives as long as it does.

Why so: docs/decisions/layout.md.
"""

from __future__ import annotations

import contextlib
import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import Depends

from server_stub.auth.token_source import TokenSource
from server_stub.background import running
from server_stub.catalog.label_history import LabelHistory
from server_stub.catalog.labels import Labels
from server_stub.catalog.metric_names import MetricNames
from server_stub.components.deletion import Deletions
from server_stub.components.store import Components
from server_stub.components.sweeping import Sweeping
from server_stub.export.background import exporting
from server_stub.export.state import ExportReport, ExportState
from server_stub.exposition.known_pages import KEPT_SHARE, KnownPages
from server_stub.ingest.admission import Admission
from server_stub.ingest.compression import ACCEPTED_ENCODING
from server_stub.ingest.insertion import Insertion
from server_stub.ingest.intake import Intake
from server_stub.ingest.receiver_destination import ReceiverDestination
from server_stub.ingest.row_encoding import TimeBounds
from server_stub.ingest.series_alarm import SeriesAlarm
from server_stub.ingest.series_table import SeriesLimits, SeriesTable
from server_stub.ingest.table_destination import TableDestination
from server_stub.postgresql.database import Database
from server_stub.postgresql.maintenance import Maintenance
from server_stub.postgresql.partitions import Partitions
from server_stub.postgresql.readiness import Readiness
from server_stub.postgresql.session import TimeOuts
from server_stub.postgresql.stored_days import StoredDaysReader
from server_stub.query.boundary import Boundaries
from server_stub.query.descriptions import Descriptions
from server_stub.query.history_samples import HistorySamples
from server_stub.query.latest import LatestSamples
from server_stub.query.pages import Pages
from server_stub.query.recent_rows import RecentRows
from server_stub.query.series import SeriesReader
from server_stub.routes import (
    catalog,
    components,
    exposition,
    ingest,
    operations,
    pages,
    query,
    series,
    storage,
)
from server_stub.routes.resources import Resources
from server_stub.self_reporting import self_reporting
from server_stub.statistics import Statistics
from server_stub.time_series_database.endpoints import time_series_database
from server_stub.time_series_database.families import KnownFamilies
from server_stub.web.authentication import Authentication
from server_stub.web.body_bounds import BodyLimit, BodyTimeout
from server_stub.web.description import DescribedApplication
from server_stub.web.foreign_pages import ForeignPages
from server_stub.web.framing import Framing
from server_stub.web.head import Head
from server_stub.web.observation import Observation
from server_stub.web.page_files import PageFiles
from server_stub.web.relative_redirects import RelativeRedirects
from server_stub.web.repeated_parameters import refuse_repeated_parameters
from server_stub.web.request_log import RequestLog
from server_stub.web.responses import install_error_answers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from fastapi import FastAPI

    from server_stub.settings import Settings
    from server_stub.time_series_database.receiver import Receiver


def _utc_now() -> datetime:
    return datetime.now(UTC)


def create_app(
    database_url: str,
    settings: Settings,
    clock: Callable[[], datetime] = _utc_now,
    *,
    reports_itself: bool = True,
) -> DescribedApplication:
    """Return the application.

    Args:
        database_url: the URL of the database, which has its schema (`schema.apply_schema`).
        settings: the limits and intervals.
        clock: returns the time for samples that have none of their own. Partitions and retention
            go by the database's clock.
        reports_itself: whether the server stores its own metrics, which it does at moments of its
            own choosing.

    Raises:
        StartupError: the tokens cannot be used.
    """
    tokens = TokenSource(settings, time.monotonic)
    resources = _resources(database_url, settings, clock)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with _running(database_url, settings, resources, reports_itself=reports_itself):
            yield

    app = DescribedApplication(
        needs_tokens=tokens.is_configured,
        title="NoETL metrics server",
        summary="Takes metrics of NoETL's workers and keeps them in PostgreSQL",
        lifespan=lifespan,
        strict_content_type=False,
    )
    app.state.resources = resources
    _add_routes(app)
    # The middleware that is added last is the outermost.
    app.add_middleware(Head)
    app.add_middleware(RelativeRedirects)
    app.add_middleware(BodyLimit, bytes_max=settings.body_bytes_max)
    app.add_middleware(BodyTimeout, seconds_max=settings.body_seconds_max)
    app.add_middleware(Authentication, tokens=tokens)
    if not tokens.is_configured:
        own_host = None if settings.allow_anonymous else settings.host
        app.add_middleware(ForeignPages, own_host=own_host)
    app.add_middleware(Framing)
    app.add_middleware(
        Observation, accepted_encoding=ACCEPTED_ENCODING, statistics=resources.statistics
    )
    app.add_middleware(RequestLog, is_logging=settings.access_log)
    return app


def _resources(database_url: str, settings: Settings, clock: Callable[[], datetime]) -> Resources:
    """Return the objects that the routes use, wired together; none of them is connected yet."""
    statistics = Statistics()
    time_outs = TimeOuts(settings.lock_timeout_seconds, settings.statement_timeout_seconds)
    database = Database(database_url, settings.pool_size, time_outs)
    elsewhere = time_series_database(settings)
    families = KnownFamilies(database)
    boundaries = Boundaries(settings)
    history_samples = HistorySamples(families, elsewhere.history, boundaries)
    label_history = LabelHistory(families, elsewhere.history, boundaries)
    partitions = Partitions(database, settings)
    insertion = _insertion(database, partitions, settings, elsewhere.receiver, statistics)
    admission = Admission(settings.ingest_bytes_max, time.monotonic)
    export_report = ExportReport()
    _watch_connections(database, settings, statistics)
    statistics.ingest_bytes.set_function(lambda: admission.bytes_held)
    statistics.ingest_bytes_max.set(settings.ingest_bytes_max)
    return Resources(
        settings=settings,
        statistics=statistics,
        database=database,
        time_series_database=elsewhere,
        pages=Pages(RecentRows(database, settings), elsewhere.history, families, boundaries),
        latest_samples=LatestSamples(database, settings, elsewhere.history, families),
        known_pages=KnownPages(settings.exposition_bytes_max // KEPT_SHARE),
        series=SeriesReader(database, settings, history_samples),
        descriptions=Descriptions(database, settings),
        metric_names=MetricNames(database, settings),
        labels=Labels(database, settings, label_history),
        partitions=partitions,
        readiness=Readiness(database, partitions, time.monotonic),
        stored_days=StoredDaysReader(database),
        components=Components(database, statistics),
        deletions=Deletions(database),
        intake=Intake(insertion, settings, statistics, clock),
        admission=admission,
        maintenance=Maintenance(partitions, settings, statistics),
        export_report=export_report,
        export_state=ExportState(database, settings, export_report),
        page_files=PageFiles(),
    )


def _watch_connections(database: Database, settings: Settings, statistics: Statistics) -> None:
    gauges = statistics.database_connections
    gauges.requests_waiting.set_function(lambda: database.requests_waiting)
    gauges.in_use.labels("queries").set_function(lambda: database.connection_use().queries)
    gauges.in_use.labels("others").set_function(lambda: database.connection_use().others)
    gauges.open.set_function(lambda: database.connection_use().open)
    gauges.max.labels("queries").set(database.queries_max)
    gauges.max.labels("others").set(settings.pool_size)


def _insertion(
    database: Database,
    partitions: Partitions,
    settings: Settings,
    receiver: Receiver | None,
    statistics: Statistics,
) -> Insertion:
    limits = SeriesLimits(
        settings.labels_max, settings.text_length_max, settings.series_per_process_max
    )
    series_table = SeriesTable(limits, SeriesAlarm(time.monotonic).note)
    statistics.process_series_ratio.set_function(series_table.fullest_ratio)
    bounds = TimeBounds(settings.sample_age_seconds_max, settings.sample_ahead_seconds)
    destination = (
        TableDestination() if receiver is None else ReceiverDestination(receiver, statistics.export)
    )
    return Insertion(database, partitions, series_table, bounds, destination)


@asynccontextmanager
async def _running(
    database_url: str, settings: Settings, resources: Resources, *, reports_itself: bool
) -> AsyncGenerator[None]:
    """Hold the connections open, and run the background tasks, while the block runs."""
    statistics = resources.statistics
    sweeps = Sweeping(resources.database, settings, statistics, time.monotonic)
    # Self-reporting ends first: its last batch needs the loop and the pool.
    async with (
        resources.time_series_database.connected(),
        _maintained(resources.database, resources.maintenance),
        running(sweeps.run_forever()),
        exporting(
            database_url,
            settings,
            statistics,
            resources.export_report,
            resources.admission.seconds_held,
        ),
        self_reporting(resources.intake, resources.components, statistics.registry, settings)
        if reports_itself
        else contextlib.nullcontext(),
    ):
        yield


def _add_routes(app: FastAPI) -> None:
    # FastAPI tries one after the other: those come first that workers call all the time.
    modules = (
        ingest, components, query, series, catalog, exposition, operations, storage, pages,
    )  # fmt: skip
    routers = [module.router for module in modules]
    for router in routers:
        # A batch has no query parameters, and need not wait for a look at them.
        checks = [] if router is ingest.router else [Depends(refuse_repeated_parameters)]
        app.include_router(router, dependencies=checks)
    install_error_answers(app, [*app.routes, *(route for it in routers for route in it.routes)])


@asynccontextmanager
async def _maintained(database: Database, maintenance: Maintenance) -> AsyncGenerator[None]:
    """Hold the pool open, and look after the partitions, while the block runs."""
    await database.open()
    try:
        await maintenance.start()
        async with running(maintenance.run_forever()):
            yield
    finally:
        await database.close()
