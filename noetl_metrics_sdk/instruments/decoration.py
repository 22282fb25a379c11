"""Put a context manager around each run of a function, for every kind of function.

If a coroutine function were wrapped like a plain function, a timer would measure how long it takes
to create the coroutine, and not how long the coroutine works. The same holds for generators. Here
the context manager is entered when the body begins to run, and left when the body ends, whether it
returns, raises or is closed. If a plain function returns work that is still to be done, its run
ends when that work ends; see `runs.py`.
"""

from __future__ import annotations

import contextlib
import functools
from types import coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast

from noetl_metrics_sdk.instruments.runs import (
    is_under_way,
    until_its_end,
    wrap_async_generator,
    wrap_coroutine,
    wrap_generator,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from noetl_metrics_sdk.instruments.runs import Judge, Scope

Function = TypeVar("Function", bound="Callable[..., Any]")


def decorate(function: Function, scope: Scope, judge: Judge | None = None) -> Function:
    """Return `function` decorated: each run of it is inside a context manager of its own.

    The run of a generator begins with its first `next()`. It ends when the generator is exhausted
    or closed, or when it raises. A generator that is never started has no run.

    A plain function may return a coroutine, a future, a task, another awaitable, or a generator.
    Its run begins with the call, and ends when what it returned ends. If the program forgets that,
    the run ends as if it had been closed. If an awaitable is a context manager or an iterator too,
    the run ends with the call, because the caller may use it without awaiting it.

    Args:
        function: a function, coroutine function, generator function, asynchronous generator
            function, a `staticmethod` or `classmethod` of one, or an object that can be called like
            one of them.
        scope: makes the context manager for one run.
        judge: gets the context manager and the result of each run that has a result.

    Raises:
        TypeError: `function` cannot be called, or it is an asynchronous generator function, which
            has no result, and there is a judge.
    """
    import inspect  # noqa: PLC0415 - it takes longer to load than all the rest of this package

    for kind in (staticmethod, classmethod):
        if isinstance(function, kind):
            inner = decorate(cast("Any", function).__func__, scope, judge)
            return cast("Function", kind(inner))
    if not callable(function):
        raise TypeError(f"{function!r} cannot be called: decorate a function or a coroutine")
    wrapped: Callable[..., Any]
    if _is(inspect.isasyncgenfunction, function):
        if judge is not None:
            raise TypeError(f"{function!r} is an asynchronous generator function, without a result")
        wrapped = wrap_async_generator(function, scope)
    elif _is(inspect.iscoroutinefunction, function):
        wrapped = wrap_coroutine(function, scope, judge)
    elif _is(inspect.isgeneratorfunction, function):
        wrapped = wrap_generator(function, scope, judge)
        if _is(_makes_awaitable_generators, function):
            wrapped = coroutine(wrapped)
    else:
        wrapped = _wrap_function(function, scope, judge)
    wrapped = functools.wraps(function)(wrapped)
    # Some functions have no signature. Some have annotations that raise when they are evaluated.
    with contextlib.suppress(Exception):
        # inspect.getfullargspec() does not look at __wrapped__, and frameworks call it.
        wrapped.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    return cast("Function", wrapped)


def _is(kind: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    # An object whose class has an `async def __call__` counts as a coroutine function. The class
    # itself does not, and neither does a wrapper that has taken over the class's attributes.
    return kind(function) or kind(getattr(type(function), "__call__", None))  # noqa: B004


def _makes_awaitable_generators(function: Any) -> bool:
    # A function in the decorator @types.coroutine, as inspect.isawaitable() knows its generators.
    import inspect  # noqa: PLC0415 - see decorate()

    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return code is not None and bool(code.co_flags & inspect.CO_ITERABLE_COROUTINE)


def _wrap_function(
    function: Callable[..., Any], scope: Scope, judge: Judge | None
) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        context = scope()
        context.__enter__()
        try:
            result = function(*args, **kwargs)
            has_ended = not is_under_way(result)
            if has_ended and judge is not None:
                judge(context, result)
        except BaseException as error:
            context.__exit__(type(error), error, error.__traceback__)
            raise
        if not has_ended:
            return until_its_end(result, context, judge)
        context.__exit__(None, None, None)
        return result

    return wrapper
