"""Decorated generators and asynchronous generators behave as without the decorator."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from typing import TYPE_CHECKING, Any

import pytest

from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from tests.sdk.instruments.measured_work import Instruments

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Generator


@pytest.fixture
def instruments(monkeypatch: pytest.MonkeyPatch) -> Instruments:
    instruments = Instruments()
    monkeypatch.setattr(MEASURING_CLOCK, "perf_counter", lambda: instruments.now)
    return instruments


class Conversation:
    """A generator and its asynchronous twin, which log everything that happens to them."""

    def __init__(self, work: Callable[[float], object]) -> None:
        self.log: list[object] = []
        self._work = work

    def generator(self, turns: int) -> Generator[int, str, str]:
        try:
            for turn in range(turns):
                self._work(1)
                try:
                    self.log.append((yield turn))
                except KeyError as error:
                    self.log.append(repr(error))
            return "over"
        finally:
            self.log.append("finally")

    async def async_generator(self, turns: int) -> AsyncGenerator[int, str]:
        try:
            for turn in range(turns):
                await asyncio.sleep(0)
                self._work(1)
                try:
                    self.log.append((yield turn))
                except KeyError as error:
                    self.log.append(repr(error))
        finally:
            await asyncio.sleep(0)
            self.log.append("finally")


class Stubborn(Conversation):
    """Its generators handle GeneratorExit, and go on or return instead of ending by it."""

    def generator(self, turns: int) -> Generator[int, str, str]:
        for turn in range(turns):
            self._work(1)
            try:
                self.log.append((yield turn))
            except GeneratorExit as error:
                self.log.append(repr(error))
                if turn:
                    return "exit"
        return "over"

    async def async_generator(self, turns: int) -> AsyncGenerator[int, str]:
        for turn in range(turns):
            await asyncio.sleep(0)
            self._work(1)
            try:
                self.log.append((yield turn))
            except GeneratorExit as error:
                self.log.append(repr(error))
                if turn:
                    return


# Each of these drives a generator of three turns, and returns what it got from it.
def exhaust(generator: Generator[int, Any, str]) -> list[object]:
    return [list(generator)]


def send(generator: Generator[int, Any, str]) -> list[object]:
    got: list[object] = [next(generator), generator.send("a"), generator.send("b")]
    try:
        generator.send("c")
    except StopIteration as stop:
        got.append(stop.value)
    return got


def throw_handled(generator: Generator[int, Any, str]) -> list[object]:
    return [next(generator), generator.throw(KeyError("k")), list(generator)]


def throw_unhandled(generator: Generator[int, Any, str]) -> list[object]:
    error = ValueError("v")
    got: list[object] = [next(generator)]
    try:
        generator.throw(error)
    except ValueError as raised:
        got.append(raised is error)
    return [*got, list(generator)]


def throw_exit(generator: Generator[int, Any, str]) -> list[object]:
    got: list[object] = [next(generator)]
    try:
        got.append(generator.throw(GeneratorExit()))
        got.append(generator.throw(GeneratorExit("again")))
    except (GeneratorExit, StopIteration) as end:
        got += [type(end), getattr(end, "value", None)]
    return [*got, list(generator)]


def close(generator: Generator[int, Any, str]) -> list[object]:
    first = next(generator)
    generator.close()
    return [first, list(generator)]


def abandon(generator: Generator[int, Any, str]) -> list[object]:
    return [next(generator)]


def never_start(generator: Generator[int, Any, str]) -> list[object]:
    generator.close()
    return []


def delegate(generator: Generator[int, Any, str]) -> list[object]:
    results: list[object] = []

    def outer() -> Generator[int, Any, None]:
        results.append((yield from generator))

    return [list(outer()), results]


# What a run adds: runs, seconds, errors.
DRIVES = [
    (exhaust, [1.0, 3.0, 0.0]),
    (send, [1.0, 3.0, 0.0]),
    (throw_handled, [1.0, 3.0, 0.0]),
    (throw_unhandled, [1.0, 1.0, 1.0]),
    (throw_exit, [1.0, 1.0, 0.0]),
    (close, [1.0, 1.0, 0.0]),
    (abandon, [1.0, 1.0, 0.0]),
    (never_start, [0.0, 0.0, 0.0]),
    (delegate, [1.0, 3.0, 0.0]),
]


@pytest.mark.parametrize(("drive", "expected"), DRIVES)
def test_generator_behaves_as_without_decorator(
    drive: Callable[[Any], list[object]], expected: list[float], instruments: Instruments
) -> None:
    """next, send, throw, close, return and garbage collection reach a generator and end its run."""
    plain = Conversation(lambda _: None)
    measured = Conversation(instruments.work)
    got = drive(plain.generator(3))
    assert got == drive(instruments.around(measured.generator)(3))
    gc.collect()
    assert plain.log == measured.log
    assert [*expected, 0.0] == instruments.measured()


def test_generator_runs_from_its_first_next(instruments: Instruments) -> None:
    """The run of a generator begins with its first `next()` and lasts until its end."""
    generator = instruments.around(Conversation(instruments.work).generator)(2)
    instruments.work(100)
    states = []
    for _ in range(2):
        next(generator)
        states.append(instruments.measured())
    assert [[0.0, 0.0, 0.0, 1.0]] * 2 == states
    assert [] == list(generator)
    assert [1.0, 2.0, 0.0, 0.0] == instruments.measured()


def test_generator_that_raises(instruments: Instruments) -> None:
    """An exception of a generator's body passes unchanged and is counted once."""
    raised = OSError("disk")

    @instruments.around
    def fail() -> Generator[int, None, None]:
        yield 1
        raise raised

    generator = fail()
    with pytest.raises(OSError, match="disk") as caught:
        list(generator)
    assert caught.value is raised
    assert [1.0, 0.0, 1.0, 0.0] == instruments.measured()


