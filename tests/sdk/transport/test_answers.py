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
from noetl_metrics_sdk.transport.answers import error_of_answer, object_of_answer

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
        f"{REQUEST}: 405: a page ('<html>Not Allowed</html>'), and no answer of a metrics server: "
        "no metrics server has this route; is server_url its address?"
    )
    assert "http://name:password@host" in str(error_of_answer(407, b"", REQUEST, None))


NGINX = b"""<html>\r\n<head><title>502 Bad Gateway</title></head>\r
<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"""
UNTITLED = b"\n<!DOCTYPE html>\n<body>" + b"x" * 9_000
NO_METRICS_SERVER = ", and no answer of a metrics server"


@pytest.mark.parametrize(
    ("content", "sender", "shown"),
    [
        (NGINX, "nginx/1.24.0", f"a page of nginx/1.24.0 ('502 Bad Gateway'){NO_METRICS_SERVER}"),
        (UNTITLED, "", f"a page ('<!DOCTYPE html> <body>{'x' * 58}'){NO_METRICS_SERVER}"),
        (b"Internal Server Error", "uvicorn", "'Internal Server Error' of uvicorn"),
        (b"a\n\tb\x1b[31m\xff", "", "'a b?[31m\ufffd'"),
        (b"", "", "an empty answer"),
        (b'{"detail": "no\\npartition"}', "uvicorn", "no partition"),
    ],
)  # fmt: skip
def test_what_has_answered_is_said_in_one_line(content, sender, shown):
    """A page is told by its title and its server, and nothing of it breaks a line of the log."""
    assert f"{REQUEST}: 502: {shown}" == str(error_of_answer(502, content, REQUEST, None, sender))


@pytest.mark.parametrize("content", [NGINX, b"ok", b"[]", b"", b"[" * 100_000])
def test_an_answer_without_an_error_may_be_another_servers_too(content):
    """200 with anything but a JSON object is no metrics server's, and is told in one line."""
    with pytest.raises(RecoverableError) as raised:
        object_of_answer(content, REQUEST, "nginx/1.24.0")
    message = str(raised.value)
    assert message.startswith(f"{REQUEST}: the answer is not JSON as a metrics server sends it, ")
    assert message.endswith("; is server_url its address?")
    assert 300 > len(message)
    assert message.isprintable()
