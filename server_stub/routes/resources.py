"""The objects that the routes use, made once for each running server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, Request

if TYPE_CHECKING:
    from server_stub.catalog.labels import Labels
    from server_stub.catalog.metric_names import MetricNames
    from server_stub.components.deletion import Deletions
    from server_stub.components.store import Components
    from server_stub.export.state import ExportReport, ExportState
    from server_stub.exposition.known_pages import KnownPages
    from server_stub.ingest.admission import Admission
    from server_stub.ingest.intake import Intake
    from server_stub.postgresql.database import Database
    from server_stub.postgresql.maintenance import Maintenance
    from server_stub.postgresql.partitions import Partitions
    from server_stub.postgresql.readiness import Readiness
    from server_stub.postgresql.stored_days import StoredDaysReader
    from server_stub.query.descriptions import Descriptions
    from server_stub.query.latest import LatestSamples
    from server_stub.query.pages import Pages
    from server_stub.query.series import SeriesReader
    from server_stub.settings import Settings
    from server_stub.statistics import Statistics
    from server_stub.time_series_database.endpoints import TimeSeriesDatabase
    from server_stub.web.page_files import PageFiles


@dataclass(frozen=True, slots=True)
class Resources:
    """The objects that live as long as the server does."""

    settings: Settings
    statistics: Statistics
    database: Database
    time_series_database: TimeSeriesDatabase
    pages: Pages
    latest_samples: LatestSamples
    known_pages: KnownPages
    series: SeriesReader
    descriptions: Descriptions
    metric_names: MetricNames
    labels: Labels
    partitions: Partitions
    readiness: Readiness
    stored_days: StoredDaysReader
    components: Components
    deletions: Deletions
    intake: Intake
    admission: Admission
    maintenance: Maintenance
    export_report: ExportReport
    export_state: ExportState
    page_files: PageFiles


async def resources_of(request: Request) -> Resources:
    """Return the resources of the server that a request came to."""
    # This is a coroutine, because FastAPI runs plain functions in a thread.
    return cast("Resources", request.app.state.resources)


Server = Annotated[Resources, Depends(resources_of)]
"""The parameter that gives a route the resources."""
