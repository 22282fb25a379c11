"""A real server against slow clients and strangers, and its log about them."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest

from noetl_metrics_sdk import MetricsClient, RecoverableError, Registry, UnauthorizedError
from noetl_metrics_sdk.transport.connections import KEEPALIVE_SECONDS
from noetl_metrics_sdk.transport.protocol import Registration
from server_stub.auth.tokens import BoundComponent, hash_token, make_token
from server_stub.serving.connection import KEEP_ALIVE_SECONDS
from tests.certificates import Authority
from tests.postgresql import Cluster  # noqa: TC001 - a fixture's
from tests.server_process import start_server

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from tests.server_process import ServerProcess

SOON = 0.8
"""What the server under test gives a client, in seconds."""
TOO_LATE = 20.0
"""When a test gives up on the server."""
CONNECTIONS_MAX = 4

SECRET = "the-right-token"
WORKER = make_token(
    "worker", ["write"], hash_token(SECRET), BoundComponent("worker_pool", "cpu-01")
)
READER = make_token("reader", ["read"], hash_token("reading"))
LINES = f"{WORKER.line()}\n{READER.line()}\n"


@contextmanager
def running(database_url: str, *flags: str, log: Path | None = None) -> Generator[ServerProcess]:
    """Run a server, which has to end with code 0."""
    with ExitStack() as stack:
        server = start_server(database_url, *flags, log=log)
        assert server.process.stdout is not None
        stack.enter_context(server.process.stdout)
        stack.callback(server.process.wait)
        stack.callback(server.process.kill)
        yield server
        assert 0 == server.stop()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("impatient") / "log"


@pytest.fixture(scope="module")
def impatient(postgresql: Cluster, log: Path) -> Generator[ServerProcess]:
    """A server with short time-outs."""
    with (
        postgresql.database() as url,
        running(
            url,
            f"--header-seconds-max={SOON}",
            f"--body-seconds-max={SOON}",
            f"--connections-max={CONNECTIONS_MAX}",
            log=log,
        ) as server,
    ):
        yield server


@pytest.fixture
def connect(impatient: ServerProcess) -> Generator[Callable[[], socket.socket]]:
    with ExitStack() as stack:

        def make() -> socket.socket:
            port = int(impatient.url.rsplit(":", 1)[1])
            connection = socket.create_connection(("127.0.0.1", port), TOO_LATE)
            return stack.enter_context(connection)

        yield make


def test_the_server_keeps_a_connection_longer_than_a_client_uses_it() -> None:
    """Else a client would send a batch into a connection that the server closes at that moment."""
    assert KEEP_ALIVE_SECONDS > KEEPALIVE_SECONDS


def read_to_end(connection: socket.socket) -> bytes:
    """Read until the server closes; a reset is an end too."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


HEAD = b"POST /api/metrics HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize("sent", [b"", b"P", HEAD, HEAD + b"X-Slow: "])
def test_headers_that_do_not_end_are_cut_off(
    connect: Callable[[], socket.socket], sent: bytes
) -> None:
    """A client that sends nothing, or stops in the middle, loses its connection."""
    connection = connect()
    connection.sendall(sent)
    assert b"" == read_to_end(connection)


@pytest.mark.parametrize(
    "begun",
    [
        HEAD + b"X-Slow: ",
        HEAD + b"Content-Length: 1000000000\r\n\r\n",  # answered at once, as it is too large
        HEAD.replace(b"/api/metrics", b"/nowhere") + b"Content-Length: 1000000\r\n\r\n",
    ],
    ids=["headers", "a body that was refused", "a body for no route"],
)
def test_what_drips_is_cut_off(connect: Callable[[], socket.socket], begun: bytes) -> None:
    """Another byte now and then gains no time, neither in headers nor after the answer."""
    connection = connect()
    connection.sendall(begun)
    connection.settimeout(SOON / 10)
    sent = 0
    with pytest.raises((ConnectionResetError, BrokenPipeError)):  # noqa: PT012 - it drips till then
        while sent < TOO_LATE / SOON * 10:
            connection.sendall(b"x")
            sent += 1
            try:
                if not connection.recv(65536):
                    raise ConnectionResetError
            except TimeoutError:
                pass


