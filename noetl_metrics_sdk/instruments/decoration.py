"""Put a context manager around a call, for every kind of function.

If a coroutine function were wrapped like a plain function, a timer would measure how long it takes
to create the coroutine, and not how long the coroutine works. The same holds for generators. Here
the context manager is entered when the body begins to run, and left when the body ends, whether it
returns, raises or is closed.
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
    """Return `function` decorated: each run of it is inside a context manager of its own.

    The run of a generator begins with its first `next()`. It ends when the generator is exhausted
    or closed, or when it raises. A generator that is never started has no run.

    Args:
        function: a function, coroutine function, generator function, asynchronous generator
            function, or an object that can be called like one of them.
        scope: makes the context manager for one run.

    Raises:
        TypeError: `function` cannot be called.
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
    # An object whose class has an `async def __call__` counts as a coroutine function. The class
    # itself does not, and neither does a wrapper that has taken over the class's attributes.
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
            # Python has no `yield from` for asynchronous generators. This is the expansion of
            # `yield from` in PEP 380, with `await` in it.
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
