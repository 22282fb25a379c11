"""The HTTP transport: what it sends, and what each answer means."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest

from noetl_metrics_sdk.errors import (
    PayloadTooLargeError,
    RecoverableError,
    RejectedError,
    RouteMissingError,
    UnauthorizedError,
    UnknownRuntimeError,
)
from noetl_metrics_sdk.model.metric import MetricType, Series
from noetl_metrics_sdk.queue.wire import Batch, SampleEncoder
from noetl_metrics_sdk.transport.http import (
    ANSWER_BYTES_MAX,
    ANSWER_BYTES_PER_SAMPLE_MAX,
    HttpTransport,
    retry_after_seconds,
)
from noetl_metrics_sdk.transport.protocol import Receipt, Registration
from tests.sdk.stamped import stamped

URL = "http://metrics.test"


@pytest.fixture
def transport():
    transport = HttpTransport(URL + "/", {"X-Token": "t"})
    yield transport
    transport.close()


def make_batch(samples=1):
    encoder = SampleEncoder({})
    items = [
        encoder.encode(stamped(Series("jobs_total", MetricType.COUNTER, {"n": str(n)}), 1.0, 5.0))
        for n in range(samples)
    ]
    return Batch("boot:1", items)


def ok(inserted=1, **fields):
    answer = {"status": "ok", "metrics_inserted": inserted, "metrics_rejected": 0, **fields}
    return httpx.Response(200, json=answer)


def test_a_batch_travels_with_its_name(respx_mock, transport):
    """The request has the body, the idempotency key and the configured headers."""
    route = respx_mock.post(URL + "/api/metrics").mock(return_value=ok())
    receipt = transport.send(make_batch(), "7", 5)
    request = route.calls.last.request
    assert Receipt(inserted=1, bytes_sent=len(request.content)) == receipt
    assert "boot:1" == request.headers["Idempotency-Key"]
    assert "t" == request.headers["X-Token"]
    assert "7" == json.loads(request.content)["runtime_id"]


def test_a_partial_success_names_the_reasons(respx_mock, transport):
    """The receipt has the number of rejected samples and the server's reasons."""
    errors = [{"index": 0, "reason": "bad value"}, {"index": 1, "reason": "bad name"}]
    answer = ok(1, metrics_rejected=2, errors=errors)
    respx_mock.post(URL + "/api/metrics").mock(return_value=answer)
    receipt = transport.send(make_batch(3), "7", 5)
    assert (1, 2, ("bad value", "bad name")) == receipt[:3]


def test_a_duplicate_is_seen_as_one(respx_mock, transport):
    """The receipt has the status `duplicate`."""
    answer = httpx.Response(200, json={"status": "duplicate", "metrics_inserted": 4})
    respx_mock.post(URL + "/api/metrics").mock(return_value=answer)
    receipt = transport.send(make_batch(), "7", 5)
    assert (4, True) == (receipt.inserted, receipt.duplicate)


def test_bodies_are_compressed_once_the_server_has_said_that_it_takes_it(respx_mock, transport):
    """The first request is plain; after an answer with Accept-Encoding, requests are gzipped."""
    answer = ok()
    answer.headers["Accept-Encoding"] = "gzip, identity"
    route = respx_mock.post(URL + "/api/metrics").mock(return_value=answer)
    batch = make_batch(100)
    transport.send(batch, "7", 5)
    transport.send(batch, "7", 5)
    first, second = (call.request for call in route.calls)
    assert "Content-Encoding" not in first.headers
    assert "gzip" == second.headers["Content-Encoding"]
    assert gzip.decompress(second.content) == first.content