def test_headers_of_a_second_request_are_cut_off(connect: Callable[[], socket.socket]) -> None:
    """A connection that was good for one request gets no more time for the next."""
    connection = connect()
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    connection.sendall(HEAD)
    assert b"" == read_to_end(connection)


@pytest.mark.parametrize("body", [b"", b"{"])
def test_a_body_that_does_not_end_is_answered_408(
    connect: Callable[[], socket.socket], body: bytes
) -> None:
    """The answer says what to change, and then the server closes the connection."""
    connection = connect()
    connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + body)
    head, _, content = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    assert f"the body was not complete within {SOON} s" in json.loads(content)["detail"]


def test_a_body_after_its_answer_is_cut_off(connect: Callable[[], socket.socket]) -> None:
    """A client whose body was refused for its size cannot keep the connection by sending it."""
    connection = connect()
    connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\nx")
    answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert 1 == answer.count(b"HTTP/1.1")


def test_an_answer_that_is_not_read_is_cut_off(
    connect: Callable[[], socket.socket], log: Path
) -> None:
    """A client that does not read its answers does not keep the server's memory."""
    connection = connect()
    asked = 1000  # more than the buffers of both sides hold
    connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * asked)
    while "whose client did not read an answer" not in log.read_text():
        pass
    answered = read_to_end(connection).count(b"HTTP/1.1 200")
    assert 0 < answered < asked


def test_a_good_client_keeps_its_connection(impatient: ServerProcess) -> None:
    """Requests one after the other share a connection, for longer than any one may take."""
    with httpx.Client(base_url=impatient.url) as client:
        stream = None
        spent = 0.0
        while spent < 2 * SOON:
            answer = client.get("/api/runtime")
            assert 200 == answer.status_code
            spent += answer.elapsed.total_seconds()
            stream = stream or answer.extensions["network_stream"]
            assert stream is answer.extensions["network_stream"]


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nHost x\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_request_is_answered_400(
    connect: Callable[[], socket.socket], sent: bytes
) -> None:
    """The answer has the form of every other error, and the server closes the connection."""
    connection = connect()
    connection.sendall(sent)
    head, _, content = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert "this is no HTTP/1.1 request" in json.loads(content)["detail"]


def test_nonsense_after_an_answer_is_cut_off(
    connect: Callable[[], socket.socket], log: Path
) -> None:
    """The server answers nothing more, and the log has no traceback of it."""
    connection = connect()
    head = HEAD.replace(b"/api/metrics", b"/no/such/route")
    connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 404 ")
    connection.sendall(b"no chunk\r\n")
    assert b"" == read_to_end(connection)
    assert "Traceback" not in log.read_text()


def test_connections_beyond_the_bound_are_refused(connect: Callable[[], socket.socket]) -> None:
    """503 says when to come again; once other connections are gone there is room."""
    held = [connect() for _ in range(CONNECTIONS_MAX)]
    answer = read_to_end(connect())
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1" in answer
    assert "as many connections" in json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
    for connection in held:
        assert b"" == read_to_end(connection)
    later = connect()
    later.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert read_to_end(later).startswith(b"HTTP/1.1 200")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