def test_generator_that_ignores_closing(instruments: Instruments) -> None:
    """Python complains about a generator that yields while it closes, as without the decorator."""

    @instruments.around
    def stubborn() -> Generator[int, None, None]:
        try:
            yield 1
        except GeneratorExit:
            yield 2

    generator = stubborn()
    next(generator)
    with pytest.raises(RuntimeError, match="generator ignored GeneratorExit"):
        generator.close()


def test_context_manager_is_measured(instruments: Instruments) -> None:
    """A decorated generator still makes a context manager, and sees what its block raises."""
    handled: list[str] = []

    @contextlib.contextmanager
    @instruments.around
    def scope() -> Generator[str, None, None]:
        try:
            yield "in"
        except KeyError as error:
            handled.append(repr(error))

    def use(entered: str) -> None:
        instruments.work(2)
        raise KeyError(entered)

    with scope() as entered:
        use(entered)
    assert ["KeyError('in')"] == handled
    assert [1.0, 2.0, 0.0, 0.0] == instruments.measured()


async def aexhaust(generator: AsyncGenerator[int, Any]) -> list[object]:
    return [[item async for item in generator]]


async def asend(generator: AsyncGenerator[int, Any]) -> list[object]:
    got: list[object] = [await anext(generator)]
    got += [await generator.asend(text) for text in ("a", "b")]
    try:
        await generator.asend("c")
    except StopAsyncIteration:
        got.append("stopped")
    return got


async def athrow_handled(generator: AsyncGenerator[int, Any]) -> list[object]:
    first = await anext(generator)
    return [first, await generator.athrow(KeyError("k")), [item async for item in generator]]


async def athrow_unhandled(generator: AsyncGenerator[int, Any]) -> list[object]:
    error = ValueError("v")
    got: list[object] = [await anext(generator)]
    try:
        await generator.athrow(error)
    except ValueError as raised:
        got += [raised is error, raised.__context__]
    return [*got, [item async for item in generator]]


async def athrow_exit(generator: AsyncGenerator[int, Any]) -> list[object]:
    got: list[object] = [await anext(generator)]
    try:
        got.append(await generator.athrow(GeneratorExit()))
        got.append(await generator.athrow(GeneratorExit("again")))
    except (GeneratorExit, StopAsyncIteration) as end:
        got.append(type(end))
    return [*got, [item async for item in generator]]


async def aclose(generator: AsyncGenerator[int, Any]) -> list[object]:
    first = await anext(generator)
    await generator.aclose()
    return [first, [item async for item in generator]]


async def abreak(generator: AsyncGenerator[int, Any]) -> list[object]:
    async with contextlib.aclosing(generator):
        async for item in generator:
            return [item]
    return []


async def anever_start(generator: AsyncGenerator[int, Any]) -> list[object]:
    await generator.aclose()
    return []


ASYNC_DRIVES = [
    (aexhaust, [1.0, 3.0, 0.0]),
    (asend, [1.0, 3.0, 0.0]),
    (athrow_handled, [1.0, 3.0, 0.0]),
    (athrow_unhandled, [1.0, 1.0, 1.0]),
    (athrow_exit, [1.0, 1.0, 0.0]),
    (aclose, [1.0, 1.0, 0.0]),
    (abreak, [1.0, 1.0, 0.0]),
    (anever_start, [0.0, 0.0, 0.0]),
]


