"""`python -m server_stub`: the server as a process.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

try:
    import uvicorn
    from psycopg import pq
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    from server_stub.app import create_app
    from server_stub.auth.token_source import TokenSource
    from server_stub.command_line import parse_settings, unknown_variables
    from server_stub.embedded_postgresql.embedded import embedded_database
    from server_stub.errors import ServerError
    from server_stub.postgresql.created import DAYS_AT_ONCE
    from server_stub.postgresql.lock_capacity import check_lock_capacity, lacking_locks
    from server_stub.postgresql.schema import apply_schema
    from server_stub.serving.connection import (
        KEEP_ALIVE_SECONDS,
        ConnectionLimits,
        connection_class,
    )
    from server_stub.serving.connection_counts import ConnectionCounts, WorkerConnections
    from server_stub.serving.listening import (
        certificates,
        check_certificates,
        check_exposure,
        listen,
        log_exposure,
        url_of,
    )
    from server_stub.serving.log_format import install_log
    from server_stub.serving.open_files import room_for_connections
    from server_stub.serving.server import Server
    from server_stub.serving.stop_signals import StopSignals
    from server_stub.serving.worker_processes import WorkerProcesses
    from server_stub.serving.worker_share import share_of
    from server_stub.source_tree import hidden_installation
    from server_stub.statistics import HttpConnectionGauges
except ImportError as error:
    # The SDK alone is installed, without what the server needs beside it.
    sys.exit(f"server_stub: {error}: pip install 'noetl-metrics-sdk[server]'")

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from server_stub.settings import Settings

GRACEFUL_SHUTDOWN_SECONDS = 10
_logger = logging.getLogger("server_stub")


def main() -> int:
    """Run the server with the settings of the command line and the environment."""
    return serve(parse_settings(sys.argv[1:], os.environ))


def serve(settings: Settings) -> int:
    """Run the server until SIGTERM or Ctrl-C; return the process's exit code.

    Args:
        settings: the settings of the operator.
    """
    install_log(settings.log_format)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for variable in unknown_variables(os.environ):
        _logger.warning("%s is no setting and has no effect; --help names all", variable)
    hidden = hidden_installation()
    if hidden is not None:
        _logger.warning(
            "the server runs from the sources in %s, which are not compiled, and not as it is "
            "installed in %s: python -P -m server_stub runs what is installed",
            *hidden,
        )
    stop_signals = StopSignals()
    try:
        with ExitStack() as stack:
            _run(settings, stack, stop_signals)
    except ServerError as error:
        if stop_signals.requested:  # Ctrl-C reaches PostgreSQL's own programs as well
            return 0
        if settings.log_format == "text":
            print(f"server_stub: {error}", file=sys.stderr)  # noqa: T201 - for the operator
        else:
            _logger.critical("%s", error)
        return 1
    return 0


def _run(settings: Settings, stack: ExitStack, stop_signals: StopSignals) -> None:
    # The server listens first, because that fails at once if the port is taken.
    listener = stack.enter_context(listen(settings.host, settings.port))
    check_exposure(settings, listener)
    # The operator hears of wrong certificates and tokens before the server starts a database.
    check_certificates(settings)
    TokenSource(settings, time.monotonic)
    database_url = settings.database_url
    if database_url is None:
        with stop_signals.held():
            database_url = stack.enter_context(_embedded(settings))
    else:
        apply_schema(database_url)
        check_lock_capacity(database_url, settings, DAYS_AT_ONCE.days)
    print(f"server_stub database: {_without_password(database_url)}", flush=True)  # noqa: T201
    url = url_of(settings, listener)
    log_exposure(settings, listener)

    def say_ready() -> None:
        print(f"server_stub ready at {url}", flush=True)  # noqa: T201 - the interface

    counts = ConnectionCounts(settings.workers, room_for_connections(settings.connections_max))

    def serve_as_worker(
        number: int, on_alive: Callable[[], None], on_ready: Callable[[], None] | None = None
    ) -> None:
        connections = WorkerConnections(counts, number)
        config = _uvicorn_config(database_url, share_of(settings), connections)
        server = Server(config, on_ready or on_alive, on_alive, stop_signals, _limits_of(settings))
        server.run(sockets=[listener])

    with stop_signals.held():
        if settings.workers == 1:
            serve_as_worker(0, lambda: None, say_ready)
        else:
            workers = WorkerProcesses(
                settings.workers, serve_as_worker, counts.forget, time.monotonic
            )
            workers.run(say_ready, lambda: stop_signals.requested)


def _embedded(settings: Settings) -> AbstractContextManager[str]:
    """Return the embedded database, which has its schema and room for the locks of all days."""

    def prepare(database_url: str) -> int | None:
        apply_schema(database_url)
        return lacking_locks(database_url, settings, DAYS_AT_ONCE.days)

    return embedded_database(settings.data_directory, prepare)


def _limits_of(settings: Settings) -> ConnectionLimits:
    return ConnectionLimits(settings.header_seconds_max, settings.body_seconds_max)


def _uvicorn_config(
    database_url: str, settings: Settings, connections: WorkerConnections
) -> uvicorn.Config:
    app = create_app(database_url, settings)
    app.prepare_routes()
    gauges = HttpConnectionGauges(app.state.resources.statistics.registry)
    gauges.now.set_function(connections.open_count)
    gauges.max.set(connections.counts.connections_max)
    return uvicorn.Config(
        app,
        # A connection that became a web socket would leave the bounds.
        ws="none",
        http=connection_class(_limits_of(settings), connections),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        **certificates(settings),
    )


def _without_password(database_url: str) -> str:
    """Return the database's connection string without its passwords, for psql for example."""
    # libpq marks what a form has to hide: the password, that of the certificate's key, and others.
    secret = {
        option.keyword.decode()
        for option in pq.Conninfo.get_defaults()
        if (option.dispchar or b"").startswith(b"*")
    }
    parts = conninfo_to_dict(database_url)
    shown = {name: str(value) for name, value in parts.items() if name not in secret}
    return make_conninfo(**shown)


if __name__ == "__main__":
    sys.exit(main())
