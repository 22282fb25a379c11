"""What becomes of samples when another server answers than the reference server."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from noetl_metrics_sdk import MetricsClient, Registry
from tests.sdk.answering_server import PAGE, AnsweringServer, NoetlServer
from tests.sdk.idle_delivery import wait_until_idle

REGISTERED = (200, {"runtime_id": "7"})
TAKEN = (200, {"status": "ok", "metrics_inserted": 1})
NOT_FOUND = (404, {"detail": "Not Found"})


def make_client(server, **settings):
    # With random() at 0 no attempt waits, and no test does.
    settings = {"component_name": "pool", "registry": Registry(), **settings}
    return MetricsClient(
        server.url, system_metrics=(), self_metrics=False, flush_interval=3600.0,
        random=lambda: 0.0, **settings,
    )  # fmt: skip


def answering_batches(answer):
    """Return the answers of a server that registers, and gives batches this answer."""
    return lambda request: answer if "/api/metrics" in request.path else REGISTERED


class Attempts:
    """Gives one answer until a number of attempts has been made, and then tells the test."""

    def __init__(self, answer, count=3):
        self.answer = answer
        self.left = count
        self.made = threading.Event()

    def __call__(self, request):
        self.left -= 1
        if self.left <= 0:
            self.made.set()
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        (405, PAGE),
        (404, PAGE),
        NOT_FOUND,
        (404, {"detail": "there is no route POST /x/api/metrics: see /docs"}),
        (407, b"proxy authentication required"),
        (400, b"<html>blocked</html>"),
        (409, {"detail": "conflict"}),
        (422, b"[]"),
        (301, b""),
    ],
)
def test_an_answer_that_is_not_about_the_batch_costs_no_sample(answer, caplog):
    """The samples wait until a metrics server answers; the log says so once, with the cause."""
    attempts = Attempts(answer)

    def answering(request):
        return attempts(request) if "/api/metrics" in request.path else REGISTERED

    with AnsweringServer(answering) as server, make_client(server) as client:
        client.record("value", 1)
        assert client.flush(0.01).pending
        assert attempts.made.wait(30)
        assert 1 == client.stats().samples.pending
        server.answer = NoetlServer("/api/metrics")
        assert 0 == client.flush().pending
        samples = client.stats().samples
    assert (1, {}) == (samples.sent, samples.dropped)
    warnings = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert 1 == len(warnings)
    assert f": {answer[0]}: " in warnings[0].getMessage()


@pytest.mark.parametrize("status", [400, 422])
def test_a_metrics_servers_answer_about_the_batch_drops_it(status):
    """400 and 422 with a detail are the last word about a batch, and the next one goes on."""
    refused = answering_batches((status, {"detail": "labels must be strings"}))
    with AnsweringServer(refused) as server, make_client(server) as client:
        wait_until_idle(client)
        client.record("value", 1)
        assert 1 == client.flush().dropped
        assert {"batch_rejected": 1} == client.stats().samples.dropped
        server.answer = answering_batches(TAKEN)
        client.record("value", 2)
        assert 1 == client.flush().sent


def test_a_web_server_that_answers_every_request_costs_no_sample():
    """The component cannot register either, and all waits until a metrics server answers."""
    attempts = Attempts((405, PAGE))
    with AnsweringServer(attempts) as server, make_client(server) as client:
        client.record("value", 1)
        client.flush(0.01)
        assert attempts.made.wait(30)
        server.answer = NoetlServer("/api/metrics")
        assert 0 == client.flush().pending
        assert {} == client.stats().samples.dropped


def test_a_missing_route_is_no_unknown_runtime():
    """404 for the route registers nothing again; 404 for the component does."""
    attempts = Attempts(NOT_FOUND)
    with AnsweringServer(answering_batches(TAKEN)) as server, make_client(server) as client:
        client.record("value", 1)
        client.flush()
        server.answer = attempts
        before = len(server.requests)
        client.record("value", 2)
        client.flush(0.01)
        assert attempts.made.wait(30)
        assert not [path for path in server.paths(before) if path.endswith("register")]
        unknown = Attempts((404, {"detail": "no runtime 7"}), count=1)
        server.answer = unknown
        assert unknown.made.wait(30)
        server.answer = answering_batches(TAKEN)
        assert 0 == client.flush().pending
        assert [path for path in server.paths(before) if path.endswith("register")]


def test_an_older_noetl_server_gets_batches_at_its_own_path():
    """The older path is found once and kept, and the component registers once."""
    noetl = NoetlServer()
    with AnsweringServer(noetl) as server, make_client(server) as client:
        for number in range(3):
            client.record("value", number)
            client.flush()
        assert (3, {}) == client.stats().samples[1:4:2]
    assert [0.0, 1.0, 2.0] == noetl.values()
    paths = server.paths()
    assert 1 == paths.count("/api/metrics")
    assert 3 == paths.count("/api/metrics/report")
    # The first registration has only what was given; that server asks for the runtime too.
    assert 2 == paths.count("/api/worker/pool/register")


def test_a_server_that_gets_the_newer_path_is_followed():
    """If the path that was kept is gone, the client goes back to the other."""
    noetl = NoetlServer()
    with AnsweringServer(noetl) as server, make_client(server) as client:
        client.record("value", 1)
        client.flush()
        noetl.metrics_path = "/api/metrics"
        client.record("value", 2)
        assert 0 == client.flush().pending
    assert [1.0, 2.0] == noetl.values()


def test_the_other_path_is_tried_once_for_a_connection():
    """A server without either path is not asked twice by every attempt."""
    attempts = Attempts(NOT_FOUND, count=6)
    with AnsweringServer(answering_batches(TAKEN)) as server, make_client(server) as client:
        client.record("value", 1)
        client.flush()
        server.answer = attempts
        client.record("value", 2)
        client.flush(0.01)
        assert attempts.made.wait(30)
        server.answer = answering_batches(TAKEN)
        assert 0 == client.flush().pending
    assert 1 == server.paths().count("/api/metrics/report")


def test_an_older_server_that_does_not_take_a_batch_is_still_the_one_that_is_asked():
    """A failure of the older path is about the batch or the server, and the path is kept."""
    noetl = NoetlServer(has_partition=lambda metric: False)
    with AnsweringServer(noetl) as server, make_client(server) as client:
        client.record("value", 1)
        client.flush(0.05)
        noetl.has_partition = lambda metric: True
        assert 0 == client.flush().pending
    assert 1 == server.paths().count("/api/metrics")
    assert [1.0] == noetl.values()


def test_a_compressed_body_that_a_server_cannot_read_is_sent_again_plain():
    """To a server that does not unpack it a compressed batch is no JSON; that costs no sample."""
    seen = []

    def answer(request):
        if "/api/metrics" not in request.path:
            return REGISTERED
        seen.append(request.headers.get("Content-Encoding"))
        if seen[-1] == "gzip":
            json.loads(gzip.decompress(request.body))
            return 422, {"detail": "json_invalid"}
        return TAKEN

    with AnsweringServer(answer) as server, make_client(server) as client:
        client.record("value", 1)
        client.flush()
        wait_until_idle(client)
        client._transport._server_takes_gzip = True
        for number in range(50):
            client.record("value", number)
        assert 0 == client.flush().pending
        assert {} == client.stats().samples.dropped
    assert [None, "gzip", None] == seen


class SilentFileServer(SimpleHTTPRequestHandler):
    """Python's own server of files, without its log."""

    def log_message(self, *arguments):
        del arguments


def test_the_page_of_a_real_web_server_is_one_line_of_the_log(caplog):
    """Another web server is told by its name and its page's title, in one line."""
    with ThreadingHTTPServer(("127.0.0.1", 0), SilentFileServer) as server:
        address = SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            client = make_client(address).start()
            client.record("value", 1)
            assert 1 == client.shutdown(1).pending
        finally:
            server.shutdown()
            thread.join()
    messages = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert messages[0].startswith("delivery failed; samples wait until it succeeds: ")
    assert ": 501: a page of SimpleHTTP/" in messages[0]
    assert messages[0].endswith("('Error response'), and no answer of a metrics server")
    assert all(message.isprintable() for message in messages)
