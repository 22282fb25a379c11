"""The delivery thread: it sends batch after batch, waits between attempts, and ends in time.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from noetl_metrics_sdk.clock import seconds_until
from noetl_metrics_sdk.delivery.attempt import Delivery
from noetl_metrics_sdk.delivery.retry import retrying
from noetl_metrics_sdk.delivery.setting_aside import SetAsideError
from noetl_metrics_sdk.errors import DeliveryError, RecoverableError, UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.queue.batch_queue import BatchQueue
    from noetl_metrics_sdk.queue.buffer import SampleBuffer
    from noetl_metrics_sdk.transport.protocol import Registration, Transport

    Wait = Callable[[threading.Condition, Callable[[], bool], float], bool]

_logger = logging.getLogger("noetl_metrics_sdk")

REQUEST_TIMEOUT_MIN = 0.1
"""How many seconds a request gets at least, however near the deadline is.

A server nearby can answer within that time.
"""


UNEXPECTED_PAUSE_SECONDS = 1.0
"""How long the thread pauses after an error that no code here expects."""

GOODBYE_SECONDS_MAX = 0.5
"""How long connecting may take for a goodbye, if no connection is open; all else takes no time."""


class DeliveryThread:
    """Delivers the samples of the buffer, from a thread of its own.

    Args:
        transport: sends the batches.
        buffer: has the samples that wait, and the ledger of all samples.
        batches: cuts the batches.
        registration: the component to register and send heartbeats for; None if the client does
            neither.
        runtime_id: the component's id, if it is known already.
        clock: the monotonic clock that deadlines are read from.
        random: returns a number from 0 up to 1, for jitter.
        heartbeat_interval: seconds between two heartbeats.
        request_timeout: how long one request may take, in seconds.
        backoff_max: the longest wait between two attempts, in seconds.
        wait: waits for a condition's predicate, for some seconds at most.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        buffer: SampleBuffer,
        batches: BatchQueue,
        registration: Registration | None,
        runtime_id: str | None,
        clock: Clock,
        random: Callable[[], float],
        heartbeat_interval: float,
        request_timeout: float,
        backoff_max: float,
        wait: Wait = threading.Condition.wait_for,
    ) -> None:
        self._buffer = buffer
        self._batches = batches
        self._clock = clock
        self._request_timeout = request_timeout
        self._wait = wait
        self.delivery = Delivery(
            transport=transport,
            batches=batches,
            registration=registration,
            runtime_id=runtime_id,
            clock=clock,
            heartbeat_interval=heartbeat_interval,
            request_timeout=self._timeout,
        )
        self._failing = False
        self._unauthorized = False
        # Guards the flags that other threads set for the delivery thread. The locks of the buffer
        # and of the batch queue may be taken while it is held. It is never held during I/O.
        self._state = threading.Condition()
        self._work_waits = True
        # A job has told of a full batch; and since the thread last looked at the buffer.
        self._full_batch_waits = False
        self._full_batch_is_news = False
        self._flush_waits = False
        self._stop_at: float | None = None
        self._closes_connections = True
        self._retrying = retrying(
            pause=self._pause,
            must_stop=self._must_give_up,
            on_failure=self._note_failure,
            backoff_max=backoff_max,
            random=random,
        )
        self._thread = self._make_thread()
        # stats() reads these from any thread, without a lock: only the delivery thread writes them,
        # and each write replaces a whole value.
        self.failures: Counter[str] = Counter()
        self.unexpected_errors = 0
        self.flush_seconds = 0.0

    @property
    def runtime_id(self) -> str | None:
        """The component's id, once the client knows it."""
        return self.delivery.runtime_id

    @property
    def last_error(self) -> str | None:
        """The last error of the delivery, in words."""
        return self.delivery.last_error

    def start(self) -> None:
        """Start the delivery thread, unless it has been started.

        Raises:
            RuntimeError: the process can have no more threads; the start may be repeated.
        """
        if self._thread.ident is None:
            try:
                self._thread.start()
            except RuntimeError:
                # From Python 3.13 on, a thread whose start has failed cannot be started again.
                self._thread = self._make_thread()
                raise

    def _make_thread(self) -> threading.Thread:
        return threading.Thread(target=self.run, name="noetl-metrics-exporter", daemon=True)

    def wake(self) -> None:
        """Make the thread send what is in the buffer."""
        with self._state:
            self._work_waits = True
            self._state.notify_all()

    def wake_for_full_batch(self) -> None:
        """Make the thread send what is in the buffer, if that is enough for a full batch.

        A job may call this after each sample: while the thread knows already, it costs no lock.
        """
        if self._full_batch_waits or not self._batches.has_full_batch():
            return
        with self._state:
            self._full_batch_waits = self._full_batch_is_news = True
            self._state.notify_all()

    @property
    def ident(self) -> int | None:
        """The identifier of the thread, once it has started."""
        return self._thread.ident

    def flush(self, deadline: float) -> bool:
        """Make the thread send what is in the buffer now, and wait until that is settled.

        A flush cuts the pause between two attempts short, unless the server has asked for the
        pause.

        Returns:
            False if the deadline (of the monotonic clock) came first.
        """
        wanted = self._buffer.ledger().added
        with self._state:
            self._work_waits = self._flush_waits = True
            self._state.notify_all()
            self._state.wait_for(
                lambda: self._buffer.ledger().settled >= wanted or not self._thread.is_alive(),
                timeout=seconds_until(deadline, self._clock),
            )
        return self._buffer.ledger().settled >= wanted

    def stop(self, deadline: float, *, closes_connections: bool = True) -> bool:
        """Send what is left until the deadline, and end the thread.

        If the thread has not been started, the caller's own thread sends what is left.

        Args:
            deadline: the time of the monotonic clock, in seconds.
            closes_connections: whether the transport is not used any more.

        Returns:
            False if the thread was still running at the deadline.
        """
        with self._state:
            self._closes_connections = closes_connections
            self._stop_at = deadline
            self._state.notify_all()
        if self._thread.ident is None:
            self.run()
            return True
        self._thread.join(timeout=seconds_until(deadline, self._clock))
        return not self._thread.is_alive()

    def run(self) -> None:
        """Deliver until `stop()` is called, say goodbye, and close the connections.

        The thread runs this.

        No error ends the thread before. What no code here expects, like an error of the program's
        own transport or of a log handler that exits, is counted, and the thread begins anew.
        """
        while not self._has_delivered_until_stopped():
            with self._state:
                self._wait(self._state, lambda: self._stop_at is not None, UNEXPECTED_PAUSE_SECONDS)
                self._work_waits = True
        assert self._stop_at is not None
        left = self._stop_at - self._clock.monotonic()
        self.delivery.say_goodbye(min(GOODBYE_SECONDS_MAX, left))
        self._batches.close()
        if self._closes_connections:
            self.delivery.close_connections()

    def _has_delivered_until_stopped(self) -> bool:
        """Return False if an unexpected error came first, and there is time to begin anew."""
        had_stopped = self._stop_at is not None
        try:
            self._deliver_until_stopped()
        except BaseException as error:  # not only our code, may raise SystemExit
            self.unexpected_errors += 1
            self.delivery.last_error = f"{type(error).__name__}: {error}"
            with suppress(BaseException):  # it may have come from the logging
                _logger.exception("the delivery thread goes on after an unexpected error")
            return had_stopped
        return True

    def _deliver_until_stopped(self) -> None:
        while True:
            with self._state:
                self._wait(
                    self._state,
                    self._is_wanted,
                    seconds_until(self.delivery.heartbeat_due_at, self._clock),
                )
                is_wanted = self._is_wanted()
                self._work_waits = self._full_batch_waits = False
                stopping = self._stop_at is not None
            if is_wanted:
                self._deliver_all()
            if stopping:
                return
            with self._state:
                if not self._work_waits:
                    self._flush_waits = False  # all that the flush waited for is settled
                self._full_batch_waits = self._batches.has_full_batch()
            self.delivery.send_heartbeat_if_due()

    def _is_wanted(self) -> bool:
        return self._work_waits or self._full_batch_waits or self._stop_at is not None

    def _deliver_all(self) -> None:
        """Send what there is at the beginning, and what fills a batch meanwhile.

        What comes meanwhile and fills no batch is left to the next turn. Otherwise a worker that
        records all the time would have a request for nearly every sample.
        """
        wanted = self._buffer.ledger().added
        started_at = self._clock.monotonic()
        settled_any = False
        while self._stop_at is None or self._clock.monotonic() < self._stop_at:
            try:
                settled_one = self._retrying(self._attempt)
            except RecoverableError:
                return  # no time is left: the other samples stay pending, and are reported so
            with self._state:
                self._state.notify_all()
            if not settled_one:
                break
            settled_any = True
            self._note_success()
            if self._stop_at is None:
                # A process that has much to send is not silent.
                self.delivery.send_heartbeat_if_due()
                if self._is_enough(wanted):
                    break
        if settled_any:
            self.flush_seconds = self._clock.monotonic() - started_at

    def _is_enough(self, wanted: int) -> bool:
        if self.delivery.is_set_aside_batch_due or self._batches.has_full_batch():
            return False
        return self._buffer.ledger().settled + self._batches.set_aside_samples >= wanted

    def _attempt(self) -> bool:
        if self._stop_at is not None and not self._buffer.ledger().pending:
            return False  # no samples are left to register for
        try:
            return self.delivery.settle_one()
        except SetAsideError as error:
            self._note_failure(error, 0.0)
            return True  # there is another batch to send, without a pause

    def _timeout(self) -> float:
        if self._stop_at is None:
            return self._request_timeout
        left = self._stop_at - self._clock.monotonic()
        return min(self._request_timeout, max(REQUEST_TIMEOUT_MIN, left))

    def _must_give_up(self, seconds: float, error: BaseException | None) -> bool:
        """Return whether to give up after a failure: there is no time, or no use, for an attempt.

        The thread gives up only while it stops.
        """
        if self._stop_at is None:
            return False
        left = self._stop_at - self._clock.monotonic()
        if left <= 0 or not self._buffer.ledger().pending:
            return True
        return _is_the_servers_wish(error) and seconds >= left

    def _pause(self, seconds: float, error: BaseException | None) -> None:
        """Wait between two attempts, and send the heartbeats that are due meanwhile.

        A stop cuts the pause short. So does a flush, unless the server has asked for the pause.
        """
        asked_for = _is_the_servers_wish(error)
        until = self._clock.monotonic() + seconds

        def is_over() -> bool:
            return self._stop_at is not None or (self._flush_waits and not asked_for)

        while True:
            with self._state:
                self._work_waits = self._full_batch_is_news = False
            # A server that takes no batches may know who is alive all the same. If the component
            # is not registered, the next attempt does that.
            beats = self._stop_at is None and self.delivery.runtime_id is not None
            if beats:
                self.delivery.send_heartbeat_if_due()
            # While the server is away, the samples that were collected meanwhile go to disk.
            self._batches.secure()
            with self._state:
                # What the disk has not taken stays: jobs need not tell of it again.
                self._full_batch_waits = self._batches.has_full_batch()
                if self._stop_at is not None:
                    # The thread stops: it uses the time that is left, without a tight loop. The
                    # stop may have begun after the attempt. Then it has not been checked yet
                    # whether another attempt makes sense.
                    if not self._must_give_up(until - self._clock.monotonic(), error):
                        left = min(until, self._stop_at) - self._clock.monotonic()
                        self._wait(self._state, lambda: False, max(0.0, left))
                    return
                wait_until = min(until, self.delivery.heartbeat_due_at) if beats else until
                is_woken = self._wait(
                    self._state,
                    lambda: self._work_waits or self._full_batch_is_news or is_over(),
                    seconds_until(wait_until, self._clock),
                )
                if is_over() or (not is_woken and wait_until == until):
                    self._work_waits = True
                    self._flush_waits = False
                    return

    def _note_failure(self, error: BaseException, seconds: float) -> None:
        status = error.status if isinstance(error, DeliveryError) else None
        self.failures["no_answer" if status is None else str(status)] += 1
        self.delivery.last_error = str(error)
        if isinstance(error, UnauthorizedError):
            if not self._unauthorized:
                _logger.error(
                    "the server does not accept the credentials; samples wait until it does: %s",
                    error,
                )
            self._unauthorized = True
        elif not self._failing:
            _logger.warning("delivery failed; samples wait until it succeeds: %s", error)
        else:
            _logger.debug("delivery failed; next attempt in %.1f s: %s", seconds, error)
        self._failing = True

    def _note_success(self) -> None:
        if self._batches.set_aside_count:
            return  # the log says that delivery succeeds again when no batch fails any more
        if self._failing:
            _logger.info("delivering again")
        self._failing = self._unauthorized = False


def _is_the_servers_wish(error: BaseException | None) -> bool:
    return isinstance(error, RecoverableError) and error.retry_after is not None
