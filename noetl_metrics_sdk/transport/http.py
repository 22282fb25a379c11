"""The transport to a server: it sends HTTP requests, and returns the answers or raises errors."""

from __future__ import annotations

import codecs
import gzip
import importlib.resources
import json
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from noetl_metrics_sdk.errors import (
    DeliveryError,
    RecoverableError,
    RejectedError,
    RouteMissingError,
)
from noetl_metrics_sdk.model.names import is_runtime_id
from noetl_metrics_sdk.process.fork import reset_store_after_fork
from noetl_metrics_sdk.transport.answers import (
    UNSUPPORTED_MEDIA_TYPE,
    error_of_answer,
    in_one_line,
    object_of_answer,
)
from noetl_metrics_sdk.transport.connections import CONNECTION_ERRORS, http_client
from noetl_metrics_sdk.transport.deadline import Deadline, DeadlineBackend
from noetl_metrics_sdk.transport.lean_httpx import httpx
from noetl_metrics_sdk.transport.protocol import Receipt, Registration
from noetl_metrics_sdk.transport.proxies import environment_proxies
from noetl_metrics_sdk.transport.redirections import (
    REDIRECTIONS_MAX,
    Redirections,
    error_of_redirection,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from noetl_metrics_sdk.queue.wire import Batch

METRICS_PATH = "/api/metrics"
OLDER_METRICS_PATH = "/api/metrics/report"
"""Where NoETL's own servers take batches; they have no other route for it."""
ANSWER_BYTES_MAX = 4 * 1024 * 1024
"""How many bytes an answer has at most, besides what it says of the samples of a batch."""
ANSWER_BYTES_PER_SAMPLE_MAX = 2 * 1024
"""How many bytes an answer may have for each sample: a server may name each with a reason."""
COMPRESS_FROM_BYTES = 1_024
"""From how many bytes on a body is compressed. A smaller one gains nothing from it."""
GZIP_LEVEL = 1
"""The fastest level. Metrics compress tenfold at any level, and the worker needs its CPU itself."""
ANSWER_SECONDS_AFTER_GOODBYE = 0.001
"""How long the answer to a goodbye is waited for: the process is about to end. httpx has no form
for not waiting at all."""
REASONS_MAX = 10
"""How many of a server's reasons for rejected samples are kept for the log."""


class HttpTransport:
    """Speaks to a NoETL server, or to `server_stub`.

    Args:
        server_url: the server's address, like `http://localhost:8082`.
        headers: headers that are sent with every request: credentials, for example.
        monotonic: a monotonic clock, in seconds.
        now: returns the seconds since the epoch, to read a `Retry-After` that is a date.
        ssl_context: checks TLS connections; httpx's own unless given, which is made for a server
            without TLS only if that sends a request on to TLS.
        proxies: the proxy's URL by pattern of URLs; read from the environment unless given.

    Raises:
        ConfigurationError: the environment names a proxy that cannot be used.
    """

    def __init__(
        self,
        server_url: str,
        headers: Mapping[str, str] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        ssl_context: ssl.SSLContext | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        self._monotonic = monotonic
        self._now = now
        self.server_url = server_url.rstrip("/")
        """The server's address, as it was given."""
        self._headers = dict(headers or {})
        self._connections_of_parents: list[httpx.Client] = []
        # Everything that imports modules is done here and not in the delivery thread: if a process
        # is forked while a thread imports a module, the child can never import it. Making the
        # httpx client imports modules. So does the first look-up of a host name, which needs this
        # codec.
        codecs.lookup("idna")
        # So does the first look-up of a resource, by which certifi finds its certificates, if they
        # are loaded later.
        importlib.resources.files("noetl_metrics_sdk").joinpath("py.typed")
        self._ssl_context: Callable[[], ssl.SSLContext] = (
            cache(httpx.create_ssl_context) if ssl_context is None else lambda: ssl_context
        )
        if httpx.URL(server_url).scheme == "https":
            self._ssl_context()
        self._proxies = environment_proxies(server_url) if proxies is None else proxies
        # The URL for the log, without a user name and password.
        self._shown_url = str(httpx.URL(self.server_url).copy_with(userinfo=b""))
        self._connect()
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    def _connect(self) -> None:
        self._server_takes_gzip = False
        self._metrics_path = METRICS_PATH
        # The connection, by its number, on which the other path was tried in vain.
        self._other_path_tried_on = 0
        self._redirections = Redirections()
        self._answer_bytes_max = ANSWER_BYTES_MAX
        self._deadline = Deadline(self._monotonic)
        self._backend = DeadlineBackend(self._deadline)
        self._client = http_client(
            self.server_url,
            {"User-Agent": "noetl-metrics-sdk", **self._headers},
            self._backend,
            self._ssl_context,
            self._proxies,
        )

    def _reset_after_fork(self) -> None:
        # The connections belong to the parent. The child keeps them and does not close them:
        # closing a TLS connection here would end it for the parent too. The child goes on to use
        # the parent's certificates, because loading them takes longer than all the rest, and the
        # parent's proxies, because macOS does not let a forked child read them from the system's
        # settings.
        self._connections_of_parents.append(self._client)
        self._connect()

    def register(self, registration: Registration, timeout: float) -> str:
        """Register a component, and return its runtime id."""
        route = _route(registration, "register")
        described = _described(registration)
        try:
            answer = self._post(route, described, timeout)
        except RejectedError as error:
            if "runtime" in described or "runtime" not in str(error).partition(": ")[2]:
                raise
            # Older NoETL servers register no component without it.
            answer = self._post(route, {**described, "runtime": "python"}, timeout)
        runtime_id = answer.get("runtime_id")
        if isinstance(runtime_id, bool) or not is_runtime_id(str(runtime_id)):
            raise RecoverableError(f"the server answered the runtime_id {runtime_id!r}: no number")
        return str(runtime_id)

    def heartbeat(self, registration: Registration, timeout: float) -> None:
        """Tell the server that the component is alive."""
        self._post(_route(registration, "heartbeat"), _named_process(registration), timeout)

    def goodbye(self, registration: Registration, timeout: float) -> None:
        """Tell the server that this process ends, and do not wait for its answer.

        The request has no body: a server that has its headers has all of it, and can act on it
        though the connection has ended meanwhile. A server without this route answers 404, which
        changes nothing.
        """
        self._deadline.start(timeout)
        # Most often httpx gives up before the answer is there: the request is sent all the same.
        with suppress(*CONNECTION_ERRORS):
            self._client.post(
                self._redirections.url_of("/api/worker/pool/goodbye"),
                params=_named_process(registration),
                timeout=httpx.Timeout(timeout, read=ANSWER_SECONDS_AFTER_GOODBYE),
            )

    def send(self, batch: Batch, runtime_id: str, timeout: float) -> Receipt:
        """Deliver a batch, and return when the server has committed it."""
        body = batch.body(runtime_id)
        headers = {"Idempotency-Key": batch.key, "Content-Type": "application/json"}
        # One request is under way at a time, so the bound is that of this batch.
        of_samples = len(batch.items) * ANSWER_BYTES_PER_SAMPLE_MAX
        self._answer_bytes_max = ANSWER_BYTES_MAX + of_samples
        try:
            answer, bytes_sent = self._report(body, headers, timeout)
        finally:
            self._answer_bytes_max = ANSWER_BYTES_MAX
        return Receipt(
            inserted=_count(answer, "metrics_inserted"),
            rejected=_count(answer, "metrics_rejected"),
            reasons=_reasons(answer),
            duplicate=answer.get("status") == "duplicate",
            bytes_sent=bytes_sent,
        )

    def _report(
        self, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> tuple[dict[str, Any], int]:
        """Send a batch by the path that this server has; return its answer and the bytes sent.

        If the server has no such route, the other path is tried, once for a connection.
        """
        try:
            return self._report_at(self._metrics_path, body, headers, timeout)
        except RouteMissingError as missing:
            if self._other_path_tried_on == self._backend.connections_made:
                raise
            other_path = OLDER_METRICS_PATH if self._metrics_path == METRICS_PATH else METRICS_PATH
            try:
                answered = self._report_at(other_path, body, headers, self._deadline.left())
            except (RouteMissingError, TimeoutError):
                self._other_path_tried_on = self._backend.connections_made
                raise missing from None
            except DeliveryError as error:
                if error.status is not None:  # the route is there, whatever it says
                    self._metrics_path = other_path
                raise
        self._metrics_path = other_path
        return answered

    def _report_at(
        self, path: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> tuple[dict[str, Any], int]:
        # RFC 7694: a server says in a response which encodings it takes in a request.
        if not self._server_takes_gzip or len(body) < COMPRESS_FROM_BYTES:
            return self._request(path, body, headers, timeout), len(body)
        body = gzip.compress(body, GZIP_LEVEL)
        try:
            answer = self._request(path, body, {**headers, "Content-Encoding": "gzip"}, timeout)
        except (RecoverableError, RejectedError) as error:
            # Another server may answer now than the one that offered to take gzip. To that server
            # the body is no JSON.
            is_about_gzip = isinstance(error, RejectedError) and not self._server_takes_gzip
            if error.status != UNSUPPORTED_MEDIA_TYPE and not is_about_gzip:
                raise
            self._server_takes_gzip = False
            raise RecoverableError(f"without compression next: {error}", error.status) from error
        return answer, len(body)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, path: str, body: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        return self._request(path, json.dumps(body).encode(), headers, timeout)

    def _request(
        self, path: str, body: bytes, headers: Mapping[str, str], timeout: float
    ) -> dict[str, Any]:
        self._deadline.start(timeout)
        shown = f"POST {self._shown_url}{path}"
        response, content = self._exchange(
            self._redirections.url_of(path), body, headers, timeout, shown
        )
        for _ in range(REDIRECTIONS_MAX):
            next_url = self._redirections.next_url(
                path, str(response.request.url), response.status_code,
                response.headers.get("Location"),
            )  # fmt: skip
            if next_url is None:
                break
            response, content = self._exchange(next_url, body, headers, timeout, shown)
        if path == self._metrics_path:  # the other routes take no compressed bodies
            accepted = response.headers.get("Accept-Encoding", "")
            self._server_takes_gzip = "gzip" in accepted.lower()
        if response.has_redirect_location:
            self._redirections.forget()
            raise error_of_redirection(
                shown, str(response.request.url), response.status_code,
                response.headers["Location"],
            )  # fmt: skip
        sender = response.headers.get("Server", "")
        if not response.is_success:
            raise error_of_answer(
                response.status_code,
                content,
                shown,
                retry_after_seconds(response.headers.get("Retry-After"), self._now()),
                sender,
            )
        return object_of_answer(content, shown, sender)

    def _exchange(
        self, url: str, body: bytes, headers: Mapping[str, str], timeout: float, shown: str
    ) -> tuple[httpx.Response, bytes]:
        try:
            with self._client.stream(
                "POST", url, content=body, headers=headers, timeout=timeout
            ) as response:
                return response, self._read(response)
        except CONNECTION_ERRORS as error:
            self._redirections.forget()
            raise RecoverableError(f"{shown}: {_described_error(error)}") from error

    def _read(self, response: httpx.Response) -> bytes:
        chunks: list[bytes] = []
        size = 0
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > self._answer_bytes_max:
                # With the status: if the server answers other batches, they need not wait for it.
                raise RecoverableError(
                    f"the server's answer exceeds {self._answer_bytes_max} bytes",
                    response.status_code,
                )
            self._deadline.left()  # one read may hold many chunks
            chunks.append(chunk)
        return b"".join(chunks)


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Return the time that a `Retry-After` header asks for, in either form (RFC 9110, 10.2.3).

    Args:
        header: the header's value: seconds, or an HTTP date; None if there is no header.
        now: the current time, in seconds since the epoch.

    Returns:
        Seconds from now, at least 0; None if there is no header, or if it is not valid.
    """
    if header is None:
        return None
    text = header.strip()
    if text.isdecimal() and text.isascii():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _route(registration: Registration, action: str) -> str:
    of_worker_pool = registration.component_type == "worker_pool" or action == "heartbeat"
    return f"/api/{'worker/pool' if of_worker_pool else 'runtime'}/{action}"


def _described(registration: Registration) -> dict[str, Any]:
    described = {
        "name": registration.name,
        "kind": registration.component_type,
        "runtime": registration.runtime,
        "uri": registration.uri,
        "labels": dict(registration.labels),
        "pid": registration.pid,
        "hostname": registration.hostname,
        "meta": dict(registration.meta),
        **_described_process(registration),
    }
    return {name: value for name, value in described.items() if value}


def _named_process(registration: Registration) -> dict[str, Any]:
    return {
        "name": registration.name,
        "kind": registration.component_type,
        **_described_process(registration),
    }


def _described_process(registration: Registration) -> dict[str, Any]:
    """Return what tells of this process; a NoETL server knows none of it, and passes it over."""
    if not registration.worker_id:
        return {}
    return {
        "worker_id": registration.worker_id,
        "hostname": registration.hostname,
        "pid": registration.pid,
        "started_at": registration.started_at,
        "heartbeat_interval": registration.heartbeat_interval,
        "sdk_version": registration.sdk_version,
    }


def _count(answer: Mapping[str, Any], field: str) -> int:
    value = answer.get(field, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise RecoverableError(f"the server answered {field}={value!r}: no count")
    return value


def _reasons(answer: Mapping[str, Any]) -> tuple[str, ...]:
    errors: object = answer.get("errors")
    if not isinstance(errors, list):
        return ()
    named = cast("list[object]", errors)[:REASONS_MAX]
    return tuple(
        in_one_line(str(cast("dict[str, object]", e).get("reason")))
        for e in named
        if isinstance(e, dict)
    )


def _described_error(error: Exception) -> str:
    # Some errors of httpx have no text of their own.
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
