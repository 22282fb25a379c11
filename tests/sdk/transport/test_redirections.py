"""Answers that send a request on: which the client follows, and what it says of the others."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import pytest

from noetl_metrics_sdk.errors import RecoverableError
from noetl_metrics_sdk.queue.wire import Batch
from noetl_metrics_sdk.transport.http import HttpTransport
from noetl_metrics_sdk.transport.protocol import Registration
from tests.sdk.answering_server import AnsweringServer
from tests.sdk.raw_server import read_request

OK = {"status": "ok", "runtime_id": "7", "metrics_inserted": 1}
BATCH = Batch("boot:1", [b'{"metric_name":"a"}'])
TOKEN = {"Authorization": "Bearer secret"}
PAGE = b"<html>\r\n<head><title>308 Permanent Redirect</title></head>\r\n</html>\r\n"


def leading(location, status=308):
    """Return an ingress that sends every request on to an address, with its path."""
    return lambda request: (status, PAGE, {"Location": location + request.path})


def answering(heads):
    """Return a server of metrics that keeps the head of each request."""
    content = json.dumps(OK).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)

    def handle(connection):
        while head := read_request(connection):
            heads.append(head)
            connection.sendall(answer)

    return handle


def header(head, name):
    found = re.search(rb"(?im)^%s: (.*?)\r?$" % name, head)
    return None if found is None else found[1]


def send(transport):
    return transport.send(BATCH, "7", 5.0)


@pytest.mark.parametrize("status", [307, 308])
def test_an_ingress_that_wants_tls_is_followed(serve, certificate, caplog, status):
    """The batch arrives by TLS, with the token and its name, and a warning says where."""
    heads: list[bytes] = []
    target = serve(answering(heads), certificate.server)
    with (
        AnsweringServer(leading(target.url, status)) as ingress,
        closing(
            HttpTransport(ingress.url, TOKEN, ssl_context=certificate.client, proxies={})
        ) as transport,
    ):
        assert 1 == send(transport).inserted
        assert 1 == send(transport).inserted
        transport.heartbeat(Registration("pool"), 5.0)
        transport.goodbye(Registration("pool", worker_id="w"), 5.0)
    # Only the first request took the way round.
    assert ["/api/metrics"] == ingress.paths()
    assert (b"Bearer secret", b"boot:1") == (
        header(heads[0], b"authorization"), header(heads[0], b"idempotency-key"),
    )  # fmt: skip
    assert [b"/api/metrics", b"/api/metrics", b"/api/worker/pool/heartbeat"] == [
        head.split()[1] for head in heads[:3]
    ]
    assert 1 == caplog.text.count(f"sends requests on to {target.url}/api/metrics")


def test_tls_that_an_ingress_wants_is_checked(serve, certificate):
    """A target whose certificate no authority has signed gets no request, and so no token."""
    heads: list[bytes] = []
    target = serve(answering(heads), certificate.server)
    with (
        AnsweringServer(leading(target.url)) as ingress,
        closing(HttpTransport(ingress.url, TOKEN, proxies={})) as transport,
        pytest.raises(RecoverableError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        send(transport)
    assert [] == heads


def test_certificates_that_cannot_be_loaded_when_an_ingress_wants_tls_are_an_error(
    serve, certificate, monkeypatch, tmp_path
):
    """They are loaded only then, and the batch waits for them."""
    heads: list[bytes] = []
    target = serve(answering(heads), certificate.server)
    file = tmp_path / "authorities.pem"
    file.write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with (
        AnsweringServer(leading(target.url)) as ingress,
        closing(HttpTransport(ingress.url, TOKEN, proxies={})) as transport,
    ):
        with pytest.raises(RecoverableError, match=r"there are no certificates: .*NO_CERT"):
            send(transport)
        file.write_bytes(Path(certificate.file).read_bytes())
        assert 1 == send(transport).inserted
    assert 1 == len(heads)


def test_credentials_in_the_address_go_along_on_the_same_host():
    """The user name and password of the server's URL are those of the target, too."""
    with AnsweringServer(lambda _: (200, OK)) as target:
        with AnsweringServer(leading(target.url.replace("//", "//other:word@"))) as ingress:
            url = ingress.url.replace("//", "//name:password@")
            with closing(HttpTransport(url, proxies={})) as transport:
                send(transport)
        assert "Basic bmFtZTpwYXNzd29yZA==" == target.requests[0].headers["Authorization"]


