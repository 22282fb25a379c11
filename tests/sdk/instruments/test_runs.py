"""Plain functions that return work which is still to be done: its own end is measured."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import types
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from noetl_metrics_sdk import Registry, track_job
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK
from tests.sdk.instruments.measured_work import Instruments

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator


class InstrumentsAndJobs(Instruments):
    """The same with `track_job` around the function, too."""

    def around(self, function: Any) -> Any:
        return super().around(track_job("a", registry=self.registry)(function))

    def ended(self) -> list[tuple[str, float]]:
        """Return how jobs ended, and how many."""
        return [
            (sample.labels["status"], sample.value)
            for family in self.registry.collect()
            for sample in family.samples
            if sample.name == "noetl_jobs_processed_total"
        ]


@pytest.fixture
def instruments(monkeypatch: pytest.MonkeyPatch) -> InstrumentsAndJobs:
    instruments = InstrumentsAndJobs()
    monkeypatch.setattr(MEASURING_CLOCK, "perf_counter", lambda: instruments.now)
    return instruments


class OnlyAwaitable:
    """An awaitable object of a library, with an attribute."""

    mark = "kept"

    def __init__(self, coroutine: Any) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Any:
        return self._coroutine.__await__()


class LikeACoroutine(OnlyAwaitable):
    """A coroutine of a compiler that is not Python's."""

    def send(self, value: Any) -> Any:
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        return self._coroutine.throw(*error)

    def close(self) -> None:
        self._coroutine.close()


def returned(function: Callable[..., Any], *args: Any) -> Any:
    """Return what the function returns: a plain function around one of another kind."""
    return function(*args)


class Functions:
    """Plain functions that return an awaitable, which works for two seconds, and may raise."""

    def __init__(self, instruments: InstrumentsAndJobs) -> None:
        async def coroutine(error: BaseException | None = None) -> str:
            await asyncio.sleep(0)
            return instruments.work(2, error)

        @types.coroutine
        def generator(error: BaseException | None = None) -> Generator[Any, Any, str]:
            yield
            return instruments.work(2, error)

        def future(error: BaseException | None = None) -> asyncio.Future[str]:
            made = asyncio.get_running_loop().create_future()

            def settle() -> None:
                instruments.now += 2
                if error is None:
                    made.set_result("done")
                else:
                    made.set_exception(error)

            asyncio.get_running_loop().call_soon(settle)
            return made

        class Job:
            def __call__(self, error: BaseException | None = None) -> Any:
                return coroutine(error)

        def plain(*args: Any) -> Any:
            return coroutine(*args)

        self.wrapper = functools.wraps(coroutine)(plain)
        self.lambda_ = lambda *args: plain(*args)  # noqa: PLW0108 - a lambda is the point
        self.partial = functools.partial(plain)
        self.callable_object = Job()
        self.static = staticmethod(plain)
        self.awaitable_generator = functools.partial(returned, generator)
        self.task = lambda *args: asyncio.create_task(coroutine(*args))
        self.future = future
        self.gathered = lambda *args: asyncio.gather(coroutine(*args))
        self.shielded = lambda *args: asyncio.shield(coroutine(*args))
        self.awaitable = lambda *args: OnlyAwaitable(coroutine(*args))
        self.like_a_coroutine = lambda *args: LikeACoroutine(coroutine(*args))
        self.wait_for = lambda *args: asyncio.wait_for(coroutine(*args), 60)


