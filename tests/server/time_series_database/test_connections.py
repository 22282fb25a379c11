"""Which proxy the server uses for the time-series database."""

from __future__ import annotations

import pytest

from server_stub.errors import StartupError
from server_stub.time_series_database.connections import database_client

pytestmark = pytest.mark.once

URL = "http://127.0.0.1:8428"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("exempt", "patterns"),
    [("", ["http://"]), ("::1/128,localhost:abc", ["http://"]), ("127.0.0.0/8", [])],
)
def test_the_environment_is_read_as_in_the_sdk(
    environment: pytest.MonkeyPatch, exempt: str, patterns: list[str]
) -> None:
    """No entry of NO_PROXY stops the server, and a network exempts the database."""
    environment.setenv("HTTP_PROXY", "http://proxy.test:3128")
    environment.setenv("NO_PROXY", exempt)
    client = database_client(URL, {}, 1.0)
    assert patterns == [pattern.pattern for pattern in client._mounts]


@pytest.mark.parametrize("proxy", ["socks4://h:1080", "http://h:port"])
def test_a_proxy_that_cannot_be_used_is_an_error_of_the_start(
    environment: pytest.MonkeyPatch, proxy: str
) -> None:
    """The operator hears of it before the server takes requests."""
    environment.setenv("HTTP_PROXY", proxy)
    with pytest.raises(StartupError, match="the environment names a proxy that cannot be used"):
        database_client(URL, {}, 1.0)