def test_a_worker_reports_over_mutual_tls_with_a_token(
    database_url: str, authority: Authority, tmp_path: Path
) -> None:
    """The SDK shows its certificate and its token; without either, it delivers nothing."""
    (tmp_path / "tokens").write_text(LINES)
    server_pair, worker = authority.sign("server"), authority.sign("worker")
    stranger = Authority(tmp_path, "stranger").sign("unknown")
    with running(
        database_url,
        f"--token-file={tmp_path}/tokens",
        f"--tls-certificate={server_pair.certificate}",
        f"--tls-key={server_pair.key}",
        f"--tls-client-ca={authority.own.certificate}",
        f"--header-seconds-max={2 * SOON}",  # a handshake takes a while on a busy machine
    ) as server:
        assert server.url.startswith("https://")
        common: dict[str, Any] = {
            "server_url": server.url,
            "component_name": "cpu-01",
            "tls_ca": authority.own.certificate,
            "system_metrics": (),
            "self_metrics": False,
            "handle_sigterm": False,
        }
        certificate: dict[str, Any] = {"tls_certificate": worker.certificate, "tls_key": worker.key}
        with MetricsClient(**common, **certificate, token=SECRET, registry=Registry()) as client:
            client.record("rows_total", 1.0, metric_type="counter")
            result = client.flush(TOO_LATE)
        assert (1, 0) == (result.sent, result.pending)
        assert client.stats().last_error is None
        unknown: dict[str, Any] = {"tls_certificate": stranger.certificate, "tls_key": stranger.key}
        cases: list[tuple[dict[str, Any], type[Exception]]] = [
            ({**certificate, "token": "a-wrong-token"}, UnauthorizedError),
            (certificate, UnauthorizedError),
            ({**unknown, "token": SECRET}, RecoverableError),
            ({"token": SECRET}, RecoverableError),
        ]
        for options, error in cases:
            client = MetricsClient(**common, **options, registry=Registry())
            assert client._transport is not None
            with pytest.raises(error) as caught:
                client._transport.register(Registration("cpu-01"), TOO_LATE)
            assert SECRET not in str(caught.value)
            assert "a-wrong-token" not in str(caught.value)
            client._transport.close()
        _check_handshake_is_bounded(server)


def _check_handshake_is_bounded(server: ServerProcess) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), TOO_LATE) as connection:
        assert b"" == read_to_end(connection)


@pytest.mark.once
def test_tokens_change_without_a_restart(database_url: str, tmp_path: Path) -> None:
    """While the server runs, a new token is accepted and a removed one is not."""
    path = tmp_path / "tokens"
    path.write_text(READER.line())
    with running(database_url, f"--token-file={path}") as server:

        def status(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return httpx.get(f"{server.url}/api/runtime", headers=headers).status_code

        assert (200, 401) == (status("reading"), status("new"))
        path.write_text(make_token("new", ["read"], hash_token("new")).line() + "\n")
        while status("new") == 401:
            pass
        assert (401, 200) == (status("reading"), status("new"))


@pytest.mark.once
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_holds_no_secret(database_url: str, tmp_path: Path, log_format: str) -> None:
    """Each request has its line, and none has a token, a header, a query or a password."""
    (tmp_path / "tokens").write_text(LINES)
    log = tmp_path / "log"
    flags = [f"--token-file={tmp_path}/tokens", f"--log-format={log_format}", "--access-log=yes"]
    with running(database_url, *flags, log=log) as server:
        for token in (SECRET, "reading", "a-wrong-token"):
            for path in ("/api/runtime?x=hidden-query", "/hidden-path", "/metrics"):
                headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "id-7"}
                httpx.get(f"{server.url}{path}", headers=headers)
        body = {"name": "cpu-01"}
        headers = {"Authorization": f"Bearer {SECRET}", "X-Request-ID": "id-8"}
        url = f"{server.url}/api/runtime/register"
        assert 200 == httpx.post(url, json=body, headers=headers).status_code
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute(
                "ALTER TABLE noetl.runtime RENAME TO hidden_table;"
                "CREATE VIEW noetl.runtime AS SELECT * FROM noetl.hidden_table"
                " WHERE 1 / (length(name) - length(name)) > 0"
            )
            headers = {"Authorization": "Bearer reading", "X-Request-ID": "id-9"}
            assert 500 == httpx.get(f"{server.url}/api/runtime", headers=headers).status_code
            database.execute(
                "DROP VIEW noetl.runtime; ALTER TABLE noetl.hidden_table RENAME TO runtime"
            )
    text = log.read_text()
    for secret in (SECRET, "reading", "a-wrong-token", "Bearer", "hidden-query", "hidden-path"):
        assert secret not in text
    assert WORKER.digest.hex() not in text
    if log_format == "text":
        assert "POST /api/runtime/register 200 in " in text
        assert "token worker [request id-8]" in text
        return
    events = [json.loads(line) for line in text.splitlines()]
    (registration,) = [event for event in events if event.get("request_id") == "id-8"]
    assert (
        registration.items()
        >= {
            "level": "INFO",
            "logger": "server_stub.access",
            "method": "POST",
            "route": "/api/runtime/register",
            "status": 200,
            "token": "worker",
            "bytes_received": len(b'{"name":"cpu-01"}'),
        }.items()
    )
    assert 0 < registration["duration_seconds"] < TOO_LATE
    # The server's own client meets the view too, if it reports at that moment.
    failures = [event for event in events if "exception" in event]
    (failure,) = [event for event in failures if event.get("request_id") == "id-9"]
    others = {event["logger"] for event in failures if event is not failure}
    assert others <= {"noetl_metrics_sdk"}
    assert "Traceback" in failure["exception"]
    of_reader = [event for event in events if event.get("token") == "reader"]
    assert {"/api/runtime", "unmatched", "/metrics"} == {event["route"] for event in of_reader}
    refused = [event for event in events if event.get("status") == 401]
    assert [None] * 3 == [event["token"] for event in refused]