def test_a_relative_location_is_followed():
    """A target without a host is on the same host."""

    def answer(request):
        if request.path.startswith("/metrics-api/"):
            return 200, OK
        return 308, PAGE, {"Location": "/metrics-api" + request.path}

    with (
        AnsweringServer(answer) as server,
        closing(HttpTransport(server.url, proxies={})) as transport,
    ):
        send(transport)
    assert ["/api/metrics", "/metrics-api/api/metrics"] == server.paths()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_another_host_gets_nothing(status):
    """Whatever the status, no request goes to another host, and the error says where it leads."""
    with AnsweringServer(lambda _: (200, OK)) as other:
        location = other.url.replace("127.0.0.1", "localhost")
        with (
            AnsweringServer(leading(location, status)) as ingress,
            closing(HttpTransport(ingress.url, TOKEN, proxies={})) as transport,
        ):
            with pytest.raises(RecoverableError) as error:
                send(transport)
            assert status == error.value.status
            assert f"{status}: it leads to {location}/api/metrics. " in str(error.value)
            assert "<" not in str(error.value)
        assert [] == other.requests


@pytest.mark.parametrize(
    ("location", "said"),
    [
        (None, "308: a page of BaseHTTP"),
        ("http://[", "it leads to no URL"),
        ("http://127.0.0.1:port/", "Invalid port: 'port'"),
        ("ftp://127.0.0.1/x", "it leads to ftp://127.0.0.1/x"),
        ("https://u:p@login.test/in?state=secret#x", "it leads to https://login.test/in. "),
    ],
)
def test_a_target_that_is_none_is_said_to_be_none(location, said):
    """A missing or odd target costs no sample, and no secret of it is in the error."""
    headers = {} if location is None else {"Location": location}
    with (
        AnsweringServer(lambda _: (308, PAGE, headers)) as server,
        closing(HttpTransport(server.url, proxies={})) as transport,
        pytest.raises(RecoverableError) as error,
    ):
        send(transport)
    assert said in str(error.value)
    assert "secret" not in str(error.value)


def test_tls_is_not_left(serve, certificate):
    """A target without TLS on the same host gets no request: the token would go in the clear."""
    with AnsweringServer(lambda _: (200, OK)) as target:

        def handle(connection):
            head = read_request(connection)
            location = target.url.encode() + head.split()[1]
            connection.sendall(
                b"HTTP/1.1 307 -\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % location
            )

        ingress = serve(handle, certificate.server)
        with (
            closing(
                HttpTransport(ingress.url, TOKEN, ssl_context=certificate.client, proxies={})
            ) as transport,
            pytest.raises(RecoverableError, match=f"307: it leads to {target.url}"),
        ):
            send(transport)
        assert [] == target.requests


def test_a_circle_ends():
    """A server that sends requests on to itself is an error like any other."""
    with (
        AnsweringServer(lambda request: (308, PAGE, {"Location": request.path})) as server,
        closing(HttpTransport(server.url, proxies={})) as transport,
        pytest.raises(RecoverableError, match="308: it leads to"),
    ):
        send(transport)
    assert 4 == len(server.requests)


def test_a_target_that_is_gone_is_forgotten():
    """The next attempt begins at the server's own address."""
    with (
        AnsweringServer(lambda _: (200, OK)) as target,
        AnsweringServer(leading(target.url)) as server,
        closing(HttpTransport(server.url, proxies={})) as transport,
    ):
        send(transport)
        target.answer = lambda _: (301, PAGE, {"Location": "http://elsewhere.test/"})
        with pytest.raises(RecoverableError, match="elsewhere"):
            send(transport)
        server.answer = lambda _: (200, OK)
        assert 1 == send(transport).inserted
    assert ["/api/metrics", "/api/metrics"] == server.paths()
