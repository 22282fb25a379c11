"""A receiver that ends connections as it has announced, or out of habit, has not died."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx
import pytest

from server_stub.errors import ReceiverUnavailableError
from server_stub.time_series_database.receiver import SHORT_CONNECTIONS_MAX, Receiver
from tests.server.application import insert, sample
from tests.server.receiving import FakeReceiver, running_export

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.server.application import Api
    from tests.server.receiving import RunningExport

pytestmark = pytest.mark.once

ROWS, BATCHES = 100, 8
NEVER = 10**9


@contextmanager
def listening(
    fake: FakeReceiver, protocol: str, header: str | None, answers_max: int
) -> Generator[str]:
    """Run a receiver on a socket; give its URL.

    Args:
        fake: gets the requests.
        protocol: the version of HTTP that the receiver answers with.
        header: the `Connection` of its answers.
        answers_max: after how many answers it ends a connection without a word.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = protocol
        answers = 0

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            answer = fake.handle(
                httpx.Request("POST", url, headers=dict(self.headers), content=content)
            )
            self.answers += 1
            self.send_response(answer.status_code)
            if answer.status_code != 204:
                self.send_header("Content-Length", "0")
            if header is not None:
                self.send_header("Connection", header)
            self.end_headers()
            if self.answers >= answers_max:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Keep the output of the tests clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}/api/v1/write"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def takes_turn(export: RunningExport, races: list[Exception]) -> bool:
    """Take a turn of the export; return whether another one has something to do."""
    try:
        return export.turn()
    except ReceiverUnavailableError as error:
        # The receiver has ended a connection in the moment in which it was used again.
        races.append(error)
        return True


@pytest.mark.parametrize(
    ("protocol", "header", "answers_max", "deaths_max"),
    [
        pytest.param("HTTP/1.0", None, NEVER, 0, id="http-1.0"),
        pytest.param("HTTP/1.1", "close", NEVER, 0, id="announced"),
        pytest.param("HTTP/1.1", "X-Other, Close", NEVER, 0, id="announced-among-others"),
        pytest.param("HTTP/1.1", None, NEVER, 0, id="kept"),
        pytest.param("HTTP/1.1", None, 1, SHORT_CONNECTIONS_MAX, id="habit"),
    ],
)
def test_a_connection_that_ends_as_expected_repeats_nothing(
    embedded_api: Api, protocol: str, header: str | None, answers_max: int, deaths_max: int
) -> None:
    """Each row is sent once, but for the few times that a habit needs to be known as one."""
    api = embedded_api
    runtime_id = api.register()
    fake = FakeReceiver()
    races: list[Exception] = []
    with (
        listening(fake, protocol, header, answers_max) as url,
        running_export(api, Receiver(url, {}), export_settling_seconds=3600.0) as export,
    ):
        for batch in range(BATCHES):
            rows = [sample(metric_value=float(batch * ROWS + n), timestamp=batch * ROWS + n)
                    for n in range(ROWS)]  # fmt: skip
            insert(api, runtime_id, *rows)
            turns = 0
            while takes_turn(export, races):
                turns += 1
                assert turns < 10 * (1 + deaths_max) + BATCHES * len(races)
        values = fake.values("jobs_total")
        assert [float(n) for n in range(BATCHES * ROWS)] == sorted(set(values))
        # The first connection counts as one that came after a restart.
        assert export.receiver.interruptions <= 2 + deaths_max + len(races)
        assert len(fake.requests) <= 2 + BATCHES * (2 + deaths_max + len(races))


def test_a_connection_that_ends_unexpectedly_may_be_a_death(embedded_api: Api) -> None:
    """A receiver that ends a connection after several answers is sent again what is unsettled."""
    api = embedded_api
    runtime_id = api.register()
    fake = FakeReceiver()
    races: list[Exception] = []
    with (
        listening(fake, "HTTP/1.1", None, 4) as url,
        running_export(api, Receiver(url, {}), export_settling_seconds=3600.0) as export,
    ):
        insert(api, runtime_id, sample(metric_value=1.0, timestamp=1))
        while takes_turn(export, races):
            pass
        before = export.receiver.interruptions
        races.clear()
        for number in range(2, 8):
            insert(api, runtime_id, sample(metric_value=float(number), timestamp=number))
            takes_turn(export, races)
        assert export.receiver.interruptions > before + len(races)
        assert fake.values("jobs_total").count(1.0) > 1