KINDS = [
    "wrapper", "lambda_", "partial", "callable_object", "static", "awaitable_generator", "task",
    "future", "gathered", "shielded", "awaitable", "like_a_coroutine", "wait_for",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_awaitable_is_measured_until_its_own_end(
    kind: str, instruments: InstrumentsAndJobs
) -> None:
    """A function that returns an awaitable is timed until that has its result."""
    decorated = instruments.around(getattr(Functions(instruments), kind))

    async def main() -> list[object]:
        awaitable = decorated()
        during = instruments.measured()
        result = await awaitable
        await asyncio.sleep(0)  # a future tells of its end in the next turn
        return [during, result if kind != "gathered" else result[0]]

    assert [[0.0, 0.0, 0.0, 1.0], "done"] == asyncio.run(main())
    assert [1.0, 2.0, 0.0, 0.0] == instruments.measured()
    assert [("completed", 1.0)] == instruments.ended()


@pytest.mark.parametrize("kind", KINDS)
def test_awaitable_that_fails(kind: str, instruments: InstrumentsAndJobs) -> None:
    """Its exception passes unchanged, and the job counts as failed."""
    raised = OSError("disk")
    decorated = instruments.around(getattr(Functions(instruments), kind))

    async def main() -> list[object]:
        try:
            await decorated(raised)
        except OSError as error:
            await asyncio.sleep(0)
            return [error is raised]
        return []

    assert [True] == asyncio.run(main())
    assert [1.0, 2.0, 1.0, 0.0] == instruments.measured()
    assert [("failed", 1.0)] == instruments.ended()


@pytest.mark.parametrize("kind", KINDS)
def test_awaitable_that_is_cancelled(kind: str, instruments: InstrumentsAndJobs) -> None:
    """A job whose awaitable is cancelled counts as cancelled."""
    decorated = instruments.around(getattr(Functions(instruments), kind))

    async def main() -> None:
        async def job() -> object:
            return await decorated()

        task = asyncio.create_task(job())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main())
    # shield() keeps the inner task from the cancellation, and what the function returned is outer.
    assert [("cancelled", 1.0)] == instruments.ended()
    assert [1.0, 0.0] == [instruments.measured()[0], instruments.measured()[3]]


def test_the_same_future_is_returned(instruments: InstrumentsAndJobs) -> None:
    """A function still returns the very task that it made; its caller may cancel it."""
    made: list[asyncio.Task[None]] = []

    @instruments.around
    def start() -> asyncio.Task[None]:
        made.append(asyncio.create_task(asyncio.sleep(600)))
        return made[0]

    async def main() -> bool:
        task = start()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)
        return task is made[0]

    assert asyncio.run(main())
    assert [("cancelled", 1.0)] == instruments.ended()


def test_exception_that_no_program_sees_is_still_logged(instruments: InstrumentsAndJobs) -> None:
    """asyncio tells of a failed task that is never awaited, as without the decorator."""
    told: list[str] = []

    async def fail() -> None:
        raise OSError

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context["message"]))
        instruments.around(lambda: asyncio.create_task(fail()))()
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()

    asyncio.run(main())
    assert ["Task exception was never retrieved"] == told
    assert [("failed", 1.0)] == instruments.ended()


def test_future_of_an_executor_is_measured_until_its_own_end(
    instruments: InstrumentsAndJobs,
) -> None:
    """So is a function that submits its work to a pool of threads."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        submit = instruments.around(lambda error: pool.submit(instruments.work, 2, error))
        assert "done" == submit(None).result(60)
        assert isinstance(submit(OSError()).exception(60), OSError)
    assert [2.0, 4.0, 1.0, 0.0] == instruments.measured()
    assert [("completed", 1.0), ("failed", 1.0)] == instruments.ended()


def test_future_that_has_ended_already(instruments: InstrumentsAndJobs) -> None:
    """A future that has its result when it is returned ends the run at once, without a loop."""
    done: concurrent.futures.Future[str] = concurrent.futures.Future()
    done.set_result("done")
    cancelled: concurrent.futures.Future[str] = concurrent.futures.Future()
    cancelled.cancel()
    around = instruments.around(lambda future: future)
    assert [done, cancelled] == [around(done), around(cancelled)]
    assert [("completed", 1.0), ("cancelled", 1.0)] == instruments.ended()


@pytest.mark.parametrize("kind", ["lambda_", "awaitable_generator", "awaitable", "task"])
def test_awaitable_that_is_forgotten(kind: str, instruments: InstrumentsAndJobs) -> None:
    """A run whose awaitable the program drops ends then, as cancelled; nothing runs for ever."""
    decorated = instruments.around(getattr(Functions(instruments), kind))

    async def main() -> None:
        awaitable = decorated()
        if kind == "task":
            awaitable.cancel()
            await asyncio.sleep(0)
        del awaitable
        await asyncio.sleep(0)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "was never awaited", which is tested below
        asyncio.run(main())
        gc.collect()
    assert [("cancelled", 1.0)] == instruments.ended()
    assert [1.0, 0.0, 0.0, 0.0] == instruments.measured()


def test_coroutine_that_is_closed(instruments: InstrumentsAndJobs) -> None:
    """A program may close a coroutine that it does not want to await, without any warning."""
    decorated = instruments.around(Functions(instruments).lambda_)
    coroutine = decorated()
    assert "Functions.__init__.<locals>.coroutine" == coroutine.__qualname__
    coroutine.close()
    del coroutine  # since Python 3.13 a coroutine that never ran holds all it has until it goes
    assert [("cancelled", 1.0)] == instruments.ended()


def test_coroutine_that_is_forgotten_is_warned_of_once() -> None:
    """Python warns of the function's own coroutine, as without the decorator."""

    async def job() -> None:
        """Do nothing."""

    decorated = track_job("a", registry=Registry())(functools.partial(returned, job))
    with pytest.warns(RuntimeWarning, match="warned_of_once.*job' was never awaited") as told:
        assert asyncio.iscoroutine(decorated())
    assert 1 == len(told)


