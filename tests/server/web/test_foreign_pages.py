"""A server without tokens against the pages of strangers in a browser of its own machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.application import running_api

if TYPE_CHECKING:
    from tests.postgresql import Cluster
    from tests.server.application import Api

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

CLEANUP = ("POST", "/api/metrics/cleanup")
QUERY = ("GET", "/api/runtime")


@pytest.mark.parametrize(
    ("route", "headers"),
    [
        # A form of a page, in browsers of today and of long ago.
        (CLEANUP, {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}),
        (CLEANUP, {"Origin": "http://evil.example", "Content-Type": "text/plain"}),
        (CLEANUP, {"Origin": "null"}),
        (CLEANUP, {"Origin": "http://localhost:3000"}),
        (CLEANUP, {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}),
        (("DELETE", "/api/runtime/1"), {"Sec-Fetch-Site": "cross-site"}),
        (QUERY, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
        # A name that an attacker's DNS gives the loopback address.
        (QUERY, {"Host": "evil.example"}),
        (QUERY, {"Host": "evil.example:8082", "Sec-Fetch-Site": "same-origin"}),
        (QUERY, {"Host": "localhost.evil.example"}),
        (CLEANUP, {"Host": "192.0.2.1:8082"}),
        (QUERY, {"Host": "[2001:db8::1]:8082"}),
    ],
)
def test_what_a_foreign_page_sends_is_refused(
    embedded_api_shared: Api, route: tuple[str, str], headers: dict[str, str]
) -> None:
    """The answer is 403, and says what lets a request in."""
    answer = embedded_api_shared.request(*route, headers=headers)
    assert 403 == answer.status_code, answer.text
    assert "give it tokens" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("route", "headers"),
    [
        (CLEANUP, {}),
        (CLEANUP, {"Host": "127.0.0.1:8082"}),
        (CLEANUP, {"Host": "[::1]:8082"}),
        (CLEANUP, {"Host": "LOCALHOST."}),
        (CLEANUP, {"Host": "metrics.localhost:1"}),
        # The page of the documentation, which is the server's own.
        (CLEANUP, {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}),
        (CLEANUP, {"Origin": "http://localhost"}),
        # A link, and an address that a user has written.
        (QUERY, {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
        (QUERY, {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}),
        (("GET", "/healthz"), {"Host": "10.0.0.7:8082"}),
    ],
)
def test_programs_and_the_server_s_own_page_are_let_in(
    embedded_api_shared: Api, route: tuple[str, str], headers: dict[str, str]
) -> None:
    """Programs send no origin; a probe may call the server by any name."""
    assert 200 == embedded_api_shared.request(*route, headers=headers).status_code


def test_tokens_and_proxies_decide_by_themselves(postgresql: Cluster) -> None:
    """With tokens, no page has one; behind a proxy the server has other names, but a page of
    another origin is refused all the same."""
    with postgresql.database() as url:
        tokens = f"admin admin sha256:{'0' * 64}"
        with running_api(url, tokens=tokens) as api:
            answer = api.get("/api/runtime", headers={"Host": "metrics.example"})
            assert 401 == answer.status_code
        with running_api(url, allow_anonymous=True) as api:
            for headers, status in (
                ({"Host": "metrics.example"}, 200),
                ({"Host": "metrics.example", "Origin": "https://metrics.example"}, 200),
                ({"Host": "internal:8082", "Origin": "https://metrics.example",
                  "Sec-Fetch-Site": "same-origin"}, 200),
                ({"Host": "metrics.example", "Origin": "https://evil.example"}, 403),
            ):  # fmt: skip
                assert status == api.post("/api/metrics/cleanup", headers=headers).status_code
