"""flush() and shutdown() at any time: twice, at once, too early, and from a handler."""

from __future__ import annotations

import signal
import threading
from functools import partial
from itertools import count

import pytest

from noetl_metrics_sdk import ConfigurationError, Registry
from noetl_metrics_sdk.testing import InMemoryTransport
from tests.sdk.forked_programs import run, totals
from tests.sdk.gated_transport import (
    NOTHING,
    Gate,
    GatedTransport,
    client_threads,
    make_client,
    started_client,
)
from tests.sdk.interruption import interrupted

CALLS = ["flush", "shutdown"]


def in_thread(call):
    """Run a call in a thread; return the thread, and the list that will have its answer."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    return thread, answers


def test_a_shutdown_before_the_start_ends_the_client():
    """A client that never started has nothing to deliver, and can no longer be started."""
    client = make_client()
    client.record("value", 1)
    assert NOTHING._replace(pending=1) == client.shutdown()
    assert NOTHING._replace(pending=1) == client.shutdown()
    with pytest.raises(ConfigurationError, match="make a new one"):
        client.start()


def test_a_short_shutdown_beside_a_long_one_costs_no_sample():
    """Two shutdowns at once are one delivery, with the time of the first one."""
    gate, transport = Gate(), InMemoryTransport()
    registry = Registry()
    registry.register(gate)
    client = started_client(registry=registry, transport=transport)
    client.record("value", 1)
    thread, answers = in_thread(lambda: client.shutdown(timeout=30))
    assert gate.reached.wait(30)
    assert NOTHING._replace(pending=1, timed_out=True) == client.shutdown(timeout=0)
    gate.opened.set()
    thread.join()
    assert [NOTHING._replace(sent=1)] == answers
    assert 1 == len(transport.received("value"))


def test_a_second_shutdown_waits_for_the_first():
    """It returns only when all is delivered: the caller may end the process next."""
    transport = GatedTransport()
    client = started_client(transport=transport)
    client.record("value", 1)
    first, first_answers = in_thread(lambda: client.shutdown(timeout=30))
    assert transport.gate.reached.wait(30)
    second, second_answers = in_thread(lambda: client.shutdown(timeout=30))
    transport.gate.opened.set()
    first.join()
    second.join()
    assert [0, 0] == [answer.pending for answer in first_answers + second_answers]
    assert [False, False] == [answer.timed_out for answer in first_answers + second_answers]
    assert transport.closed


def test_a_flush_beside_a_shutdown_gets_an_answer():
    """The delivery of a shutdown answers a flush that was waiting."""
    transport = GatedTransport()
    client = started_client(transport=transport)
    client.record("value", 1)
    flush, answers = in_thread(lambda: client.flush(30))
    assert transport.gate.reached.wait(30)
    shutdown, _ = in_thread(lambda: client.shutdown(timeout=30))
    transport.gate.opened.set()
    flush.join()
    shutdown.join()
    assert [NOTHING._replace(sent=1)] == answers


def test_starting_is_refused_at_once_while_a_shutdown_is_under_way():
    """start() is refused at once and does not wait for the delivery."""
    transport = GatedTransport()
    client = started_client(transport=transport)
    client.record("value", 1)
    shutdown, _ = in_thread(lambda: client.shutdown(timeout=30))
    assert transport.gate.reached.wait(30)
    with pytest.raises(ConfigurationError, match="make a new one"):
        client.start()
    transport.gate.opened.set()
    shutdown.join()


@pytest.mark.parametrize("handled", CALLS)
@pytest.mark.parametrize("waiting", CALLS)
def test_a_signal_handler_may_end_what_it_interrupts(waiting, handled):
    """A handler that interrupts the main thread in a call may make a call itself."""
    answers = []
    main_thread = threading.get_ident()

    class Interrupting(InMemoryTransport):
        def send(self, batch, runtime_id, timeout):
            if not self.keys:
                signal.pthread_kill(main_thread, signal.SIGUSR1)
            return super().send(batch, runtime_id, timeout)

    transport = Interrupting()
    client = started_client(transport=transport)
    client.record("value", 1)
    before = signal.signal(
        signal.SIGUSR1, lambda *_: answers.append(getattr(client, handled)(timeout=30))
    )
    try:
        answers.append(getattr(client, waiting)(timeout=30))
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert [(0, False), (0, False)] == [(answer.pending, answer.timed_out) for answer in answers]
    client.shutdown()
    assert 1 == len(transport.received("value"))
    assert [] == client_threads()


@pytest.mark.parametrize("handled", CALLS)
@pytest.mark.parametrize("interrupts", ["start", "record", *CALLS])
def test_a_handler_is_safe_at_every_point_of_a_call(interrupts, handled):
    """Wherever a handler interrupts a call, both return, and a last shutdown ends every thread."""

    for point in count(1):
        client = make_client()
        if interrupts != "start":
            client.start()
        calls = {
            "start": client.start,
            "record": partial(client.record, "value", 1),
            "flush": partial(client.flush, timeout=0.02),
            "shutdown": partial(client.shutdown, timeout=0.02),
        }
        try:
            over = not interrupted(point, calls[interrupts], calls[handled])
        except ConfigurationError:  # the client was shut down before it was started
            over = False
        client.shutdown()
        for thread in client_threads():
            thread.join(30)
        assert [] == client_threads()
        if over:
            break
    assert point > 5


def test_a_child_is_not_held_up_by_a_shutdown_of_its_parent(tmp_path):
    """A child forked while its parent's client ends has no client, and waits for no lock of it."""
    processes = run(
        """
        client = MetricsClient(
            component_name="pool", transport=WritingTransport(), system_metrics=(),
            self_metrics=False,
        ).start()
        count(1)
        client.shutdown()
        held, forked = threading.Event(), threading.Event()

        def hold():
            with client._lock, client._engine.buffer._lock:
                held.set()
                forked.wait()

        threading.Thread(target=hold).start()
        held.wait()
        pid = os.fork()
        if pid == 0:
            count(1)
            client.record("value", 1)
            assert client.flush() == client.shutdown() == (0, 1, 0, False, 0)
            assert client.stats().samples.added == 1
            sys.exit()
        forked.set()
        assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
    )
    assert [1.0] == totals(processes)


def test_a_child_may_flush_and_shut_down(tmp_path):
    """In a forked child both deliver what the child has counted, once, before and at its end."""
    processes = run(
        """
        start()
        count(7)
        pid = os.fork()
        if pid == 0:
            count(2)
            assert metrics.flush().pending == 0
            count(1)
            client = metrics.client.process_client._process.client
            assert metrics.shutdown().pending == 0
            assert client.shutdown() == client.flush() == (0, 0, 0, False, 0)
            sys.exit()
        assert os.waitpid(pid, 0)[1] == 0
        """,
        tmp_path,
    )
    assert [3.0, 7.0] == totals(processes)