def test_awaitable_keeps_its_attributes(instruments: InstrumentsAndJobs) -> None:
    """What stands for an awaitable object has the attributes of that object."""

    async def main() -> str:
        awaitable = instruments.around(Functions(instruments).awaitable)()
        await awaitable
        return str(awaitable.mark)

    assert "kept" == asyncio.run(main())


def test_awaitable_that_is_more_is_left_alone(instruments: InstrumentsAndJobs) -> None:
    """An awaitable that is a context manager too is returned as it is, and the call is measured."""

    class Request(OnlyAwaitable):
        async def __aenter__(self) -> str:
            return "open"

        async def __aexit__(self, *_: object) -> None: ...

    async def main() -> str:
        async with instruments.around(lambda: Request(None))() as state:
            return str(state)

    assert "open" == asyncio.run(main())
    assert [("completed", 1.0)] == instruments.ended()


def items(work: Callable[[float], object]) -> Generator[int, str, str]:
    sent = yield 1
    work(2)
    yield len(sent or "")
    return "over"


def test_generator_is_measured_until_its_own_end(instruments: InstrumentsAndJobs) -> None:
    """A plain function that returns a generator is measured until the generator has ended."""
    generator = instruments.around(lambda: items(instruments.work))()
    assert isinstance(generator, types.GeneratorType)
    got = [next(generator), generator.send("abc")]
    during = instruments.measured()
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert ([1, 3], [0.0, 0.0, 0.0, 1.0], "over") == (got, during, stop.value.value)
    assert [1.0, 2.0, 0.0, 0.0] == instruments.measured()


def test_generator_that_is_forgotten(instruments: InstrumentsAndJobs) -> None:
    """It ends with its object, whether or not it was begun."""
    decorated = instruments.around(lambda: items(instruments.work))
    decorated()
    next(decorated())
    gc.collect()
    assert [("cancelled", 2.0)] == instruments.ended()


def test_generator_that_has_begun_is_left_alone(instruments: InstrumentsAndJobs) -> None:
    """Its caller may send to it at once, so it is returned as it is."""
    generator: Generator[int, Any, str] = items(instruments.work)
    next(generator)
    assert 2 == instruments.around(lambda: generator)().send("ab")
    assert [("completed", 1.0)] == instruments.ended()


def test_async_generator_is_measured_until_its_own_end(instruments: InstrumentsAndJobs) -> None:
    """A plain function that returns an asynchronous generator is measured until its end."""

    async def async_items() -> AsyncGenerator[int, None]:
        yield 1
        instruments.work(2)

    async def main() -> list[int]:
        return [
            item async for item in instruments.around(functools.partial(returned, async_items))()
        ]

    assert [1] == asyncio.run(main())
    assert [1.0, 2.0, 0.0, 0.0] == instruments.measured()


def test_outcome_judges_the_result_of_an_awaitable(instruments: InstrumentsAndJobs) -> None:
    """The result of the awaitable is what an `outcome` gets, and not the awaitable."""
    registry = Registry()
    track = track_job("a", registry=registry, outcome=lambda text: ("failed", text))
    functions = Functions(instruments)

    async def main() -> None:
        for kind in ("lambda_", "task", "awaitable"):
            await track(getattr(functions, kind))()
            await asyncio.sleep(0)

    asyncio.run(main())
    labels = {"job_type": "a", "status": "failed", "exception": "done"}
    assert 3.0 == registry.get_sample_value("noetl_jobs_processed_total", labels)