def ended(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected not to start."""
    return subprocess.run(
        [sys.executable, "-m", "server_stub", "--port=0", *flags],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


NOWHERE = "--database-url=postgresql://me:hidden@127.0.0.1:1/none"


@pytest.mark.once
@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--host=0.0.0.0"], "--host 0.0.0.0 lets other machines in, and there are no tokens"),
        (["--host=::"], "say --allow-anonymous=yes"),
        (["--host=0.0.0.0", "--allow-anonymous=yes"], "the database cannot be used"),
        (["--host=0.0.0.0", f"--tokens={READER.line()}"], "the database cannot be used"),
        (["--host=localhost"], "the database cannot be used"),
        (["--token-file=/nowhere/tokens"], "the token file /nowhere/tokens cannot be used"),
        (["--tls-key=/nowhere/key"], "give --tls-certificate too"),
        (["--tls-certificate=/nowhere/pem"], "--tls-certificate /nowhere/pem"),
    ],
)
def test_what_keeps_a_server_from_starting_is_said(flags: list[str], message: str) -> None:
    """A server that other hosts can reach needs tokens, or a flag that says that it needs none."""
    process = ended(NOWHERE, *flags)
    assert 1 == process.returncode
    assert message in process.stderr
    assert "hidden" not in process.stderr
    assert "Traceback" not in process.stderr


def test_a_start_that_fails_is_an_event_too() -> None:
    """With --log-format=json the reason is one line of JSON, like every other event."""
    process = ended(NOWHERE, "--log-format=json")
    event = json.loads(process.stderr.splitlines()[-1])
    assert "CRITICAL" == event["level"]
    assert "the database cannot be used" in event["message"]


def test_a_server_with_a_certificate_speaks_tls(database_url: str, authority: Authority) -> None:
    """A client that trusts its authority gets an answer, and another one breaks off."""
    pair = authority.sign("server")
    with running(
        database_url, f"--tls-certificate={pair.certificate}", f"--tls-key={pair.key}"
    ) as server:
        context = ssl.create_default_context(cafile=authority.own.certificate)
        assert 200 == httpx.get(f"{server.url}/healthz", verify=context).status_code
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz", verify=ssl.create_default_context())


def test_a_client_authority_that_is_none_is_said(authority: Authority, tmp_path: Path) -> None:
    """The message names the flag and its file."""
    pair = authority.sign("server")
    (tmp_path / "ca.pem").write_text("none")
    flags = [f"--tls-certificate={pair.certificate}", f"--tls-key={pair.key}"]
    process = ended(NOWHERE, *flags, f"--tls-client-ca={tmp_path}/ca.pem")
    assert 1 == process.returncode
    assert f"--tls-client-ca {tmp_path}/ca.pem cannot be used" in process.stderr
