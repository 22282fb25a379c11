"""A thread that runs an action at an interval, and at once when a caller asks for it."""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from noetl_metrics_sdk.clock import seconds_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from noetl_metrics_sdk.clock import Clock

_logger = logging.getLogger("noetl_metrics_sdk")

JITTER = 0.1
"""By what part of itself an interval varies: otherwise a fleet of workers would report in step."""


class PeriodicThread:
    """Runs an action again and again until it is stopped.

    Args:
        name: the thread's name.
        interval: the seconds between two runs, give or take the jitter.
        action: the action. If it raises, the thread counts and logs the error, and goes on to the
            next run.
        random: returns a number from 0 up to 1.
        first_delay: the seconds before the first run.
    """

    def __init__(
        self,
        name: str,
        interval: float,
        action: Callable[[], None],
        random: Callable[[], float],
        first_delay: float,
    ) -> None:
        self._interval = interval
        self._action = action
        self._random = random
        self._first_delay = first_delay
        # Guards the two numbers and the flags below. Never held while the action runs.
        self._state = threading.Condition()
        self._requested_runs = 0
        self._granted_runs = 0
        self._stopping = False
        self._over = False
        self._runs_inline = False
        self._joined = False
        # Read from any thread, without a lock: only this thread writes it.
        self.failed_runs = 0
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread, unless it has been started.

        Raises:
            RuntimeError: the process can have no more threads; the start may be repeated.
        """
        if not self.was_started:
            try:
                self._thread.start()
            except RuntimeError:
                # From Python 3.13 on, a thread whose start has failed cannot be started again.
                name = self._thread.name
                self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
                raise

    @property
    def was_started(self) -> bool:
        """Whether the thread has been started."""
        return self._thread.ident is not None

    @property
    def ident(self) -> int | None:
        """The identifier of the thread, once it has started."""
        return self._thread.ident

    def run_now(self, deadline: float, clock: Clock) -> bool:
        """Ask for a run that begins after this call, and wait until it is over.

        Args:
            deadline: how long to wait at most, as a time of the monotonic clock.
            clock: the clock.

        Returns:
            False if the deadline came first.
        """
        with self._state:
            self._requested_runs += 1
            wanted = self._requested_runs
            self._state.notify_all()
            self._state.wait_for(
                lambda: self._granted_runs >= wanted or self._over or not self._thread.is_alive(),
                timeout=seconds_until(deadline, clock),
            )
            return self._granted_runs >= wanted

    def stop(self, deadline: float, clock: Clock) -> bool:
        """Ask for a last run, after which the thread ends, and wait for that.

        If the thread has not been started, the caller's own thread does the last run.

        Args:
            deadline: how long to wait at most, as a time of the monotonic clock.
            clock: the clock.

        Returns:
            False if the thread was still running at the deadline.
        """
        if not self.was_started:
            return self._run_last_inline()
        with self._state:
            self._stopping = True
            self._state.notify_all()
            self._state.wait_for(
                lambda: self._over or not self._thread.is_alive(),
                timeout=seconds_until(deadline, clock),
            )
        # Joined only once: a signal handler may interrupt this join and call stop() again, and a
        # join within a join may wait for itself.
        if self._over and not self._joined:
            self._joined = True
            self._thread.join(timeout=seconds_until(deadline, clock))
        return self._over

    def _run_last_inline(self) -> bool:
        # A signal handler may interrupt the run and call stop() again: the run below it goes on.
        if not self._runs_inline:
            self._runs_inline = True
            self._run()
            self._over = True
        return self._over

    def _loop(self) -> None:
        delay = self._first_delay
        while True:
            with self._state:
                self._state.wait_for(self._is_wanted, timeout=delay)
                stopping = self._stopping
                granting = self._requested_runs
            self._run()
            with self._state:
                self._granted_runs = granting
                self._over = stopping
                self._state.notify_all()
            if stopping:
                return
            delay = self._interval * (1 - JITTER + 2 * JITTER * self._random())

    def _run(self) -> None:
        try:
            self._action()
        except BaseException:  # not our code, may raise SystemExit
            self.failed_runs += 1
            with suppress(BaseException):  # nor is that which handles what is logged
                _logger.exception("%s: a run failed", self._thread.name)

    def _is_wanted(self) -> bool:
        return self._stopping or self._requested_runs > self._granted_runs
