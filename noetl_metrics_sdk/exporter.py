"""The delivery thread: it registers, sends batch after batch, retries, and reports."""

from __future__ import annotations

import logging
import math
import threading
from typing import TYPE_CHECKING, NamedTuple

from noetl_metrics_sdk.errors import (
    DeliveryError,
    PayloadTooLargeError,
    RecoverableError,
    RejectedError,
    UnauthorizedError,
    UnknownRuntimeError,
)
from noetl_metrics_sdk.periodic import seconds_until
from noetl_metrics_sdk.retry import retrying

if TYPE_CHECKING:
    from collections.abc import Callable

    from noetl_metrics_sdk.batching import BatchQueue
    from noetl_metrics_sdk.buffer import SampleBuffer
    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.transport import Receipt, Registration, Transport
    from noetl_metrics_sdk.wire import Batch

_logger = logging.getLogger("noetl_metrics_sdk")

REQUEST_TIMEOUT_MIN = 0.1
"""What a request gets even when a deadline has all but passed: a server nearby can answer."""


class FlushResult(NamedTuple):
    """What a flush or a shutdown did.

    `sent` and `dropped` count the samples that were settled meanwhile, `pending` those that
    are not yet; `timed_out` says that the time ran out before all was settled.
    """

    sent: int
    pending: int
    dropped: int
    timed_out: bool


