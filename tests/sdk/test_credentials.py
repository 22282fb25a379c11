"""What a client shows about itself: never its token, except to the server, and its certificate."""

from __future__ import annotations

import base64
import logging

import pytest

from noetl_metrics_sdk import ConfigurationError, MetricsClient, Registry
from noetl_metrics_sdk.client.environment import config_from_environment
from noetl_metrics_sdk.transport.connections import make_ssl_context
from noetl_metrics_sdk.transport.http import HttpTransport
from tests.certificates import Authority
from tests.sdk.raw_server import ANSWER, read_request

SECRET = "a-token-of-ours"


def make(url="http://127.0.0.1:9", **settings):
    return MetricsClient(
        url, "pool", registry=Registry(), system_metrics=(), handle_sigterm=False, **settings
    )


def test_every_request_carries_the_token(serve):
    """Each request has the token as a bearer token, beside the other headers."""
    heads = []

    def handle(connection) -> None:
        while head := read_request(connection):
            heads.append(head)
            connection.sendall(ANSWER)

    server = serve(handle)
    client = make(server.url, token=SECRET, headers={"X-Site": "a"}, self_metrics=False)
    client.record("rows_total", 1, metric_type="counter")
    client.start()
    client.flush(10)
    client.shutdown()
    assert len(heads) >= 2
    for head in heads:
        assert f"Authorization: Bearer {SECRET}".encode() in head
        assert b"X-Site: a" in head


def test_the_password_of_the_address_is_sent_and_shown_nowhere(serve, caplog):
    """A name and a password in the address become an Authorization; no log has the password."""
    caplog.set_level(logging.DEBUG)
    heads = []

    def handle(connection) -> None:
        while head := read_request(connection):
            heads.append(head)
            connection.sendall(ANSWER)

    url = serve(handle).url.replace("//", f"//me:{SECRET}@")
    with make(url, self_metrics=False) as client:
        client.record("rows_total", 1, metric_type="counter")
        client.flush(10)
    credentials = base64.b64encode(f"me:{SECRET}".encode())
    assert 2 <= len(heads)
    for head in heads:
        assert b"Authorization: Basic " + credentials in head
    assert SECRET not in caplog.text
    assert "HTTP Request: POST http://127.0.0.1" in caplog.text


def test_the_token_is_shown_nowhere(serve, caplog):
    """No repr, no error and no log of the client and its dependencies has the token."""
    caplog.set_level(logging.DEBUG)

    refusals = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 15\r\n\r\n" + b'{"detail":"no"}']

    def handle(connection) -> None:
        while read_request(connection):
            connection.sendall(refusals.pop() if refusals else ANSWER)

    client = make(
        serve(handle).url, token=SECRET, headers={"X-Key": "another-secret"}, self_metrics=False
    )
    client.record("rows_total", 1, metric_type="counter")
    client.start()
    client.flush(10)
    client.shutdown()
    last_error = f"{client.stats()}"
    assert "401" in last_error + caplog.text
    config = client.config
    shown = f"{config!r} {config} {config.model_dump()} {client!r} {last_error} {caplog.text}"
    assert SECRET not in shown
    assert "another-secret" not in f"{config!r} {config} {last_error} {caplog.text}"


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "ümlaut", 7])
def test_a_token_that_cannot_be_sent_is_refused(token):
    """The message says what a valid token is, and does not show the given one."""
    with pytest.raises(ConfigurationError, match="token: give the token alone") as caught:
        make(token=token)
    assert not str(token) or f"{token!r}" not in str(caught.value)


def test_the_environment_gives_credentials():
    """NOETL_METRICS_TOKEN and the three files give them; an error names the variable, not the
    token."""
    environment = {
        "NOETL_WORKER_POOL_NAME": "pool",
        "NOETL_METRICS_TOKEN": SECRET,
        "NOETL_METRICS_TLS_CA": "ca.pem",
        "NOETL_METRICS_TLS_CERTIFICATE": "worker.pem",
        "NOETL_METRICS_TLS_KEY": "worker.key",
    }
    config = config_from_environment(environment)
    assert config.token is not None
    assert SECRET == config.token.get_secret_value()
    assert ("ca.pem", "worker.pem", "worker.key") == (
        config.tls_ca, config.tls_certificate, config.tls_key,
    )  # fmt: skip
    with pytest.raises(ConfigurationError, match="NOETL_METRICS_TOKEN: give the") as caught:
        config_from_environment({**environment, "NOETL_METRICS_TOKEN": "a secret"})
    assert "a secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="HEADERS is not valid: write name=") as caught:
        config_from_environment({**environment, "NOETL_METRICS_HEADERS": "X: a-secret"})
    assert "a-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"token": SECRET, "headers": {"authorization": "x"}}, "both give an Authorization"),
        ({"tls_key": "worker.key"}, "give that too"),
        ({"tls_ca": " "}, "give the path of a PEM file"),
        ({"tls_ca": "/nowhere/ca.pem"}, "tls_ca '/nowhere/ca.pem' cannot be used"),
        ({"tls_certificate": "/nowhere/x.pem"}, "tls_certificate '/nowhere/x.pem' with tls_key"),
    ],
)
def test_credentials_that_are_of_no_use_are_said(settings, message):
    """The error comes when the client is made, and not in its thread."""
    with pytest.raises(ConfigurationError, match=message) as caught:
        make(**settings)
    assert SECRET not in str(caught.value)


def test_a_key_with_a_password_asks_nobody(tmp_path):
    """A worker has no terminal at which an operator could type the password."""
    authority = Authority(tmp_path)
    pair = authority.sign("worker")
    encrypted = tmp_path / "encrypted.key"
    authority.encrypt(pair.key, str(encrypted))
    with pytest.raises(ConfigurationError, match="the key has a password"):
        make_ssl_context(None, pair.certificate, str(encrypted))
    context = make_ssl_context(authority.own.certificate, pair.certificate, pair.key)
    assert 1 == len(context.get_ca_certs())
    transport = HttpTransport("https://127.0.0.1:9", ssl_context=context)
    transport.close()
