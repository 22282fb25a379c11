"""aflush() and aclose() answer as flush() and shutdown() do, while the event loop goes on."""

from __future__ import annotations

import asyncio
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import noetl_metrics_sdk as metrics
from noetl_metrics_sdk import FlushResult, Registry
from noetl_metrics_sdk.process.awaiting import in_own_thread
from noetl_metrics_sdk.testing import InMemoryTransport
from tests.sdk.gated_transport import (
    NOTHING,
    GatedTransport,
    client_threads,
    make_client,
    started_client,
)

CALLS = ["aflush", "aclose"]


@pytest.mark.parametrize("call", CALLS)
def test_awaiting_gives_the_same_answer(call):
    """The answer says what was sent, pending and dropped, and whether the time ran out."""
    transport = InMemoryTransport()
    client = started_client(transport=transport)
    client.record("value", 1)
    assert NOTHING._replace(sent=1) == asyncio.run(getattr(client, call)(5))
    assert 1 == len(transport.received("value"))
    client.shutdown()


@pytest.mark.parametrize("call", CALLS)
def test_the_event_loop_goes_on_meanwhile(call):
    """A delivery that needs the event loop's help gets it."""
    transport = GatedTransport()
    client = started_client(transport=transport)
    client.record("value", 1)

    async def main():
        asyncio.get_running_loop().call_soon(transport.gate.opened.set)
        return await getattr(client, call)(timeout=30)

    assert NOTHING._replace(sent=1) == asyncio.run(main())
    client.shutdown()


def test_awaiting_needs_no_thread_of_the_executor():
    """A program can flush while its jobs have taken every thread of the loop's executor."""
    client = started_client()
    client.record("value", 1)
    over = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        job = loop.run_in_executor(None, over.wait)
        answers = [await client.aflush(30), await client.aclose(30)]
        over.set()
        await job
        return answers

    assert [NOTHING._replace(sent=1), NOTHING] == asyncio.run(main())


@pytest.mark.parametrize("call", CALLS)
def test_a_cancelled_task_ends_at_once_and_loses_nothing(call):
    """The delivery goes on without the task, also when the event loop has closed."""
    transport = GatedTransport()
    client = started_client(transport=transport)
    client.record("value", 1)

    async def main():
        task = asyncio.create_task(getattr(client, call)(timeout=30))
        assert await asyncio.to_thread(transport.gate.reached.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    transport.gate.opened.set()
    assert 0 == client.shutdown(30).pending
    for thread in client_threads():
        thread.join(30)
    assert 1 == len(transport.received("value"))


@pytest.mark.parametrize("call", CALLS)
def test_a_time_limit_of_asyncio_is_kept(call):
    """asyncio.timeout() around either call ends the waiting, whatever the delivery does."""
    transport = GatedTransport()
    client = started_client(transport=transport)
    client.record("value", 1)

    async def main():
        async with asyncio.timeout(0.01):
            await getattr(client, call)(timeout=30)

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    transport.gate.opened.set()
    assert 0 == client.shutdown(30).pending


def test_many_tasks_may_flush_and_close_at_once():
    """Every task gets an answer, no close leaves a sample, and each sample is sent once."""
    transport = InMemoryTransport()
    client = started_client(transport=transport)
    client.record("value", 1)

    async def main():
        flushes = [client.aflush() for _ in range(4)]
        closes = [client.aclose() for _ in range(4)]
        return await asyncio.gather(*closes, *flushes)

    answers = asyncio.run(main())
    assert [0] * 4 == [answer.pending for answer in answers[:4]]
    assert 8 == len(answers)
    assert 1 == len(transport.received("value"))


def test_closing_restores_the_default_of_sigterm():
    """aclose() restores the handler as shutdown() does in the main thread."""
    client = make_client().start()
    assert signal.SIG_DFL != signal.getsignal(signal.SIGTERM)
    asyncio.run(client.aclose())
    assert signal.SIG_DFL == signal.getsignal(signal.SIGTERM)


def test_what_the_call_raises_is_raised_where_it_is_awaited():
    """The awaiting task gets the error of the call."""

    def fail():
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(in_own_thread("failing", fail))


def test_the_client_of_the_process_can_be_awaited_too():
    """The package has aflush() and aclose(); without a client, both do nothing."""

    async def main():
        transport = InMemoryTransport()
        client = metrics.init(
            component_name="pool",
            transport=transport,
            registry=Registry(),
            system_metrics=(),
            self_metrics=False,
        )
        client.record("value", 1)
        flushed, closed = await metrics.aflush(), await metrics.aclose()
        assert 1 == len(transport.received("value"))
        return [flushed.pending, closed.pending, await metrics.aflush(), await metrics.aclose()]

    nothing = FlushResult(sent=0, pending=0, dropped=0, timed_out=False)
    assert [0, 0, nothing, nothing] == asyncio.run(main())


@pytest.mark.parametrize("call", CALLS)
def test_trio_awaits_as_asyncio_does(call):
    """trio's loop goes on meanwhile, and gets the same answer."""
    trio = pytest.importorskip("trio", reason="trio is not installed")
    transport = GatedTransport()
    client = started_client(transport=transport)
    client.record("value", 1)
    answers = []

    async def main():
        async with trio.open_nursery() as nursery:

            async def await_it():
                answers.append(await getattr(client, call)(timeout=30))

            nursery.start_soon(await_it)
            await trio.to_thread.run_sync(transport.gate.reached.wait)
            transport.gate.opened.set()

    trio.run(main)
    assert [NOTHING._replace(sent=1)] == answers
    client.shutdown()


@pytest.mark.parametrize("call", CALLS)
def test_a_cancelled_task_of_trio_ends_at_once_and_loses_nothing(call):
    """The delivery goes on without the task, also when trio's loop has ended."""
    trio = pytest.importorskip("trio", reason="trio is not installed")
    transport = GatedTransport()
    client = started_client(transport=transport)
    client.record("value", 1)

    async def main():
        with trio.move_on_after(0.01) as scope:
            await getattr(client, call)(timeout=30)
        return scope.cancelled_caught

    assert trio.run(main)
    transport.gate.opened.set()
    assert 0 == client.shutdown(30).pending
    assert 1 == len(transport.received("value"))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_program_of_anyio_may_run_on_either_loop(backend):
    """An error of the call is raised where it is awaited, under both."""
    anyio = pytest.importorskip("anyio")
    pytest.importorskip(backend)

    async def main():
        assert 7 == await in_own_thread("answering", lambda: 7)
        with pytest.raises(ZeroDivisionError):
            await in_own_thread("failing", lambda: 1 // 0)

    anyio.run(main, backend=backend)
