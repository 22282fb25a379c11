"""Whether an answer is a metrics server's, and about the batch."""

from __future__ import annotations

import json

import pytest

from noetl_metrics_sdk.errors import (
    RecoverableError,
    RejectedError,
    RouteMissingError,
    UnknownRuntimeError,
)
from noetl_metrics_sdk.transport.answers import error_of_answer

REQUEST = "POST http://metrics.test/api/metrics"
PAGE = b"<html>Not Allowed</html>"
DETAIL = json.dumps({"detail": "the reason"}).encode()


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (400, DETAIL, RejectedError),
        (422, b'{"detail": [{"loc": ["body"], "msg": "Field required"}]}', RejectedError),
        (400, PAGE, RecoverableError),
        (422, b"", RecoverableError),
        (400, b"[" * 100_000, RecoverableError),
        (400, b'{"error": "blocked"}', RecoverableError),
        (404, DETAIL, UnknownRuntimeError),
        (404, b'{"detail": {"status": "unknown", "name": "pool"}}', UnknownRuntimeError),
        (404, b'{"detail": "Not Found"}', RouteMissingError),
        (404, b'{"detail": "there is no route POST /api/api/metrics: see /docs"}',
         RouteMissingError),
        (404, PAGE, RouteMissingError),
        (405, b'{"detail": "Method Not Allowed"}', RouteMissingError),
        (405, PAGE, RouteMissingError),
        (407, PAGE, RecoverableError),
        (451, DETAIL, RecoverableError),
    ],
)  # fmt: skip
def test_only_a_metrics_servers_answer_is_about_the_batch(status, content, error):
    """A page of another web server, or of a proxy, never costs a batch."""
    found = error_of_answer(status, content, REQUEST, None)
    assert (error, status) == (type(found), found.status)


def test_the_message_says_what_to_mend():
    """It names the request, and the address or the proxy that is wrong."""
    message = str(error_of_answer(405, PAGE, REQUEST, None))
    assert message == (
        f"{REQUEST}: 405: <html>Not Allowed</html>: no metrics server has this route; "
        "is server_url its address?"
    )
    assert "http://name:password@host" in str(error_of_answer(407, b"", REQUEST, None))
