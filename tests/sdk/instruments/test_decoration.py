"""Timers and their kin around functions and coroutines."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
import types
from typing import TYPE_CHECKING, Any

import pytest

from noetl_metrics_sdk import Counter, Gauge, Histogram, Registry
from noetl_metrics_sdk.instruments.decoration import decorate
from noetl_metrics_sdk.instruments.measuring import MEASURING_CLOCK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator


class Stopwatch:
    """A clock that the timed code itself moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def stopwatch(monkeypatch: pytest.MonkeyPatch) -> Stopwatch:
    stopwatch = Stopwatch()
    monkeypatch.setattr(MEASURING_CLOCK, "perf_counter", stopwatch)
    return stopwatch


class Instruments:
    """An instrument for each of the three decorators."""

    def __init__(self) -> None:
        self._registry = Registry()
        self.seconds = Histogram("seconds", "d", registry=self._registry)
        self.errors = Counter("errors", "d", registry=self._registry)
        self.running = Gauge("running", "d", registry=self._registry)

    def around(self, function: Any) -> Any:
        decorated = self.running.track_inprogress()(function)
        return self.seconds.time()(self.errors.count_exceptions(LookupError)(decorated))

    def measured(self) -> tuple[float | None, float | None, float | None, float | None]:
        """Return the number of runs, their seconds, their errors, and how many still run."""
        value = self._registry.get_sample_value
        names = ("seconds_count", "seconds_sum", "errors_total", "running")
        return value(names[0]), value(names[1]), value(names[2]), value(names[3])


@pytest.fixture
def instruments() -> Instruments:
    return Instruments()


class Callables:
    """Everything that a test can decorate and then call with a number of seconds."""

    def __init__(self, stopwatch: Stopwatch) -> None:
        def function(seconds: float) -> float:
            """Work, and return a text."""
            stopwatch.work(seconds)
            return seconds * 2

        async def coroutine(seconds: float) -> float:
            """Let others have a turn, work, and return a text."""
            await asyncio.sleep(0)
            stopwatch.work(seconds)
            await asyncio.sleep(0)
            return seconds * 2

        class PlainCallable:
            def __call__(self, seconds: float) -> float:
                return function(seconds)

            def method(self, seconds: float) -> float:
                return function(seconds)

            async def async_method(self, seconds: float) -> float:
                return await coroutine(seconds)

        class AsyncCallable:
            async def __call__(self, seconds: float) -> float:
                return await coroutine(seconds)

        self.function = function
        self.coroutine = coroutine
        self.lambda_ = lambda seconds: function(seconds)  # noqa: PLW0108 - a lambda is the point
        self.partial = functools.partial(function)
        self.partial_coroutine = functools.partial(coroutine)
        self.callable_object = PlainCallable()
        self.async_callable_object = AsyncCallable()
        self.partial_async_callable_object = functools.partial(AsyncCallable())
        self.bound_method = PlainCallable().method
        self.bound_async_method = PlainCallable().async_method


PLAIN = ["function", "lambda_", "partial", "callable_object", "bound_method"]
ASYNC = [
    "coroutine",
    "partial_coroutine",
    "async_callable_object",
    "partial_async_callable_object",
    "bound_async_method",
]


@pytest.mark.parametrize("kind", PLAIN)
def test_function_is_measured(kind: str, instruments: Instruments, stopwatch: Stopwatch) -> None:
    """The instrument times each callable over its call, which returns what it returned."""
    decorated = instruments.around(getattr(Callables(stopwatch), kind))
    assert [4.0, 1.0] == [decorated(2.0), decorated(seconds=0.5)]
    assert (2.0, 2.5, 0.0, 0.0) == instruments.measured()


@pytest.mark.parametrize("kind", ASYNC)
def test_coroutine_is_measured(kind: str, instruments: Instruments, stopwatch: Stopwatch) -> None:
    """A coroutine's time is the time of its work, with awaits, and not of its creation."""
    decorated = instruments.around(getattr(Callables(stopwatch), kind))
    coroutine = decorated(2.0)
    assert (0.0, 0.0, 0.0, 0.0) == instruments.measured()
    assert 4.0 == asyncio.run(coroutine)
    assert (1.0, 2.0, 0.0, 0.0) == instruments.measured()