@pytest.mark.parametrize(("drive", "expected"), ASYNC_DRIVES)
def test_async_generator_behaves_as_without_decorator(
    drive: Callable[[Any], Coroutine[None, None, list[object]]],
    expected: list[float],
    instruments: Instruments,
) -> None:
    """asend, athrow, aclose and the end all reach an asynchronous generator, and end its run."""
    plain = Conversation(lambda _: None)
    measured = Conversation(instruments.work)
    got = asyncio.run(drive(plain.async_generator(3)))
    assert got == asyncio.run(drive(instruments.around(measured.async_generator)(3)))
    assert plain.log == measured.log
    assert [*expected, 0.0] == instruments.measured()


def test_generator_that_handles_its_end(instruments: Instruments) -> None:
    """A thrown GeneratorExit that a generator handles ends it no sooner than without decorator."""
    plain, measured = Stubborn(lambda _: None), Stubborn(instruments.work)
    got = throw_exit(plain.generator(3))
    assert got == throw_exit(instruments.around(measured.generator)(3))
    assert [0, 1, StopIteration, "exit", []] == got
    assert plain.log == measured.log
    assert [1.0, 2.0, 0.0, 0.0] == instruments.measured()


def test_async_generator_that_handles_its_end(instruments: Instruments) -> None:
    """The same holds for asynchronous generators."""
    plain, measured = Stubborn(lambda _: None), Stubborn(instruments.work)
    got = asyncio.run(athrow_exit(plain.async_generator(3)))
    assert got == asyncio.run(athrow_exit(instruments.around(measured.async_generator)(3)))
    assert [0, 1, StopAsyncIteration, []] == got
    assert plain.log == measured.log
    assert [1.0, 2.0, 0.0, 0.0] == instruments.measured()


# Python complains a second time, of any such generator, when its object goes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("turns", [1, 2])
def test_async_generator_that_goes_on_while_it_is_closed(
    instruments: Instruments, turns: int
) -> None:
    """`aclose()` complains of a generator that yields, and not of one that returns."""

    async def closed(generator: AsyncGenerator[int, Any]) -> str:
        for _ in range(turns):
            await anext(generator)
        try:
            await generator.aclose()
        except RuntimeError as error:
            return str(error)
        return "closed"

    plain = asyncio.run(closed(Stubborn(lambda _: None).async_generator(3)))
    decorated = instruments.around(Stubborn(instruments.work).async_generator)(3)
    assert plain == asyncio.run(closed(decorated))
    del decorated
    gc.collect()


def test_async_generator_that_raises(instruments: Instruments) -> None:
    """An exception of an asynchronous generator's body passes unchanged and is counted once."""
    raised = OSError("disk")

    @instruments.around
    async def fail() -> AsyncGenerator[int, None]:
        yield 1
        raise raised

    with pytest.raises(OSError, match="disk") as caught:
        asyncio.run(aexhaust(fail()))
    assert caught.value is raised
    assert [1.0, 0.0, 1.0, 0.0] == instruments.measured()


def test_async_generator_is_finalised_by_the_loop(instruments: Instruments) -> None:
    """The event loop closes a forgotten asynchronous generator, and so ends its run."""
    conversation = Conversation(instruments.work)

    async def main() -> None:
        async for _ in instruments.around(conversation.async_generator)(3):
            break
        gc.collect()
        # The loop closes it in a task of its own. The task needs two turns: one to begin, and one
        # after the generator's own await.
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert ["finally"] == conversation.log
    assert [1.0, 1.0, 0.0, 0.0] == instruments.measured()


def test_async_generator_in_a_cancelled_task(instruments: Instruments) -> None:
    """Cancelling a task that waits in the generator ends the run, and the cancellation passes."""

    @instruments.around
    async def wait() -> AsyncGenerator[int, None]:
        instruments.work(2)
        await asyncio.Event().wait()
        yield 1

    async def main() -> list[object]:
        task = asyncio.create_task(aexhaust(wait()))
        await asyncio.sleep(0)
        task.cancel()
        return [type(error) for error in await asyncio.gather(task, return_exceptions=True)]

    assert [asyncio.CancelledError] == asyncio.run(main())
    assert [1.0, 2.0, 0.0, 0.0] == instruments.measured()


def test_async_context_manager_is_measured(instruments: Instruments) -> None:
    """A decorated asynchronous generator still makes a context manager."""

    @contextlib.asynccontextmanager
    @instruments.around
    async def scope() -> AsyncGenerator[str, None]:
        with contextlib.suppress(KeyError):
            yield "in"

    async def main() -> None:
        async with scope() as entered:
            instruments.work(2)
            raise KeyError(entered)

    asyncio.run(main())
    assert [1.0, 2.0, 0.0, 0.0] == instruments.measured()
