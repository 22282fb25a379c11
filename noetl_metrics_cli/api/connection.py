"""Requests to a server, with the client's environment variables: the only importer of httpx."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from noetl_metrics_cli.errors import UNREACHABLE, USAGE, CommandError
from noetl_metrics_sdk.client.environment import config_from_environment, environment_variable
from noetl_metrics_sdk.client.server_url import shown_url
from noetl_metrics_sdk.errors import ConfigurationError
from noetl_metrics_sdk.transport.connections import make_ssl_context

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

URL_VARIABLE = environment_variable("server_url")
TOKEN_VARIABLE = environment_variable("token")
URL_DEFAULT = "http://localhost:8082"
TIMEOUT_SECONDS = 60.0
"""Above the half minute after which a server gives up a statement of its database."""

# What a command takes of the settings of a client.
_SETTINGS = ("server_url", "headers", "token", "tls_ca", "tls_certificate", "tls_key")
_SERVER_ERROR_MIN = 500
_UNAUTHORIZED = 401
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the server: its status, its headers, and its body as JSON.

    `detail` is what the server says of an error, in one line.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    detail: str

    @property
    def is_success(self) -> bool:
        """Whether the server did what it was asked to."""
        return 200 <= self.status < 300  # noqa: PLR2004 - as RFC 9110 divides them


class Connection:
    """The way to a server.

    Args:
        client: sends the requests.
        url: the server's address, as messages show it.
    """

    def __init__(self, client: httpx.Client, url: str) -> None:
        self._client = client
        self.url = url

    def get(self, path: str, **parameters: object) -> Any:
        """Return the body of an answer; parameters that are None are left out.

        Raises:
            CommandError: the server does not answer, or answers with an error.
        """
        given = {name: str(value) for name, value in parameters.items() if value is not None}
        return self._accepted("GET", path, self.ask("GET", path, params=given))

    def send(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Return the body of the answer to a request that changes something.

        Raises:
            CommandError: the server does not answer, or answers with an error.
        """
        return self._accepted(method, path, self.ask(method, path, json=body, headers=headers))

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Return the answer to a request, whatever its status is.

        Raises:
            CommandError: the server does not answer.
        """
        try:
            response = self._request(method, path, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise CommandError(
                f"{self.url} does not answer ({reason}): start the server, or name another one by "
                f"--server or {URL_VARIABLE}",
                UNREACHABLE,
            ) from error
        try:
            body: Any = response.json()
        except ValueError:
            body = None
        return Answer(response.status_code, response.headers, body, _detail(response, body))

    def _request(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **options)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            # A server may close a connection at the moment at which it is used once more.
            if method != "GET":
                raise
            return self._client.request(method, path, **options)

    def _accepted(self, method: str, path: str, answer: Answer) -> Any:
        if not answer.is_success:
            raise self.error(method, path, answer)
        if answer.body is None:
            raise CommandError(f"{self.url} answers {path} without JSON: is it a metrics server?")
        return answer.body

    def error(self, method: str, path: str, answer: Answer) -> CommandError:
        """Return the error that an answer means for a command."""
        said = f"{self.url} answers {answer.status}: {answer.detail}"
        if answer.status == _UNAUTHORIZED:
            said += f" (a token belongs in {TOKEN_VARIABLE}; noetl-metrics token new makes one)"
        if answer.status == _NOT_FOUND and "there is no route" in answer.detail:
            said += f" (the server is too old for {method} {path})"
        return CommandError(said, UNREACHABLE if answer.status >= _SERVER_ERROR_MIN else 1)


@contextmanager
def connected(
    server_url: str | None,
    environment: Mapping[str, str],
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Generator[Connection]:
    """Hold the way to a server open while the block runs.

    Args:
        server_url: its address, or None for the one of the environment.
        environment: the environment variables: those of the client for the address, the token, the
            headers and TLS.
        timeout_seconds: how long to wait for an answer.

    Raises:
        CommandError: a variable is not valid; the message names it.
    """
    variables = {environment_variable(name) for name in _SETTINGS}
    given = {name: text for name, text in environment.items() if name in variables}
    if server_url is not None:
        given[URL_VARIABLE] = server_url
    # A client has to have a name.
    given[environment_variable("component_name")] = "noetl-metrics"
    try:
        config = config_from_environment(given)
        ssl_context = make_ssl_context(config.tls_ca, config.tls_certificate, config.tls_key)
    except ConfigurationError as error:
        raise CommandError(str(error), USAGE) from error
    headers = {"User-Agent": "noetl-metrics", **config.headers}
    if config.token is not None:
        headers["Authorization"] = f"Bearer {config.token.get_secret_value()}"
    url = config.server_url or URL_DEFAULT
    try:
        client = httpx.Client(
            base_url=url, headers=headers, verify=ssl_context, timeout=timeout_seconds
        )
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        raise CommandError(f"the environment names a proxy that is not valid: {error}") from error
    with client:
        yield Connection(client, shown_url(url))


def _detail(response: httpx.Response, body: Any) -> str:
    detail: Any = body.get("detail") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    said = detail if isinstance(detail, str) else response.reason_phrase
    return " ".join(said.split())
