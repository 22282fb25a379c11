"""One attempt to deliver one batch: register, send, and settle it by the server's answer.

Why so: docs/decisions/delivery.md.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from noetl_metrics_sdk.delivery.setting_aside import SettingAside
from noetl_metrics_sdk.errors import (
    DeliveryError,
    PayloadTooLargeError,
    RecoverableError,
    RejectedError,
    UnknownRuntimeError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from noetl_metrics_sdk.clock import Clock
    from noetl_metrics_sdk.queue.batch_queue import BatchQueue
    from noetl_metrics_sdk.queue.wire import Batch
    from noetl_metrics_sdk.transport.protocol import Receipt, Registration, Transport

_logger = logging.getLogger("noetl_metrics_sdk")


class Delivery:
    """Settles batches one by one; only the delivery thread uses it.

    Args:
        transport: sends the batches.
        batches: has the batches.
        registration: the component to register and send heartbeats for; None if the client does
            neither.
        runtime_id: the component's id, if it is known already.
        clock: the monotonic clock.
        heartbeat_interval: seconds between two heartbeats.
        request_timeout: returns how long the next request may take, in seconds.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        batches: BatchQueue,
        registration: Registration | None,
        runtime_id: str | None,
        clock: Clock,
        heartbeat_interval: float,
        request_timeout: Callable[[], float],
    ) -> None:
        self._transport = transport
        self._batches = batches
        self._registration = registration
        self._clock = clock
        self._heartbeat_interval = heartbeat_interval
        self._request_timeout = request_timeout
        self._setting_aside = SettingAside(batches, clock, self._drop_current)
        # Never due if another program registers the component and keeps it alive.
        self.heartbeat_due_at = (
            math.inf if registration is None else clock.monotonic() + heartbeat_interval
        )
        # The parent of a forked child has registered the component, so the child does not: the
        # server hears of this process by a heartbeat after its first batch.
        self._is_unheard = registration is not None and runtime_id is not None
        # Whether the last request had an answer that shows the server to be at work.
        self._server_answers = False
        # stats() reads these from any thread, without a lock: only the delivery thread writes them,
        # and each write replaces a whole value.
        self.runtime_id = runtime_id
        self.batches_sent = 0
        self.bytes_sent = 0
        self.last_error: str | None = None

    def settle_one(self) -> bool:
        """Register if that is needed, and settle one batch; return False if there was no batch.

        Raises:
            RecoverableError: nothing was settled; the same batch has to be sent again.
            SetAsideError: the batch has to be sent again later, after others.
        """
        try:
            runtime_id = self._registered_runtime_id()
            self._setting_aside.bring_back_if_due()
            batch = self._batches.current()
            if batch is None:
                return False
            self._server_answers = False
            receipt = self._send(batch, runtime_id)
            self._server_answers = True
            self._settle(batch, receipt)
            self._setting_aside.note_sent(batch)
            if self._is_unheard:
                self._is_unheard = False
                self.heartbeat_due_at = self._clock.monotonic()
        except UnknownRuntimeError as error:
            raise self._not_registered(error) from error
        except PayloadTooLargeError as error:
            self._split(error)
        except RejectedError as error:
            self._drop_current("batch_rejected", error)
        except RecoverableError:
            raise
        except Exception as error:  # a transport's own mistake must not end the thread
            _logger.exception("the transport raised what it should not")
            raise RecoverableError(f"{type(error).__name__}: {error}") from error
        return True

    def _send(self, batch: Batch, runtime_id: str) -> Receipt:
        def takes_an_empty_batch() -> bool:
            probe = self._batches.probe()
            try:
                self._transport.send(probe, runtime_id, self._request_timeout())
            except Exception as error:  # noqa: BLE001 - whatever it is, the server does not work
                _logger.debug("the server does not take an empty batch either: %s", error)
                return False
            return True

        try:
            return self._transport.send(batch, runtime_id, self._request_timeout())
        except RecoverableError as error:
            self._setting_aside.note_failure(batch, error, takes_an_empty_batch)
            raise

    def send_heartbeat_if_due(self) -> None:
        """Tell the server that the component is alive, or register it if the server forgot it."""
        if self._registration is None or self._clock.monotonic() < self.heartbeat_due_at:
            return
        self.heartbeat_due_at = self._clock.monotonic() + self._heartbeat_interval
        try:
            if self.runtime_id is not None and self._is_known_by_heartbeat(self._registration):
                return
            self._registered_runtime_id()
        except DeliveryError as error:
            self.last_error = str(error)
            _logger.debug("heartbeat: %s", error)
        except Exception:  # a transport's own mistake must not end the thread
            _logger.exception("the transport raised what it should not")

    def _is_known_by_heartbeat(self, registration: Registration) -> bool:
        self._server_answers = False
        try:
            self._transport.heartbeat(registration, self._request_timeout())
        except UnknownRuntimeError:
            self.runtime_id = None
            return False
        self._server_answers = True
        return True

    @property
    def is_set_aside_batch_due(self) -> bool:
        """Whether the next attempt is at a batch that is aside."""
        return self._setting_aside.is_due

    def say_goodbye(self, timeout: float) -> None:
        """Tell the server that this process ends in order, unless that would cost time.

        The server is told only if it has answered the last request: one that is away must not hold
        up the end of a process. If it does not hear of the end, it finds the process silent.

        Args:
            timeout: how long the call may take at most, in seconds.
        """
        if self._registration is None or not self._registration.worker_id:
            return  # the server knows nothing of this process
        if not self._server_answers or timeout <= 0:
            return
        try:
            self._transport.goodbye(self._registration, timeout)
        except DeliveryError as error:
            _logger.debug("goodbye: %s", error)
        except Exception:  # a transport's own mistake must not end the thread
            _logger.exception("the transport raised what it should not")

    def close_connections(self) -> None:
        """Close the transport's connections, in the thread that has used them.

        A worker may measure its log, and closing writes to it as sending does. Lines that this
        thread writes are not delivered (`Engine.record`).
        """
        try:
            self._transport.close()
        except Exception:  # a transport's own mistake must not end the thread
            _logger.exception("the transport raised what it should not")

    def _registered_runtime_id(self) -> str:
        if self.runtime_id is None:
            assert self._registration is not None
            self._server_answers = False
            try:
                self.runtime_id = self._transport.register(
                    self._registration, self._request_timeout()
                )
            except RecoverableError:
                raise
            except DeliveryError as error:
                # The samples wait until an operator has mended the server or the component's name.
                raise RecoverableError(f"cannot register: {error}", error.status) from error
            self._server_answers = True
            self.heartbeat_due_at = self._clock.monotonic() + self._heartbeat_interval
            _logger.info("registered %s: %s", self._registration.name, self.runtime_id)
        return self.runtime_id

    def _not_registered(self, error: UnknownRuntimeError) -> RecoverableError:
        if self._registration is None:
            return RecoverableError(f"no runtime {self.runtime_id}: {error}", error.status)
        self.runtime_id = None
        return RecoverableError(f"registering again: {error}", error.status)

    def _settle(self, batch: Batch, receipt: Receipt) -> None:
        known = receipt.inserted + receipt.rejected if receipt.duplicate else len(batch.items)
        self._batches.settle(receipt.rejected, known)
        self.batches_sent += 1
        self.bytes_sent += receipt.bytes_sent
        if receipt.rejected:
            _logger.warning(
                "the server rejected %d of %d samples: %s",
                receipt.rejected, known, "; ".join(receipt.reasons),
            )  # fmt: skip

    def _split(self, error: PayloadTooLargeError) -> None:
        if self._batches.split():
            _logger.info("splitting a batch: %s", error)
        else:
            self._drop_current("too_large", error)

    def _drop_current(self, reason: str, error: DeliveryError) -> None:
        samples = self._batches.drop(reason)
        self.last_error = str(error)
        _logger.error("%d samples are dropped (%s): %s", samples, reason, error)
