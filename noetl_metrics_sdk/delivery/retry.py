"""When a failed delivery is tried again: full jitter, a cap, and the server's own wish.

The waiting times are those of "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015):
a random part of an exponentially growing, capped span, so that workers which all lost the same
server do not all come back at the same moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import tenacity

from noetl_metrics_sdk.errors import RecoverableError

if TYPE_CHECKING:
    from collections.abc import Callable

BACKOFF_FIRST_SECONDS = 0.5
RETRY_AFTER_MAX_SECONDS = 300.0
"""A server may ask for more; a typing error in its settings must not silence a worker."""


def backoff_seconds(
    attempt_number: int, error: BaseException | None, backoff_max: float, random: float
) -> float:
    """Return how long to wait before the next attempt.

    What the server asks for is the least: one that says 0 is not to be asked without end.

    Args:
        attempt_number: how many attempts have failed, from 1.
        error: what the last one raised.
        backoff_max: the cap, in seconds.
        random: a number from 0 up to 1.
    """
    # 2 ** 20 is beyond any cap; a larger power would in the end overflow a float.
    span: float = BACKOFF_FIRST_SECONDS * 2 ** min(attempt_number - 1, 20)
    seconds = random * min(backoff_max, span)
    retry_after = error.retry_after if isinstance(error, RecoverableError) else None
    if retry_after is None:
        return seconds
    # A little later than asked, each worker differently.
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
    """Return tenacity's loop: it calls a function until it raises no `RecoverableError`.

    Args:
        pause: waits for some seconds after an error; may return early.
        must_stop: whether to give up, asked after each failure with the seconds to wait and the
            error, which is then raised.
        on_failure: is told of each failure and of the seconds until the next attempt.
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
