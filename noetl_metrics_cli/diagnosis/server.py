"""Checks of a server over HTTP: whether it is there and ready, its clock, token, partitions."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from noetl_metrics_cli.api.connection import TOKEN_VARIABLE, URL_VARIABLE
from noetl_metrics_cli.diagnosis.finding import clock_finding, failure, ok, skipped, warning
from noetl_metrics_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Generator

    from noetl_metrics_cli.api.connection import Connection
    from noetl_metrics_cli.diagnosis.finding import Finding

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_UNAUTHORIZED = 401
_FORBIDDEN = 403
_OVERDUE_SECONDS = 3600.0
"""The maintenance comes every ten minutes, and a drop may fail a few times."""

_SCOPES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "write": ("POST", "/api/metrics", {"json": []}),
    "read": ("GET", "/api/runtime", {}),
    # There is no such id: a token with this scope gets another error than one without.
    "admin": ("DELETE", "/api/runtime/none", {}),
}
"""Requests that change nothing, and that need a scope."""


def check_server(server: Connection, *, has_token: bool) -> Generator[Finding]:
    """Yield what is found at a server.

    Args:
        server: the server.
        has_token: whether this command sends a token.
    """
    try:
        before = time.time()
        alive = server.ask("GET", "/healthz")
        now = (before + time.time()) / 2
    except CommandError as error:
        yield failure("server", str(error), f"{URL_VARIABLE} or --server has to name it")
        return
    if alive.body != {"status": "ok"}:
        yield failure(
            "server",
            f"{server.url} answers {alive.status} without a word of a metrics server",
            f"{URL_VARIABLE} or --server has to name one, and a proxy has to pass its paths on",
        )
        return
    yield ok("server", f"{server.url} answers")
    yield from _clock(alive.headers.get("Date"), now)
    ready = server.ask("GET", "/readyz")
    if ready.is_success:
        yield ok("ready", "the database takes writes, and has the partitions of two days")
    else:
        yield failure(
            "ready", ready.detail, "the server's log and the checks of the database say more"
        )
    yield from _token(server, has_token=has_token)
    yield from _partitions(server)
    yield from _export(server)
    yield _version(server)


def _clock(date: str | None, now: float) -> Generator[Finding]:
    try:
        # The header has whole seconds.
        server_time = parsedate_to_datetime(date or "").timestamp() + 0.5
    except ValueError:
        yield skipped("clock", "the answer has no time")
        return
    yield clock_finding("clock", "the server's", server_time - now)


def _token(server: Connection, *, has_token: bool) -> Generator[Finding]:
    answers = {
        scope: server.ask(method, path, **options)
        for scope, (method, path, options) in _SCOPES.items()
    }
    may = [
        scope
        for scope, answer in answers.items()
        if answer.status not in {_UNAUTHORIZED, _FORBIDDEN}
    ]
    refused = next((one for one in answers.values() if one.status == _UNAUTHORIZED), None)
    host = urlsplit(server.url).hostname or ""
    if refused is not None:
        yield failure(
            "token",
            refused.detail,
            f"put a token into {TOKEN_VARIABLE}; noetl-metrics token new makes one",
        )
    elif not has_token:
        to_do = "" if host in _LOOPBACK else "give it a --token-file, unless a proxy asks for one"
        state = ok if host in _LOOPBACK else warning
        yield state("token", "the server lets every caller in", to_do)
    elif server.url.startswith("http:") and host not in _LOOPBACK:
        yield warning(
            "token",
            f"it may {', '.join(may)}, and it crosses the network as plain text",
            "use https: give the server --tls-certificate, or put it behind a proxy",
        )
    else:
        yield ok("token", f"it may {', '.join(may) or 'do nothing'}")


def _partitions(server: Connection) -> Generator[Finding]:
    answer = server.ask("GET", "/api/metrics/partitions")
    if not answer.is_success:
        yield skipped("partitions", f"the server answers {answer.status}: {answer.detail}")
        return
    stored: dict[str, Any] = answer.body
    if stored["missing"]:
        yield failure(
            "partitions",
            f"there is no partition of {', '.join(stored['missing'])}",
            "POST /api/metrics/partitions/create makes it, or says what stands in its way",
        )
    if stored["detaching"]:
        yield failure(
            "partitions",
            f"{', '.join(stored['detaching'])} is half detached, and no row can be inserted",
            "GET /readyz has the command that completes it",
        )
    now = datetime.now(UTC)
    overdue = [one["name"] for one in stored["partitions"] if _is_overdue(one, now)]
    if overdue:
        yield warning(
            "retention",
            f"{', '.join(overdue[:3])}{' and others' if len(overdue) > 3 else ''} should be gone",  # noqa: PLR2004
            "an export may wait for it, or see the log; --database-url lists who has a lock",
        )
    else:
        yield ok("retention", f"{len(stored['partitions'])} days are there, none of them overdue")


def _is_overdue(partition: dict[str, Any], now: datetime) -> bool:
    drops_at = partition["drops_at_latest"] or partition["drops_at"]
    if drops_at is None:
        return False
    return (now - datetime.fromisoformat(drops_at)).total_seconds() > _OVERDUE_SECONDS


def _export(server: Connection) -> Generator[Finding]:
    answer = server.ask("GET", "/api/metrics/export")
    if not answer.is_success or not answer.body["configured"]:
        return
    lag = answer.body["lag_seconds"] or 0.0
    if answer.body["failing"]:
        yield failure(
            "export",
            f"it fails, and is {lag:.0f} s behind: {answer.body['last_error']}",
            "look at the time-series database; what has to wait is kept for --export-hold-days",
        )
    else:
        yield ok("export", f"it is {lag:.0f} s behind")


def _version(server: Connection) -> Finding:
    answer = server.ask("GET", "/api/version")
    if not answer.is_success:
        return skipped("version", f"the server answers {answer.status}: {answer.detail}")
    build = "compiled" if answer.body["compiled"] else "interpreted"
    postgresql = answer.body["postgresql"]
    of_database = "" if postgresql is None else f", PostgreSQL {postgresql}"
    return ok(
        "version",
        f"{answer.body['version']} ({build}), Python {answer.body['python']}{of_database}",
    )
