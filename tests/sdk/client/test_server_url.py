"""The server's address, as operators write it."""

from __future__ import annotations

import pytest

from noetl_metrics_sdk import ConfigurationError
from noetl_metrics_sdk.client.server_url import server_base_url
from tests.sdk.answering_server import AnsweringServer, NoetlServer
from tests.sdk.client.clients import make_client


@pytest.mark.parametrize(
    ("written", "base"),
    [
        ("http://h:8082", "http://h:8082"),
        ("http://h:8082/", "http://h:8082"),
        (" http://h:8082\n", "http://h:8082"),
        ("http://h:8082/api", "http://h:8082"),
        ("http://h:8082/api/", "http://h:8082"),
        ("http://h:8082/api/api", "http://h:8082"),
        ("http://h:8082/api/metrics", "http://h:8082"),
        ("http://h:8082/noetl/api/metrics/report", "http://h:8082/noetl"),
        ("https://h/noetl", "https://h/noetl"),
        ("http://api", "http://api"),
        ("http://h/myapi", "http://h/myapi"),
        ("http://me:pw@h:8082/api", "http://me:pw@h:8082"),
        ("http://[::1]:8082/api", "http://[::1]:8082"),
    ],
)
def test_an_address_is_understood(written, base):
    """White space around it and a route at its end do not matter."""
    assert base == server_base_url(written)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("http://h:8082?tenant=a", "is http://h:8082 meant?"),
        ("http://h:8082/api?tenant=a", "is http://h:8082 meant?"),
        ("http://h:8082/#top", "is http://h:8082 meant?"),
        ("h:8082", "is http://h:8082 meant?"),
        ("localhost", "is http://localhost meant?"),
        ("h:8082?tenant=a", "is http://h:8082 meant?"),
        (" h:8082/api ", "is http://h:8082 meant?"),
        ("//h:8082/api/metrics", "is http://h:8082 meant?"),
        (" http://h:8082 ?tenant=a", "give a URL like http://localhost:8082"),
        ("http:/h:8082", "give a URL like http://localhost:8082"),
        ("ftp://h", "give a URL like http://localhost:8082"),
        ("http://h:8082 ?", "give a URL like http://localhost:8082"),
        ("http://", "give a URL like http://localhost:8082"),
        ("", "give a URL like http://localhost:8082"),
    ],
)
def test_another_address_is_refused_at_construction(written, message):
    """The message names the address that may be meant."""
    with pytest.raises(ConfigurationError) as refused:
        make_client(server_url=written)
    assert message in str(refused.value)
    assert f"server_url is {written!r}: " in str(refused.value)


@pytest.mark.parametrize("suffix", ["", "/", "/api", "/api/metrics "])
def test_requests_go_to_the_routes_of_the_server(suffix):
    """However the address ends, a batch arrives."""
    noetl = NoetlServer("/api/metrics")
    with (
        AnsweringServer(noetl) as server,
        make_client(server_url=server.url + suffix, transport=None) as client,
    ):
        client.record("value", 1)
        assert 0 == client.flush().pending
    assert [1.0] == noetl.values()
