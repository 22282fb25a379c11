"""Decide when to try a failed delivery again: full jitter, a cap, and the server's `Retry-After`.

The waiting times follow "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015): each is a
random part of a span that grows exponentially up to a cap. Workers that have all lost the same
server then do not all come back at the same moment.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tenacity

from noetl_metrics_sdk.errors import RecoverableError

if TYPE_CHECKING:
    from collections.abc import Callable

BACKOFF_FIRST_SECONDS = 0.5
RETRY_AFTER_MAX_SECONDS = 300.0
"""The longest time that a server's `Retry-After` counts for, in seconds.

A server may ask for more, but a typing error in its settings must not silence a worker.
"""


def backoff_seconds(
    attempt_number: int, error: BaseException | None, backoff_max: float, random: float
) -> float:
    """Return how many seconds to wait before the next attempt.

    The server's `Retry-After` is a minimum. If the server asks for 0 seconds, the client backs off
    all the same, and does not send requests without a pause.

    Args:
        attempt_number: how many attempts have failed, from 1.
        error: the error that the last attempt raised.
        backoff_max: the cap, in seconds.
        random: a number from 0 up to 1.
    """
    # 2 ** 20 is beyond any cap. A power that grew without end would overflow a float.
    span: float = BACKOFF_FIRST_SECONDS * 2 ** min(attempt_number - 1, 20)
    seconds = random * min(backoff_max, span)
    retry_after = error.retry_after if isinstance(error, RecoverableError) else None
    if retry_after is None:
        return seconds
    # Each worker comes a little later than the server has asked for, and by a different time.
    asked_for = min(retry_after, RETRY_AFTER_MAX_SECONDS) * (1.0 + 0.1 * random)
    return max(seconds, asked_for)


def retrying(
    *,
    pause: Callable[[float, BaseException | None], None],
    must_stop: Callable[[float, BaseException | None], bool],
    on_failure: Callable[[BaseException, float], None],
    backoff_max: float,
    random: Callable[[], float],
) -> tenacity.Retrying:
    """Return tenacity's loop, which calls a function until it raises no `RecoverableError`.

    Args:
        pause: waits for some seconds after an error; it may return early.
        must_stop: called after each failure with the seconds to wait and the error; returns whether
            to give up, which raises the error.
        on_failure: called after each failure with the error and the seconds until the next attempt.
        backoff_max: the longest wait, in seconds.
        random: returns a number from 0 up to 1.
    """

    def error_of(state: tenacity.RetryCallState) -> BaseException | None:
        return state.outcome.exception() if state.outcome is not None else None

    def wait(state: tenacity.RetryCallState) -> float:
        return backoff_seconds(state.attempt_number, error_of(state), backoff_max, random())

    last_error: list[BaseException | None] = [None]

    def before_sleep(state: tenacity.RetryCallState) -> None:
        error = last_error[0] = error_of(state)
        if error is not None:
            on_failure(error, state.upcoming_sleep)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(RecoverableError),
        wait=wait,
        stop=lambda state: must_stop(state.upcoming_sleep, error_of(state)),
        sleep=lambda seconds: pause(seconds, last_error[0]),
        before_sleep=before_sleep,
        reraise=True,
    )