def test_exception_passes_through(instruments: Instruments, stopwatch: Stopwatch) -> None:
    """A function's exception passes unchanged, is timed, and counts if its class is asked for."""
    raised = KeyError("missing"), ValueError("other"), KeyboardInterrupt()

    @instruments.around
    def fail(number: int) -> None:
        stopwatch.work(1)
        raise raised[number]

    caught: list[BaseException] = []
    for number in range(3):
        try:
            fail(number)
        except BaseException as error:  # noqa: BLE001 - it is compared below
            caught.append(error)
    assert [True] * 3 == [a is b for a, b in zip(raised, caught, strict=True)]
    assert (3.0, 3.0, 1.0, 0.0) == instruments.measured()


def test_exception_of_a_coroutine_passes_through(instruments: Instruments) -> None:
    """A coroutine's exception passes unchanged and is counted."""
    raised = KeyError("missing")

    @instruments.around
    async def fail() -> None:
        await asyncio.sleep(0)
        raise raised

    with pytest.raises(KeyError) as caught:
        asyncio.run(fail())
    assert caught.value is raised
    assert (1.0, 1.0, 0.0) == (instruments.measured()[0], *instruments.measured()[2:])


def test_cancelled_coroutine_is_measured(instruments: Instruments, stopwatch: Stopwatch) -> None:
    """Cancelling a task ends its run, which is timed and counts as no exception."""

    @instruments.around
    async def wait() -> None:
        stopwatch.work(3)
        await asyncio.Event().wait()

    async def main() -> tuple[float | None, ...]:
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        during = instruments.measured()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return during

    assert (0.0, 0.0, 0.0, 1.0) == asyncio.run(main())
    assert (1.0, 3.0, 0.0, 0.0) == instruments.measured()


def test_recursion_is_measured(instruments: Instruments, stopwatch: Stopwatch) -> None:
    """Every depth of a recursion is a run with a start of its own."""

    @instruments.around
    def descend(depth: int) -> int:
        stopwatch.work(1)
        return depth if depth == 0 else descend(depth - 1) + depth

    assert 6 == descend(3)
    assert (4.0, 4.0 + 3 + 2 + 1, 0.0, 0.0) == instruments.measured()


def test_concurrent_coroutines_are_measured_apart(
    instruments: Instruments, stopwatch: Stopwatch
) -> None:
    """Overlapping runs of one coroutine function each have a start of their own."""

    @instruments.around
    async def job(turn: asyncio.Event, next_turn: asyncio.Event) -> None:
        stopwatch.work(1)
        await turn.wait()
        stopwatch.work(10)
        next_turn.set()

    async def main() -> float | None:
        turns = [asyncio.Event() for _ in range(4)]
        tasks = [asyncio.create_task(job(turns[n], turns[n + 1])) for n in range(3)]
        await asyncio.sleep(0)
        running = instruments.measured()[3]
        turns[0].set()
        await asyncio.gather(*tasks)
        return running

    assert 3.0 == asyncio.run(main())
    # They started at 0, 1 and 2, and ended at 13, 23 and 33.
    assert (3.0, 13.0 + 22 + 31, 0.0, 0.0) == instruments.measured()


def test_concurrent_threads_are_measured_apart(
    instruments: Instruments, stopwatch: Stopwatch
) -> None:
    """Calls of one function in several threads each have a start of their own."""
    inside = threading.Barrier(3)

    @instruments.around
    def meet() -> None:
        inside.wait(timeout=60)

    threads = [threading.Thread(target=meet) for _ in range(2)]
    for thread in threads:
        thread.start()
    inside.wait(timeout=60)
    for thread in threads:
        thread.join()
    assert (2.0, 0.0, 0.0, 0.0) == instruments.measured()


def test_methods_are_measured(instruments: Instruments, stopwatch: Stopwatch) -> None:
    """Inside of `classmethod` and `staticmethod`, a decorator measures any method."""

    class Job:
        factor = 3

        @instruments.around
        def run(self, seconds: float) -> float:
            stopwatch.work(seconds)
            return self.factor * seconds

        @classmethod
        @instruments.around
        def of_class(cls, seconds: float) -> float:
            stopwatch.work(seconds)
            return cls.factor * seconds

        @staticmethod
        @instruments.around
        async def static(seconds: float) -> float:
            stopwatch.work(seconds)
            return seconds

    results = [Job().run(1.0), Job.of_class(2.0), Job().of_class(2.0), asyncio.run(Job.static(4.0))]
    assert [3.0, 6.0, 6.0, 4.0] == results
    assert (4.0, 9.0, 0.0, 0.0) == instruments.measured()


