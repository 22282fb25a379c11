"""Keep a context manager around work that goes on after a call has returned.

Coroutines and generators run when others drive them, tasks and futures run by themselves. The
context manager of a run is left once: when the work returns, raises or is cancelled, or when the
program forgets it.
"""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextlib import AbstractContextManager
    from types import TracebackType

    Scope = Callable[[], AbstractContextManager[Any]]
    Judge = Callable[[AbstractContextManager[Any], object], None]

_CO_ITERABLE_COROUTINE = 0x100  # as in inspect, which takes long to load

# What most functions return. Looking for these first makes all other questions rare.
_NO_WORK = frozenset({type(None), bool, bytes, dict, float, int, list, set, str, tuple})


def wrap_coroutine(
    function: Callable[..., Any], scope: Scope, judge: Judge | None
) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Return a coroutine function: each run of `function` is inside a context manager."""

    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        context = scope()
        with context:
            result = await function(*args, **kwargs)
            if judge is not None:
                judge(context, result)
            return result

    return wrapper


def wrap_generator(
    function: Callable[..., Any], scope: Scope, judge: Judge | None
) -> Callable[..., Generator[Any, Any, Any]]:
    """Return a generator function: each run of `function` is inside a context manager.

    With `yield from`, a GeneratorExit that the caller throws would close the inner generator, which
    may handle it and go on. So this is the expansion of `yield from` in PEP 380, without closing.
    """

    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        context = scope()
        with context:
            inner: Generator[Any, Any, Any] = function(*args, **kwargs)
            try:
                item = next(inner)
                while True:
                    try:
                        sent = yield item
                    except BaseException as error:  # noqa: BLE001 - the generator's to handle
                        item = inner.throw(error)
                    else:
                        item = inner.send(sent)
            except StopIteration as stop:
                if judge is not None:
                    judge(context, stop.value)
                return stop.value

    return wrapper


def wrap_async_generator(
    function: Callable[..., Any], scope: Scope
) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Return an asynchronous generator function: each run is inside a context manager.

    It has no judge, because an asynchronous generator has no result.
    """

    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with scope():
            # The same with `await`: Python has no `yield from` for asynchronous generators.
            inner = function(*args, **kwargs)
            try:
                item = await anext(inner)
                while True:
                    try:
                        sent = yield item
                    except BaseException as error:  # noqa: BLE001 - the generator's to handle
                        item = await inner.athrow(error)
                    else:
                        item = await inner.asend(sent)
            except StopAsyncIteration:
                return

    return wrapper


def is_under_way(result: Any) -> bool:
    """Return whether what a function returned is work that has not ended yet."""
    kind = cast("type[object]", type(result))
    if kind in _NO_WORK:
        return False
    if kind is GeneratorType:
        # The caller of one that has begun may send to it, which no new generator allows.
        return not result.gi_suspended
    return hasattr(kind, "__await__") or kind is AsyncGeneratorType or _is_future(result)


def until_its_end(work: Any, context: AbstractContextManager[Any], judge: Judge | None) -> Any:
    """Return what stands for `work` and leaves the context manager when the work ends.

    Args:
        work: what a function returned, which is under way.
        context: the context manager, which was entered.
        judge: gets the context manager and the result.

    Returns:
        A coroutine for a coroutine, a generator for a generator, and the same object for a future.
    """
    kind = cast("type[object]", type(work))
    if _is_future(work):
        return _watch_future(work, _Run(context, judge))
    if kind is not AsyncGeneratorType and (
        hasattr(kind, "__aenter__") or hasattr(kind, "__aiter__")
    ):
        context.__exit__(None, None, None)
        return work
    run = _Run(context, judge, work)
    judge_run = None if judge is None else _judge_run
    measured: Any
    if _is_coroutine(work):
        measured = wrap_coroutine(lambda: work, lambda: run, judge_run)()
    elif kind is GeneratorType:
        measured = wrap_generator(lambda: work, lambda: run, judge_run)()
    elif kind is AsyncGeneratorType:
        measured = wrap_async_generator(lambda: work, lambda: run)()
    else:
        return _Awaitable(work, run, judge_run)
    measured.__name__ = getattr(work, "__name__", kind.__name__)
    measured.__qualname__ = getattr(work, "__qualname__", kind.__qualname__)
    return measured


class _Run:
    """A run whose context manager was entered: it is left once, at the latest with this object.

    Args:
        context: the context manager.
        judge: gets the context manager and the result.
        work: a coroutine or a generator, which is closed if it was never started.
    """

    __slots__ = ("_context", "_judge", "_work")

    def __init__(
        self, context: AbstractContextManager[Any], judge: Judge | None, work: Any = None
    ) -> None:
        self._context: AbstractContextManager[Any] | None = context
        self._judge = judge
        self._work = work

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        context, self._context = self._context, None
        if context is not None:
            context.__exit__(exception_type, exception, traceback)

    def __del__(self) -> None:
        if self._context is None:
            return
        # Python has warned of a coroutine that was never awaited: one warning is enough.
        if type(self._work) in (CoroutineType, GeneratorType):
            self._work.close()
        error = GeneratorExit()
        self.__exit__(GeneratorExit, error, None)

    def judge(self, result: object) -> None:
        if self._judge is not None and self._context is not None:
            self._judge(self._context, result)

    def end_with(self, future: Any) -> None:
        """Leave the context manager as a future has ended."""
        # Of a failed future, result() and exception() would tell asyncio that the program has seen
        # the exception, and asyncio would not log one that the program never sees.
        error: BaseException | None = None
        result: object = None
        if not future.cancelled():
            error = getattr(future, "_exception", None)
        if error is None:
            try:
                result = future.result()
            except BaseException as raised:  # noqa: BLE001 - a cancellation, of any library
                error = raised
        if error is None:
            with self:
                self.judge(result)
        else:
            self.__exit__(type(error), error, error.__traceback__)


def _judge_run(run: AbstractContextManager[Any], result: object) -> None:
    assert isinstance(run, _Run)
    run.judge(result)


class _Awaitable:
    """Stands for an awaitable object that is neither a coroutine nor a future."""

    __slots__ = ("_awaitable", "_judge", "_run")

    def __init__(self, awaitable: Any, run: _Run, judge: Judge | None) -> None:
        self._awaitable = awaitable
        self._run = run
        self._judge = judge

    def __await__(self) -> Generator[Any, Any, Any]:
        return wrap_coroutine(lambda: self._awaitable, lambda: self._run, self._judge)().__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._awaitable, name)


def _watch_future(future: Any, run: _Run) -> Any:
    if future.done():
        run.end_with(future)
    else:
        future.add_done_callback(run.end_with)
    return future


def _is_future(result: object) -> bool:
    # If a function returned a future, the program has loaded its module already.
    for name in ("asyncio", "concurrent.futures"):
        future = getattr(sys.modules.get(name), "Future", None)
        if future is not None and isinstance(result, future):
            return True
    # asyncio takes for a future what has this attribute, like the futures of other event loops.
    return getattr(type(result), "_asyncio_future_blocking", None) is not None


def _is_coroutine(work: object) -> bool:
    if type(work) is GeneratorType:
        return bool(work.gi_code.co_flags & _CO_ITERABLE_COROUTINE)
    return isinstance(work, Coroutine)
