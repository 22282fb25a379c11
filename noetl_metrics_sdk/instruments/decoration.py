"""One way to put a context manager around a call, right for every kind of function.

Wrapping a coroutine function like a plain one would time the creation of the coroutine and not
its work, and the same holds for generators: here the context manager is entered when the body
begins to run and left when it ends, whichever way it ends.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator
    from contextlib import AbstractContextManager

    Scope = Callable[[], AbstractContextManager[Any]]

Function = TypeVar("Function", bound="Callable[..., Any]")


def decorate(function: Function, scope: Scope) -> Function:
    """Return `function` with its every run inside a context manager of its own.

    A generator's run begins with its first `next()` and ends when it is exhausted, closed or
    raises; one that is never started has no run.

    Args:
        function: a function, coroutine function, generator function, asynchronous generator
            function, or an object that can be called like one.
        scope: makes the context manager for one run.

    Raises:
        TypeError: it cannot be called.
    """
    import inspect  # noqa: PLC0415 - it takes longer to load than all the rest of this package

    if not callable(function):
        raise TypeError(f"{function!r} cannot be called: decorate a function or a coroutine")
    wrapped: Callable[..., Any]
    if _is(inspect.isasyncgenfunction, function):
        wrapped = _wrap_async_generator(function, scope)
    elif _is(inspect.iscoroutinefunction, function):
        wrapped = _wrap_coroutine(function, scope)
    elif _is(inspect.isgeneratorfunction, function):
        wrapped = _wrap_generator(function, scope)
    else:
        wrapped = _wrap_function(function, scope)
    return cast("Function", functools.wraps(function)(wrapped))


def _is(kind: Callable[[Any], bool], function: Callable[..., Any]) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    # An object with `async def __call__` is as good as a coroutine function; a class with one
    # is not, nor is a wrapper that took over the attributes of such a class.
    return kind(function) or kind(getattr(type(function), "__call__", None))  # noqa: B004


def _wrap_function(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with scope():
            return function(*args, **kwargs)

    return wrapper


def _wrap_coroutine(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        with scope():
            return await function(*args, **kwargs)

    return wrapper


def _wrap_generator(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        with scope():
            inner: Generator[Any, Any, Any] = function(*args, **kwargs)
            return (yield from inner)

    return wrapper


def _wrap_async_generator(function: Callable[..., Any], scope: Scope) -> Callable[..., Any]:
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        with scope():
            # There is no `yield from` for asynchronous generators: this is PEP 380's
            # expansion with `await` in it.
            inner = function(*args, **kwargs)
            try:
                item = await anext(inner)
                while True:
                    try:
                        sent = yield item
                    except GeneratorExit:
                        raise
                    except BaseException as error:  # noqa: BLE001 - the generator's to handle
                        item = await inner.athrow(error)
                    else:
                        item = await inner.asend(sent)
            except StopAsyncIteration:
                return
            finally:
                await inner.aclose()

    return wrapper