class Exporter:
    """Delivers what is in the buffer, from a thread of its own.

    Args:
        transport: where batches go.
        buffer: where samples come from, and the ledger of what became of them.
        batches: cuts the batches.
        registration: the component to register and send heartbeats for; None to leave both
            alone.
        runtime_id: the component's id, if it is known already.
        clock: the monotonic clock that deadlines are read from.
        random: returns a number from 0 up to 1, for jitter.
        heartbeat_interval: seconds between two heartbeats.
        request_timeout: how long one request may take, in seconds.
        backoff_max: the longest wait between two attempts, in seconds.
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
    ) -> None:
        self._transport = transport
        self._buffer = buffer
        self._batches = batches
        self._registration = registration
        self._clock = clock
        self._heartbeat_interval = heartbeat_interval
        self._request_timeout = request_timeout
        # Never, for a component that somebody else keeps alive.
        self._heartbeat_due_at = (
            math.inf if registration is None else clock.monotonic() + heartbeat_interval
        )
        self._failing = False
        self._unauthorized = False
        # Guards the flags that other threads set for the delivery thread. The buffer's lock may
        # be taken while it is held; never held during I/O.
        self._state = threading.Condition()
        self._work_waits = True
        self._flush_waits = False
        self._stop_at: float | None = None
        self._retrying = retrying(
            pause=self._pause,
            must_stop=self._must_give_up,
            on_failure=self._note_failure,
            backoff_max=backoff_max,
            random=random,
        )
        self._thread = threading.Thread(
            target=self._run, name="noetl-metrics-exporter", daemon=True
        )
        # Read by stats() from any thread: one writer, whole values.
        self.runtime_id = runtime_id
        self.batches_sent = 0
        self.batches_retried = 0
        self.last_error: str | None = None

    def start(self) -> None:
        """Start the delivery thread."""
        self._thread.start()

    def wake(self) -> None:
        """Have what is in the buffer sent."""
        with self._state:
            self._work_waits = True
            self._state.notify_all()

    def flush(self, deadline: float) -> bool:
        """Have what is in the buffer now sent, and wait until it is settled.

        A wait between two attempts is cut short, unless the server has asked for it.

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

    def stop(self, deadline: float) -> bool:
        """Send what is left until the deadline, and end the thread.

        Returns:
            False if the thread was still at it when the deadline came.
        """
        with self._state:
            self._stop_at = deadline
            self._state.notify_all()
        self._thread.join(timeout=seconds_until(deadline, self._clock))
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(
                    lambda: self._work_waits or self._stop_at is not None,
                    timeout=seconds_until(self._heartbeat_due_at, self._clock),
                )
                self._work_waits = False
                stopping = self._stop_at is not None
            self._deliver_all()
            if stopping:
                return
            with self._state:
                self._flush_waits = False  # whatever it waited for is settled
            self._send_heartbeat_if_due()

    def _deliver_all(self) -> None:
        """Send batches until none is left, or until the time to stop has come."""
        while self._stop_at is None or self._clock.monotonic() < self._stop_at:
            try:
                settled_one = self._retrying(self._attempt)
            except RecoverableError:
                return  # out of time; what is left stays pending and is reported so
            with self._state:
                self._state.notify_all()
            if not settled_one:
                return

    def _attempt(self) -> bool:
        """Register if need be and settle one batch; return False if there was none.

        Raises:
            RecoverableError: nothing was settled; the same batch is due again.
        """
        if self._stop_at is not None and not self._buffer.ledger().pending:
            return False  # nothing left to register for
        try:
            runtime_id = self._registered_runtime_id()
            batch = self._batches.current()
            if batch is None:
                return False
            receipt = self._transport.send(batch, runtime_id, self._timeout())
            self._settle(batch, receipt)
        except UnknownRuntimeError as error:
            raise self._unknown_runtime(error) from error
        except PayloadTooLargeError as error:
            self._split(error)
        except RejectedError as error:
            self._put_aside(error)
        except RecoverableError:
            raise
        except Exception as error:  # a transport's own mistake must not end the thread
            _logger.exception("the transport raised what it should not")
            raise RecoverableError(f"{type(error).__name__}: {error}") from error
        return True

    def _registered_runtime_id(self) -> str:
        if self.runtime_id is None:
            assert self._registration is not None
            try:
                self.runtime_id = self._transport.register(self._registration, self._timeout())
            except RecoverableError:
                raise
            except DeliveryError as error:
                # Whoever mends the server or the name finds the samples still here.
                raise RecoverableError(f"cannot register: {error}", error.status) from error
            self._heartbeat_due_at = self._clock.monotonic() + self._heartbeat_interval
            _logger.info("registered %s: %s", self._registration.name, self.runtime_id)
        return self.runtime_id

    def _unknown_runtime(self, error: UnknownRuntimeError) -> RecoverableError:
        if self._registration is None:
            return RecoverableError(f"no runtime {self.runtime_id}: {error}", error.status)
        self.runtime_id = None
        return RecoverableError(f"registering again: {error}", error.status)

    def _settle(self, batch: Batch, receipt: Receipt) -> None:
        rejected = min(receipt.rejected, len(batch.items))
        self._buffer.settle_sent(len(batch.items) - rejected)
        self._batches.finish()
        self.batches_sent += 1
        if rejected:
            self._buffer.settle_dropped(rejected, "rejected")
            _logger.warning(
                "the server rejected %d of %d samples: %s",
                rejected, len(batch.items), "; ".join(receipt.reasons),
            )  # fmt: skip
        if self._failing:
            _logger.info("delivering again")
        self._failing = self._unauthorized = False

    def _split(self, error: PayloadTooLargeError) -> None:
        if self._batches.split():
            _logger.info("splitting a batch: %s", error)
        else:
            self._drop_current("too_large", error)

    def _put_aside(self, error: RejectedError) -> None:
        self._drop_current("batch_rejected", error)

    def _drop_current(self, reason: str, error: DeliveryError) -> None:
        batch = self._batches.current()
        assert batch is not None
        self._buffer.settle_dropped(len(batch.items), reason)
        self._batches.finish()
        self.last_error = str(error)
        _logger.error("%d samples are dropped (%s): %s", len(batch.items), reason, error)

    def _send_heartbeat_if_due(self) -> None:
        if self._registration is None or self._clock.monotonic() < self._heartbeat_due_at:
            return
        self._heartbeat_due_at = self._clock.monotonic() + self._heartbeat_interval
        try:
            self._transport.heartbeat(self._registration, self._timeout())
        except UnknownRuntimeError:
            self.runtime_id = None
            self.wake()  # registers again
        except DeliveryError as error:
            self.last_error = str(error)
            _logger.debug("heartbeat: %s", error)
        except Exception:  # a transport's own mistake must not end the thread
            _logger.exception("the transport raised what it should not")

    def _timeout(self) -> float:
        if self._stop_at is None:
            return self._request_timeout
        left = self._stop_at - self._clock.monotonic()
        return min(self._request_timeout, max(REQUEST_TIMEOUT_MIN, left))

    def _must_give_up(self, seconds: float, error: BaseException | None) -> bool:
        """Whether, after a failure, stopping leaves no sense or no time for another attempt."""
        if self._stop_at is None:
            return False
        left = self._stop_at - self._clock.monotonic()
        if left <= 0 or not self._buffer.ledger().pending:
            return True
        return _is_the_servers_wish(error) and seconds >= left

    def _pause(self, seconds: float, error: BaseException | None) -> None:
        """Wait between two attempts; a flush or a stop cuts it short, but for the server's wish."""
        asked_for = _is_the_servers_wish(error)
        with self._state:
            if self._stop_at is not None:
                # Stopping: use the time there is, without a tight loop.
                seconds = min(seconds, max(0.0, self._stop_at - self._clock.monotonic()))
                self._state.wait(timeout=seconds)
                return
            self._state.wait_for(
                lambda: self._stop_at is not None or (self._flush_waits and not asked_for),
                timeout=seconds,
            )
            self._flush_waits = False

    def _note_failure(self, error: BaseException, seconds: float) -> None:
        self.batches_retried += 1
        self.last_error = str(error)
        if isinstance(error, UnauthorizedError):
            if not self._unauthorized:
                _logger.error(
                    "the server does not accept the credentials; samples wait until it does: %s",
                    error,
                )
            self._unauthorized = True
        elif not self._failing:
            _logger.warning("delivery failed; samples wait in the buffer: %s", error)
        else:
            _logger.debug("delivery failed; next attempt in %.1f s: %s", seconds, error)
        self._failing = True


def _is_the_servers_wish(error: BaseException | None) -> bool:
    return isinstance(error, RecoverableError) and error.retry_after is not None
