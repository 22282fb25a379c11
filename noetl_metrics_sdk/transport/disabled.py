"""The transport of a client that is disabled: there is nothing to carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from noetl_metrics_sdk.errors import RecoverableError

if TYPE_CHECKING:
    from noetl_metrics_sdk.queue.wire import Batch
    from noetl_metrics_sdk.transport.protocol import Receipt, Registration


class DisabledTransport:
    """Stands where a transport has to stand; a disabled client starts no thread that calls it."""

    def register(self, registration: Registration, timeout: float) -> str:
        """Refuse."""
        del registration, timeout
        _refuse()

    def heartbeat(self, registration: Registration, timeout: float) -> None:
        """Refuse."""
        del registration, timeout
        _refuse()

    def goodbye(self, registration: Registration, timeout: float) -> None:
        """Refuse."""
        del registration, timeout
        _refuse()

    def send(self, batch: Batch, runtime_id: str, timeout: float) -> Receipt:
        """Refuse."""
        del batch, runtime_id, timeout
        _refuse()

    def close(self) -> None:
        """Do nothing, as there is no connection."""


def _refuse() -> NoReturn:
    raise RecoverableError("metrics are disabled")
