"""What the application makes before its first request, and what a thread makes."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from server_stub.app import create_app
from server_stub.settings import Settings

if TYPE_CHECKING:
    import pytest

    from tests.server.application import Api


def count_adapters() -> int:
    """Return how many checks of a parameter or an answer there are, without those of dead apps."""
    gc.collect()
    return sum(type(one) is TypeAdapter for one in gc.get_objects())


def test_a_server_makes_the_checks_of_its_routes_before_the_first_request() -> None:
    """After a server has prepared its routes, to look for one makes no check of a parameter."""
    app = create_app("postgresql://127.0.0.1:1/none", Settings(), reports_itself=False)
    before = count_adapters()
    app.prepare_routes()
    prepared = count_adapters()
    assert prepared > before
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}
    for route in app.routes:
        route.matches(dict(scope))
    assert count_adapters() == prepared


def test_the_description_is_made_in_a_thread(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop, on which all requests are answered, does not make the description."""
    app = embedded_api.app
    described = app.openapi
    on_loop = []

    def noting() -> dict[str, object]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            on_loop.append(False)
        else:
            on_loop.append(True)
        return described()

    monkeypatch.setattr(app, "openapi", noting)
    assert embedded_api.request("GET", "/openapi.json").json() == described()
    assert on_loop == [False]
