"""The proxy itself: each fault does what it says to the request and to the answer."""

from __future__ import annotations

import random
import threading
from collections import Counter as Tally
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.chaos.faults import BATCH_PATH, Deck, Fault, Sequence
from tests.chaos.proxy import Proxy
from tests.chaos.waiting import wait_until

BODY = b"x" * 5_000
IMPATIENT_SECONDS = 0.5
"""For a request that no answer comes to in time."""
PATIENT_SECONDS = 30.0


class Upstream:
    """A server that counts the requests that arrive whole."""

    def __init__(self):
        upstream = self
        self.received: list[bytes] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) == int(self.headers["Content-Length"]):
                    upstream.received.append(body)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.send_header("Accept-Encoding", "gzip")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *arguments):
                """Say nothing."""

            def handle(self):
                try:
                    super().handle()
                except ConnectionError:
                    self.close_connection = True

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def upstream():
    running = Upstream()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
    thread.start()
    yield running
    running.server.shutdown()
    thread.join()
    running.server.server_close()


def ask(url, body=BODY, seconds=PATIENT_SECONDS):
    """Return the status that a client sees, or the name of the exception that it raises."""
    try:
        return httpx.post(url + BATCH_PATH, content=body, timeout=seconds).status_code
    except httpx.HTTPError as error:
        return type(error).__name__


@pytest.mark.parametrize(
    ("fault", "received", "seen"),
    [
        (Fault.NONE, 1, {200}),
        (Fault.REFUSED, 0, {"ReadError"}),
        (Fault.RESET_IN_REQUEST, 0, {"ReadError"}),
        (Fault.RESET_BEFORE_ANSWER, 1, {"ReadError"}),
        # The reset loses what was on its way, or not.
        (Fault.RESET_IN_ANSWER, 1, {"ReadError", "RemoteProtocolError"}),
        (Fault.DELAYED, 1, {200}),
        (Fault.DRIPPED, 1, {200}),
        (Fault.SWALLOWED, 0, {"ReadTimeout"}),
        (Fault.ANSWER_SWALLOWED, 1, {"ReadTimeout"}),
        (Fault.LATE, 1, {"ReadTimeout"}),
        (Fault.OVERTAKEN, 1, {"ReadTimeout"}),
        (Fault.STATUS_500, 0, {500}),
        (Fault.STATUS_503_SECONDS, 0, {503}),
        (Fault.STATUS_503_DATE, 0, {503}),
        (Fault.STATUS_400, 0, {400}),
        (Fault.STATUS_429, 0, {429}),
        (Fault.STATUS_413, 0, {413}),
        (Fault.STATUS_404, 0, {404}),
        (Fault.NO_JSON, 0, {200}),
        (Fault.STATUS_504_AFTER_COMMIT, 1, {504}),
        (Fault.NO_JSON_AFTER_COMMIT, 1, {200}),
    ],
)
def test_a_fault_does_what_it_says(upstream, fault, received, seen):
    """The server gets the request or does not, and the client sees the fault."""
    with Proxy(upstream.url, plan=Sequence(fault), seed=1) as proxy:
        seconds = IMPATIENT_SECONDS if "ReadTimeout" in seen else PATIENT_SECONDS
        assert ask(proxy.url, seconds=seconds) in seen
        proxy.drain()
        assert [BODY] * received == upstream.received
        assert Tally({fault: 1}) == proxy.counts


def test_a_request_is_overtaken_by_the_next_one(upstream, monkeypatch):
    """A request that the proxy holds back reaches the server after its client's next request."""
    monkeypatch.setattr("tests.chaos.exchange.OVERTAKEN_SECONDS", 60.0)
    with Proxy(upstream.url, plan=Sequence(Fault.OVERTAKEN)) as proxy:
        assert "ReadTimeout" == ask(proxy.url, b"first", IMPATIENT_SECONDS)
        assert 200 == ask(proxy.url, b"second")
        proxy.drain()
        assert [b"second", b"first"] == upstream.received


def test_nobody_listens_while_connections_are_refused(upstream):
    """The operating system refuses a client, which gets through afterwards."""
    with Proxy(upstream.url) as proxy:
        proxy.refuse_for(60)
        wait_until(lambda: ask(proxy.url) == "ConnectError", 10)
        proxy.accept_again()
        wait_until(lambda: ask(proxy.url) == 200, 10)


def test_without_a_server_connections_are_reset():
    """A proxy without a server answers nothing."""
    with Proxy() as proxy:
        assert "ReadError" == ask(proxy.url)


def test_a_body_beyond_the_limit_is_refused(upstream):
    """The limit holds for a request, whatever fault would have come next."""
    with Proxy(upstream.url, body_bytes_max=len(BODY) - 1) as proxy:
        assert 413 == ask(proxy.url)
        proxy.body_bytes_max = len(BODY)
        assert 200 == ask(proxy.url)


@pytest.mark.parametrize("takes_gzip", [True, False])
def test_the_offer_to_take_compressed_bodies_can_be_kept_back(upstream, takes_gzip):
    """A proxy that takes no compressed bodies does not pass the server's offer on."""
    with Proxy(upstream.url, takes_gzip=takes_gzip) as proxy:
        answered = httpx.post(proxy.url, content=BODY)
        assert takes_gzip == ("Accept-Encoding" in answered.headers)


def test_a_deck_deals_every_fault_before_any_comes_again():
    """A run of any length has every fault, in an order that follows from its seed."""
    decks = [Deck(random.Random(seed)) for seed in (1, 1, 2)]
    faults = [fault for fault in Fault if fault not in {Fault.NONE, Fault.STATUS_400}]
    dealt = [[deck.draw(BATCH_PATH) for _ in range(2 * len(faults))] for deck in decks]
    assert Tally([*faults, *[Fault.NONE] * len(faults)]) == Tally(dealt[0])
    assert dealt[0] == dealt[1]
    assert dealt[0] != dealt[2]