def test_compression_stops_when_the_server_no_longer_offers_it(respx_mock, transport):
    """When a server without gzip takes the place of another, it gets plain bodies again."""
    with_gzip = ok()
    with_gzip.headers["Accept-Encoding"] = "gzip"
    route = respx_mock.post(URL + "/api/metrics").mock(side_effect=[with_gzip, ok(), ok()])
    for _ in range(3):
        transport.send(make_batch(100), "7", 5)
    encodings = [call.request.headers.get("Content-Encoding") for call in route.calls]
    assert [None, "gzip", None] == encodings


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, RejectedError),
        (401, UnauthorizedError),
        (403, UnauthorizedError),
        (404, UnknownRuntimeError),
        (405, RouteMissingError),
        (407, RecoverableError),
        (408, RecoverableError),
        (409, RecoverableError),
        (413, PayloadTooLargeError),
        (415, RecoverableError),
        (422, RejectedError),
        (425, RecoverableError),
        (429, RecoverableError),
        (500, RecoverableError),
        (502, RecoverableError),
        (503, RecoverableError),
        (504, RecoverableError),
        (302, RecoverableError),
    ],
)
def test_every_status_has_its_error(respx_mock, transport, status, error):
    """Each status raises its error, and the message has the server's own reason."""
    answer = httpx.Response(status, json={"detail": "the reason"})
    respx_mock.post(URL + "/api/metrics").mock(return_value=answer)
    with pytest.raises(error) as raised:
        transport.send(make_batch(), "7", 5)
    assert type(raised.value) is error
    assert raised.value.status == status
    assert f"{status}: the reason" in str(raised.value)


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.ConnectTimeout("slow"),
        httpx.ReadTimeout("slow"),
        httpx.WriteError("reset"),
        httpx.ReadError("reset"),
        httpx.RemoteProtocolError("no HTTP"),
        httpx.PoolTimeout("busy"),
    ],
)
def test_a_broken_connection_may_be_tried_again(respx_mock, transport, failure):
    """Whatever breaks the connection, the error is recoverable and names the cause."""
    respx_mock.post(URL + "/api/metrics").mock(side_effect=failure)
    with pytest.raises(RecoverableError, match=type(failure).__name__):
        transport.send(make_batch(), "7", 5)


@pytest.mark.parametrize(
    "content",
    [b"<html>a proxy's page</html>", b"", b"[]", b"7", b'{"metrics_inserted":"x"}',
     b'{"metrics_rejected":-1}', b"\xff\xfe"],
)  # fmt: skip
def test_an_answer_that_cannot_be_read_may_be_tried_again(respx_mock, transport, content):
    """A 200 that is not the server's own answer acknowledges nothing."""
    answer = httpx.Response(200, content=content)
    respx_mock.post(URL + "/api/metrics").mock(return_value=answer)
    with pytest.raises(RecoverableError):
        transport.send(make_batch(), "7", 5)


def test_an_endless_answer_is_cut_off(respx_mock, transport):
    """An answer beyond its bound is not read to its end, and is a failure of its batch."""
    bound = ANSWER_BYTES_MAX + ANSWER_BYTES_PER_SAMPLE_MAX
    answer = httpx.Response(200, content=b"x" * (bound + 1))
    respx_mock.post(URL + "/api/metrics").mock(return_value=answer)
    with pytest.raises(RecoverableError, match="exceeds") as error:
        transport.send(make_batch(), "7", 5)
    assert 200 == error.value.status


def test_an_answer_that_names_every_sample_of_a_large_batch_is_read(respx_mock, transport):
    """The more samples were sent, the longer the answer may be."""
    errors = [{"index": index, "reason": "r" * 300} for index in range(30_000)]
    answer = ok(inserted=0, metrics_rejected=30_000, errors=errors)
    assert len(answer.content) > ANSWER_BYTES_MAX
    respx_mock.post(URL + "/api/metrics").mock(return_value=answer)
    receipt = transport.send(make_batch(30_000), "7", 5)
    assert (0, 30_000, ("r" * 300,)) == (receipt.inserted, receipt.rejected, receipt.reasons[:1])


def test_the_answer_to_a_heartbeat_has_the_bound_of_one(respx_mock, transport):
    """A large batch before it does not make room for a long answer to another request."""
    respx_mock.post(URL + "/api/metrics").mock(return_value=ok(inserted=30_000))
    transport.send(make_batch(30_000), "7", 5)
    respx_mock.post(URL + "/api/worker/pool/heartbeat").mock(
        return_value=httpx.Response(200, content=b"x" * (ANSWER_BYTES_MAX + 1))
    )
    with pytest.raises(RecoverableError, match="exceeds"):
        transport.heartbeat(Registration("pool"), 5)