class Work:
    """A class whose methods are decorated above `staticmethod` and `classmethod`."""

    def __init__(self, instruments: Instruments, stopwatch: Stopwatch) -> None:
        async def coroutine(seconds: float) -> float:
            await asyncio.sleep(0)
            stopwatch.work(seconds)
            return seconds * 2

        class Job:
            @instruments.around
            @staticmethod
            def static(seconds: float) -> float:
                stopwatch.work(seconds)
                return seconds * 2

            @instruments.around
            @classmethod
            def of_class(cls, seconds: float) -> float:
                assert cls is Job
                return float(cls.static(seconds))

            static_coroutine = instruments.around(staticmethod(coroutine))

            @instruments.around
            @classmethod
            async def coroutine_of_class(cls, seconds: float) -> float:
                assert cls is Job
                return await coroutine(seconds)

        self.job = Job


@pytest.mark.parametrize(("name", "runs"), [("static", 1.0), ("of_class", 2.0)])
def test_method_of_a_class_is_measured(
    name: str, runs: float, instruments: Instruments, stopwatch: Stopwatch
) -> None:
    """Above `staticmethod` or `classmethod`, the decorator works, also through an instance."""
    job = Work(instruments, stopwatch).job
    assert [4.0, 1.0] == [getattr(job, name)(2.0), getattr(job(), name)(seconds=0.5)]
    assert (2 * runs, 2.5 * runs, 0.0, 0.0) == instruments.measured()


@pytest.mark.parametrize("name", ["static_coroutine", "coroutine_of_class"])
def test_coroutine_of_a_class_is_measured(
    name: str, instruments: Instruments, stopwatch: Stopwatch
) -> None:
    """Above `staticmethod` or `classmethod`, a coroutine is measured until its own end."""
    job = Work(instruments, stopwatch).job
    assert inspect.iscoroutinefunction(getattr(job, name))
    assert [4.0, 1.0] == [
        asyncio.run(getattr(one, name)(seconds)) for one, seconds in ((job, 2.0), (job(), 0.5))
    ]
    assert (2.0, 2.5, 0.0, 0.0) == instruments.measured()


@pytest.mark.parametrize(
    "outside",
    [property, functools.cached_property, functools.partialmethod, functools.singledispatchmethod],
)
def test_descriptor_outside_is_refused(outside: Any, instruments: Instruments) -> None:
    """Above any other descriptor, the decorator raises when the class is made."""
    with pytest.raises(TypeError, match="cannot be called: decorate a function or a coroutine"):
        instruments.around(outside(lambda self: None))


def test_awaitable_generators_are_measured(instruments: Instruments, stopwatch: Stopwatch) -> None:
    """What `types.coroutine` has decorated can still be awaited."""

    @instruments.around
    @types.coroutine
    def work(seconds: float) -> Generator[Any, Any, float]:
        yield from asyncio.sleep(0).__await__()
        stopwatch.work(seconds)
        return seconds * 2

    async def main() -> float:
        return await work(2.0)  # type: ignore[no-any-return] # of a decorator of any function

    assert 4.0 == asyncio.run(main())
    assert (1.0, 2.0, 0.0, 0.0) == instruments.measured()


@pytest.mark.parametrize("thing", [None, 5, "name"])
def test_what_cannot_be_called_is_refused(thing: object, instruments: Instruments) -> None:
    """A decorator takes only callables."""
    with pytest.raises(TypeError, match="cannot be called: decorate a function or a coroutine"):
        instruments.around(thing)


def test_class_is_measured_as_it_is_made(instruments: Instruments) -> None:
    """A decorated class is timed when it is called, and not when its objects are."""

    class Job:
        async def __call__(self) -> None:
            """Do nothing."""

    make = instruments.around(Job)
    assert Job is type(make())
    assert (1.0, 0.0) == (instruments.measured()[0], instruments.measured()[3])


