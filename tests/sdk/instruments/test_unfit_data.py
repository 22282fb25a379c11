"""What a job's data makes unfit for an instrument: counted, and logged once with its place."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import pytest

from noetl_metrics_sdk import (
    Counter,
    Gauge,
    Histogram,
    InvalidMetricError,
    Registry,
    Summary,
    track_job,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LEAVING_OUT: list[tuple[type[Any], str, Callable[[Any], None]]] = [
    (Counter, "inc(nan)", lambda made: made.inc(math.nan)),
    (Counter, "inc(inf)", lambda made: made.inc(10**5_000)),
    (Gauge, "inc(inf)", lambda made: made.inc(math.inf)),
    (Gauge, "dec(-inf)", lambda made: made.dec(-math.inf)),
    (Histogram, "observe(nan)", lambda made: made.observe(math.nan)),
    (Summary, "observe(nan)", lambda made: made.observe(math.nan)),
]


def places(log: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in log.records]


@pytest.mark.parametrize(
    ("kind", "call", "leave_out"),
    LEAVING_OUT,
    ids=[f"{one[0].__name__}-{one[1]}" for one in LEAVING_OUT],
)
def test_first_amount_is_logged_with_its_place(
    kind: type[Any], call: str, leave_out: Callable[[Any], None], caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the instrument, the amount and the line of the program, once."""
    made = kind("ratio", "d", registry=None)
    with caplog.at_level(logging.WARNING, "noetl_metrics_sdk"):
        leave_out(made)
        leave_out(made)
    line = leave_out.__code__.co_firstlineno
    message = (
        f"{kind.__name__}('ratio').{call} at {__file__}:{line} in <lambda>: the amount is left "
        "out, as it would spoil the value for ever; amounts_left_out counts all of this instrument"
    )
    assert (2, [message]) == (made.amounts_left_out, places(caplog))


def test_first_label_value_is_logged_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    """The log shows the values and the line of the program, once for an instrument."""
    counter = Counter("files", "d", ["path"], registry=None)
    with caplog.at_level(logging.WARNING, "noetl_metrics_sdk"):
        for path in ("a\x00", "\udcff"):
            counter.labels(path).inc()
    (message,) = places(caplog)
    assert message.startswith(rf"Counter('files').labels() got ('a\x00',) at {__file__}:")
    assert "in test_first_label_value_is_logged_with_its_place: U+FFFD replaces" in message
    assert 2 == counter.label_values_replaced


def test_children_count_with_their_parent(caplog: pytest.LogCaptureFixture) -> None:
    """An instrument counts what all of its children leave out, and logs the first of them."""
    counter = Counter("rows", "d", ["source"], registry=None)
    with caplog.at_level(logging.WARNING, "noetl_metrics_sdk"):
        for source in ("a", "b"):
            counter.labels(source).inc(math.inf)
    assert (2, 1) == (counter.amounts_left_out, len(caplog.records))
    assert "Counter('rows', {'source': 'a'}).inc(inf)" in places(caplog)[0]


def test_program_that_uses_an_instrument_while_it_logs(caplog: pytest.LogCaptureFixture) -> None:
    """A handler of the log may use the same instrument, and is called once for each kind."""
    counter = Counter("rows", "d", ["source"], registry=None)

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            counter.labels("log\x00").inc(math.nan)

    handler = Handler()
    logger = logging.getLogger("noetl_metrics_sdk")
    logger.addHandler(handler)
    try:
        counter.labels("a\x00").inc()
    finally:
        logger.removeHandler(handler)
    # The handler runs for the first label value, and within that for the first amount.
    assert (3, 2) == (counter.label_values_replaced, counter.amounts_left_out)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda counter: counter.inc(math.nan),
        lambda counter: counter.labels("a").inc(-1),
        lambda counter: counter.labels("a\x00", "b"),
        lambda counter: counter.labels(wrong="a\x00"),
    ],
)
def test_mistakes_in_the_code_raise(mistake: Callable[[Counter], object]) -> None:
    """Missing labels, wrong names and a negative increment are no data, and raise."""
    counter = Counter("rows", "d", ["source"], registry=None)
    with pytest.raises(InvalidMetricError):
        mistake(counter)
    assert (0, 0) == (counter.amounts_left_out, counter.label_values_replaced)


class Speechless:
    """An object of a job that raises when it is asked for its text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("value", [Speechless(), 10**5_000], ids=["object", "number"])
def test_a_label_value_without_a_text_does_not_raise(value: object) -> None:
    """It is counted under U+FFFD, and can be removed as such."""
    counter = Counter("files", "d", ["path", "kind"], registry=None)
    counter.labels(value, "a").inc()
    (family,) = counter.collect()
    assert [{"path": "\ufffd", "kind": "a"}] == [dict(s.labels) for s in family.samples]
    assert 1 == counter.label_values_replaced
    counter.remove(value, "a")
    assert 0 == counter.series_count


def test_a_job_ends_whatever_its_labels_are() -> None:
    """A label without a text raises neither at the beginning nor at the end of a job."""
    registry = Registry()
    with track_job("a", registry=registry, tenant=Speechless()) as job:
        job.set_labels(tenant=Speechless())
    labels = {"job_type": "a", "status": "completed", "exception": "", "tenant": "\ufffd"}
    assert 1.0 == registry.get_sample_value("noetl_jobs_processed_total", labels)
