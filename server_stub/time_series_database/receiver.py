"""The time-series database that metrics are written to, by Prometheus remote write.

The receiver acknowledges samples, refuses them for good, or has to get them again; a table here
tells which from the status. The server asks for the version of the protocol by a request without
samples: a receiver of 2.0 says how many samples it has written, and a receiver that does not know
2.0 may take such a request for an empty one.

Why so: docs/decisions/export.md.
"""

from __future__ import annotations

import asyncio
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from noetl_metrics_sdk.transport.http import retry_after_seconds
from server_stub.errors import ReceiverRefusedError, ReceiverUnavailableError
from server_stub.time_series_database.assembly import Assembled
from server_stub.time_series_database.connections import database_client
from server_stub.time_series_database.requests import CONTENT_TYPES, VERSIONS, encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from server_stub.time_series_database.known_series import Family

REQUEST_SECONDS = 15.0
"""How long the server waits for an answer; it is shorter than a transaction may be idle."""

_REFUSALS = frozenset({
    HTTPStatus.BAD_REQUEST,  # Prometheus and Mimir: out of order, too old, too far in the future
    HTTPStatus.CONFLICT,  # Thanos: out of order
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
})  # fmt: skip
"""The statuses that speak of samples. All others speak of the request, or of the receiver's state:
a wrong URL or password must not cost a sample."""

REFUSALS_UNQUESTIONED = 100
"""The server checks the first refusal of so many: is it about the samples, or about any request?"""

WRITTEN_HEADER = "X-Prometheus-Remote-Write-Samples-Written"
SHOWN_CHARACTERS_MAX = 300

SHORT_CONNECTIONS_MAX = 3
"""How many connections may end after their first answer in a row and count as a receiver's death.
After that it is a habit."""

NOTHING = Assembled([], [], [], [], 0, 0)

_logger = logging.getLogger(__name__)


class Receiver:
    """Writes to a time-series database.

    Args:
        url: where it takes remote write.
        headers: sent with every request.
        version: the version of the protocol, `1.0` or `2.0`; `auto` takes the newest that the
            receiver knows.
        transport: used in place of the network, in tests.
        connections_max: how many requests may be under way at once.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        version: str = "auto",
        transport: httpx.AsyncBaseTransport | None = None,
        connections_max: int = 1,
    ) -> None:
        self._url = url
        self._wanted = version
        self._version: str | None = None
        self._refusals = 0  # since it has taken something
        self._ending = _Ending()
        self.interruptions = 1
        """How often the receiver may have been restarted. It may have been before the first
        request, when a connection ended unexpectedly, when a request failed, and when it answered
        with an error of its own. What it acknowledged shortly before may not have reached its
        disk."""
        self._client = database_client(
            url,
            headers,
            REQUEST_SECONDS,
            transport,
            # A connection is kept until the receiver ends it: a new one may be to another process.
            httpx.Limits(max_connections=connections_max, keepalive_expiry=None),
        )

    async def close(self) -> None:
        """Close its connections."""
        await self._client.aclose()

    async def write(self, assembled: Assembled, families: Sequence[Family] = ()) -> None:
        """Write samples; return when the receiver has acknowledged them.

        Args:
            assembled: the samples.
            families: the families of their names that the receiver is told.

        Raises:
            ReceiverRefusedError: the receiver takes none or not all of the samples, and never will.
            ReceiverUnavailableError: it is away or busy, or takes no remote write at all.
        """
        if self._version is None:
            self._version = await self._negotiate()
            _logger.info("metrics are written by remote write %s", self._version)
        answer = await self._post(assembled, self._version, families)
        if answer.status_code in _REFUSALS:
            if self._refusals % REFUSALS_UNQUESTIONED == 0:
                # If the other side refuses a request without samples too, it is no receiver.
                await self._negotiate()
            self._refusals += 1
            raise ReceiverRefusedError(_shown(answer))
        if answer.is_error or answer.is_redirect:
            raise _unavailable(answer)
        self._refusals = 0
        written = answer.headers.get(WRITTEN_HEADER)
        if self._version == "2.0" and written != str(assembled.samples):
            self._version = None
            raise ReceiverUnavailableError(
                f"it answered {answer.status_code} and says that it has written "
                f"{written or 'nothing'} of {assembled.samples} samples"
            )

    async def _negotiate(self) -> str:
        if self._wanted != "1.0":
            answer = await self._post(NOTHING, "2.0", ())
            if answer.is_success and WRITTEN_HEADER in answer.headers:
                return "2.0"
            if self._wanted == "2.0":
                raise _unavailable(answer)
        answer = await self._post(NOTHING, "1.0", ())
        if answer.is_success:
            return "1.0"
        raise _unavailable(answer)

    async def _post(
        self, assembled: Assembled, version: str, families: Sequence[Family]
    ) -> httpx.Response:
        # The event loop and other threads have their turn meanwhile.
        content = await asyncio.to_thread(encode, assembled, version, families)
        try:
            answer = await self._client.post(
                self._url,
                content=content,
                headers={
                    "Content-Type": CONTENT_TYPES[version],
                    "Content-Encoding": "snappy",
                    "X-Prometheus-Remote-Write-Version": VERSIONS[version],
                },
                extensions={"trace": self._trace},
            )
        except httpx.HTTPError as error:
            self.interruptions += 1
            raise ReceiverUnavailableError(
                f"it cannot be reached: {error or type(error).__name__}"
            ) from error
        self._ending.note(answer)
        if answer.is_server_error:
            self.interruptions += 1
        return answer

    async def _trace(self, event: str, _: dict[str, Any]) -> None:
        # https://www.encode.io/httpcore/extensions/#trace
        if event == "connection.connect_tcp.started" and not self._ending.is_expected():
            self.interruptions += 1


class _Ending:
    """Tells whether the end of a connection was to be expected, or may be a receiver's death.

    It is announced by `Connection: close`, and by HTTP/1.0 without `keep-alive`. A receiver, or a
    proxy before it, may also have the habit to end each connection after its first answer.
    """

    def __init__(self) -> None:
        self._is_announced = False
        self._answers = 0
        self._short_in_a_row = 0

    def note(self, answer: httpx.Response) -> None:
        """Note an answer of the connection."""
        options = {text.strip() for text in answer.headers.get("Connection", "").lower().split(",")}
        is_kept = answer.http_version != "HTTP/1.0" or "keep-alive" in options
        self._is_announced = "close" in options or not is_kept
        self._answers += 1
        if answer.is_server_error:
            self._short_in_a_row = 0

    def is_expected(self) -> bool:
        """Return whether the end of the last connection was expected; a new one begins now."""
        self._short_in_a_row = self._short_in_a_row + 1 if self._answers == 1 else 0
        self._answers = 0
        return self._is_announced or self._short_in_a_row > SHORT_CONNECTIONS_MAX


def _unavailable(answer: httpx.Response) -> ReceiverUnavailableError:
    return ReceiverUnavailableError(
        f"it does not take remote write now: {_shown(answer)}",
        retry_after_seconds(answer.headers.get("Retry-After"), time.time()),
    )


def _shown(answer: httpx.Response) -> str:
    text = " ".join(answer.text.split())[:SHOWN_CHARACTERS_MAX]
    return f"{answer.status_code} {answer.reason_phrase}" + (f": {text}" if text else "")