def sync_function(a: int, /, b: str = "x", *, c: float = 1.0) -> None:
    """Do nothing."""


async def coroutine_function(a: int) -> None:
    """Do nothing."""


def generator_function(a: int) -> Generator[int, None, None]:
    """Yield the argument."""
    yield a


async def async_generator_function(a: int) -> AsyncGenerator[int, None]:
    """Yield the argument."""
    yield a


FUNCTIONS: list[Callable[..., Any]] = [
    sync_function,
    coroutine_function,
    generator_function,
    async_generator_function,
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_metadata_is_kept(function: Any, instruments: Instruments) -> None:
    """The function keeps its name, docstring, module, signature and attributes."""
    function.mark = "kept"
    decorated = instruments.around(function)
    for attribute in ("__name__", "__qualname__", "__doc__", "__module__", "mark"):
        assert getattr(function, attribute) == getattr(decorated, attribute)
    assert inspect.signature(function) == inspect.signature(decorated)
    assert function is inspect.unwrap(decorated)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_kind_is_kept(function: Any, instruments: Instruments) -> None:
    """`inspect` says the same about the decorated function as about the original; frameworks ask
    it."""
    decorated = instruments.around(function)
    kinds: list[Callable[[Any], bool]] = [
        inspect.isfunction,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
    ]
    assert [kind(function) for kind in kinds] == [kind(decorated) for kind in kinds]


class Tool:
    def __call__(self, a: int, *rest: str, b: float = 1.0) -> None:
        """Do nothing."""

    def method(self, a: int, b: str = "x") -> None:
        """Do nothing."""


ARGUMENTS: list[Callable[..., Any]] = [
    *FUNCTIONS,
    lambda a, *b, c=1, **d: None,
    functools.wraps(sync_function)(lambda *args: None),
    Tool(),
    Tool().method,
    Tool.method,
]


@pytest.mark.parametrize("function", ARGUMENTS)
def test_arguments_are_kept(function: Any, instruments: Instruments) -> None:
    """`inspect.getfullargspec()`, by which frameworks check calls, sees the true arguments."""
    signature = inspect.signature(function)
    spec = inspect.getfullargspec(instruments.around(function))
    positional = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    keywords = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    ]
    assert (positional, keywords) == (spec.args, spec.kwonlyargs)


def test_arguments_of_a_decorated_method(instruments: Instruments) -> None:
    """They are those of the method, bound and not bound, as for a method without a decorator."""

    class Plain:
        def run(self, a: int, *, b: str = "x") -> None:
            """Do nothing."""

    class Decorated:
        run = instruments.around(Plain.run)

    assert inspect.getfullargspec(Plain.run) == inspect.getfullargspec(Decorated.run)
    assert inspect.getfullargspec(Plain().run) == inspect.getfullargspec(Decorated().run)
    assert inspect.signature(Plain().run) == inspect.signature(Decorated().run)


def test_celery_checks_the_arguments_of_a_decorated_task(instruments: Instruments) -> None:
    """Celery refuses a call with wrong arguments where it is made, as without the decorator."""
    celery = pytest.importorskip("celery", reason="celery is not installed")
    app = celery.Celery("tasks", broker="memory://", set_as_current=False)

    def function(a: int, b: int) -> int:
        return a + b

    add = app.task(instruments.around(function))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'b'"):
        add.apply_async((1,))


def test_function_without_a_signature_is_measured(instruments: Instruments) -> None:
    """Some builtin functions have no signature; they are decorated without one."""
    assert 3 == instruments.around(max)(1, 3)
    assert 1.0 == instruments.measured()[0]


def test_scope_is_made_for_every_run() -> None:
    """For each call, `decorate()` asks for a context manager and enters it before the function
    runs."""
    log: list[str] = []

    class Scope:
        def __enter__(self) -> None:
            log.append("enter")

        def __exit__(self, *_: object) -> None:
            log.append("exit")

    def scope() -> Scope:
        log.append("scope")
        return Scope()

    def run() -> None:
        log.append("run")

    decorated = decorate(run, scope)
    assert [] == log
    decorated()
    decorated()
    assert ["scope", "enter", "run", "exit"] * 2 == log
