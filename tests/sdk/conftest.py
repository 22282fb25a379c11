"""The fixtures that need real sockets."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.sdk.raw_server import Certificate, RawServer


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    return Certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def serve():
    """Return a function that starts a server and returns it; the server ends with the test."""
    with ExitStack() as stack:
        yield lambda *arguments, **options: stack.enter_context(RawServer(*arguments, **options))