def test_an_answer_that_drips_is_cut_off_at_the_deadline(respx_mock):
    """The time-out covers the whole answer, not each read of it."""
    times = iter([0.0, 4.0, 6.0])
    transport = HttpTransport(URL, monotonic=lambda: next(times))

    class Dripping(httpx.SyncByteStream):
        def __iter__(self):
            while True:
                yield b" "

    answer = httpx.Response(200, stream=Dripping())
    respx_mock.post(URL + "/api/metrics").mock(return_value=answer)
    with pytest.raises(RecoverableError, match="did not end in time"):
        transport.send(make_batch(), "7", timeout=5)
    transport.close()


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 3 ", 3.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("Tue, 99 Nov 2023 22:14:20 GMT", None),
        ("٣", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(header, seconds):
    """Seconds and HTTP dates are understood; any other value is ignored."""
    assert seconds == retry_after_seconds(header, now=1_700_000_000.0)


def test_an_error_says_which_server_and_keeps_its_password(respx_mock):
    """The message has the whole address, without the credentials of the URL."""
    transport = HttpTransport("http://me:hidden@metrics.test:8082/base")
    respx_mock.post("http://metrics.test:8082/base/api/metrics").mock(
        side_effect=httpx.ConnectError("refused")
    )
    with pytest.raises(RecoverableError) as raised:
        transport.send(make_batch(), "7", 5)
    expected = "POST http://metrics.test:8082/base/api/metrics: ConnectError: refused"
    assert expected == str(raised.value)
    transport.close()


def test_retry_after_reaches_the_error(respx_mock, transport):
    """The error has the seconds for which a 503 asks the client to wait."""
    answer = httpx.Response(503, headers={"Retry-After": "7"}, json={"detail": "full"})
    respx_mock.post(URL + "/api/metrics").mock(return_value=answer)
    with pytest.raises(RecoverableError) as raised:
        transport.send(make_batch(), "7", 5)
    assert 7.0 == raised.value.retry_after


@pytest.mark.parametrize(
    ("component_type", "path"),
    [("worker_pool", "/api/worker/pool/register"), ("server_api", "/api/runtime/register")],
)
@pytest.mark.parametrize("answered_id", ["9007199254740993", 9007199254740993])
def test_a_component_registers_at_the_route_of_its_type(
    respx_mock, transport, component_type, path, answered_id
):
    """The registration names the component; the answered id may be a string or a number."""
    answer = httpx.Response(200, json={"status": "ok", "runtime_id": answered_id})
    route = respx_mock.post(URL + path).mock(return_value=answer)
    registration = Registration("pool", component_type, {"site": "a"}, "host", 12, "gpu")
    assert "9007199254740993" == transport.register(registration, 5)
    body = json.loads(route.calls.last.request.content)
    assert (body["name"], body["kind"], body["labels"]) == ("pool", component_type, {"site": "a"})
    assert ("host", 12, "gpu") == (body["hostname"], body["pid"], body["runtime"])


def test_a_registration_has_only_what_was_given(respx_mock, transport):
    """What the worker has registered itself stays, if the client says nothing about it."""
    route = respx_mock.post(URL + "/api/worker/pool/register").mock(
        return_value=httpx.Response(200, json={"runtime_id": "7"})
    )
    transport.register(Registration("pool"), 5)
    assert {"name": "pool", "kind": "worker_pool"} == json.loads(route.calls.last.request.content)


def test_a_server_that_wants_the_runtime_gets_it(respx_mock, transport):
    """An older NoETL server refuses a registration without it; the next request has it."""
    refused = httpx.Response(400, json={"detail": "name and runtime are required"})
    taken = httpx.Response(200, json={"runtime_id": "7"})
    route = respx_mock.post(URL + "/api/worker/pool/register").mock(side_effect=[refused, taken])
    assert "7" == transport.register(Registration("pool"), 5)
    assert "python" == json.loads(route.calls.last.request.content)["runtime"]


def test_another_refusal_of_a_registration_is_not_about_the_runtime(respx_mock, transport):
    """The path of the route has the word in it, and the refusal does not."""
    refused = httpx.Response(400, json={"detail": "uri is required for broker components"})
    route = respx_mock.post(URL + "/api/runtime/register").mock(return_value=refused)
    with pytest.raises(RejectedError, match="uri is required"):
        transport.register(Registration("pool", "broker"), 5)
    assert 1 == len(route.calls)


@pytest.mark.parametrize("answered_id", [None, "", "abc", True, 1.5, {}])
def test_a_registration_without_an_id_may_be_tried_again(respx_mock, transport, answered_id):
    """An answer whose runtime_id is no number registers nothing."""
    answer = httpx.Response(200, json={"runtime_id": answered_id})
    respx_mock.post(URL + "/api/worker/pool/register").mock(return_value=answer)
    with pytest.raises(RecoverableError, match="no number"):
        transport.register(Registration("pool"), 5)


def test_a_heartbeat_names_the_component(respx_mock, transport):
    """The heartbeat has the component's name; 404 means that the server does not know it."""
    answers = [httpx.Response(200, json={}), httpx.Response(404, json={"detail": "no pool"})]
    route = respx_mock.post(URL + "/api/worker/pool/heartbeat").mock(side_effect=answers)
    transport.heartbeat(Registration("pool"), 5)
    assert "pool" == json.loads(route.calls.last.request.content)["name"]
    with pytest.raises(UnknownRuntimeError):
        transport.heartbeat(Registration("pool"), 5)


def test_a_heartbeat_tells_of_the_process(respx_mock, transport):
    """Heartbeats and registrations have what the server records of a process, as other fields."""
    process = {
        "worker_id": "w1", "hostname": "host", "pid": 7, "started_at": 5.25,
        "heartbeat_interval": 30.0, "sdk_version": "0.1.0",
    }  # fmt: skip
    registration = Registration("pool", "broker", **process)  # type: ignore[arg-type] # as typed
    route = respx_mock.post(URL + "/api/worker/pool/heartbeat").mock(
        return_value=httpx.Response(200, json={})
    )
    transport.heartbeat(registration, 5)
    expected = {"name": "pool", "kind": "broker", **process}
    assert expected == json.loads(route.calls.last.request.content)
    route = respx_mock.post(URL + "/api/runtime/register").mock(
        return_value=httpx.Response(200, json={"runtime_id": "7"})
    )
    transport.register(registration, 5)
    assert expected.items() <= json.loads(route.calls.last.request.content).items()


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_goodbye_is_sent_whatever_the_answer_is(respx_mock, transport, status):
    """All of it is in the URL: a server needs no body to act on it."""
    route = respx_mock.post(url__startswith=URL + "/api/worker/pool/goodbye").mock(
        return_value=httpx.Response(status)
    )
    transport.goodbye(Registration("pool", worker_id="w1", started_at=5.25), 5)
    request = route.calls.last.request
    assert b"" == request.content
    assert ("pool", "w1", "5.25") == tuple(
        request.url.params[name] for name in ("name", "worker_id", "started_at")
    )


def test_a_goodbye_that_cannot_be_sent_is_given_up():
    """Nothing listens there, and nothing is raised."""
    transport = HttpTransport("http://127.0.0.1:1")
    transport.goodbye(Registration("pool", worker_id="w1"), 5)
    transport.close()


def test_a_server_that_no_longer_takes_gzip_gets_the_batch_plain(respx_mock, transport):
    """415 to a compressed batch is recoverable, and the next attempt is not compressed."""
    with_gzip = ok()
    with_gzip.headers["Accept-Encoding"] = "gzip"
    route = respx_mock.post(URL + "/api/metrics").mock(
        side_effect=[with_gzip, httpx.Response(415, json={"detail": "no gzip"}), ok(100)]
    )
    transport.send(make_batch(100), "7", 5)
    with pytest.raises(RecoverableError, match="without compression"):
        transport.send(make_batch(100), "7", 5)
    receipt = transport.send(make_batch(100), "7", 5)
    assert (100, len(route.calls.last.request.content)) == (receipt.inserted, receipt.bytes_sent)
    encodings = [call.request.headers.get("Content-Encoding") for call in route.calls]
    assert [None, "gzip", None] == encodings


def test_a_heartbeat_leaves_compression_as_it_is(respx_mock, transport):
    """Only answers of the route that takes batches say which encodings it takes."""
    with_gzip = ok()
    with_gzip.headers["Accept-Encoding"] = "gzip"
    route = respx_mock.post(URL + "/api/metrics").mock(return_value=with_gzip)
    respx_mock.post(URL + "/api/worker/pool/heartbeat").mock(
        return_value=httpx.Response(200, json={})
    )
    transport.send(make_batch(100), "7", 5)
    transport.heartbeat(Registration("pool"), 5)
    transport.send(make_batch(100), "7", 5)
    assert "gzip" == route.calls.last.request.headers["Content-Encoding"]
