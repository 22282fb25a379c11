"""The one seam for I/O: what the delivery thread asks of a transport.

`HttpTransport` speaks to a server; `testing.InMemoryTransport` keeps everything in memory; the
reference server reports its own metrics over a transport that writes to its store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noetl_metrics_sdk.queue.wire import Batch


@dataclass(frozen=True)
class Registration:
    """What a component says of itself when it registers.

    Args:
        name: the component's name; registering a name again answers the same id.
        component_type: `worker_pool`, `server_api` or `broker`.
        labels: labels of the component.
        hostname: where this process runs.
        pid: the id of this process.
        runtime: what its jobs run on.
        meta: versions and whatever else is worth knowing.
    """

    name: str
    component_type: str = "worker_pool"
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    hostname: str = ""
    pid: int = 0
    runtime: str = "python"
    meta: Mapping[str, str] = field(default_factory=dict[str, str])


class Receipt(NamedTuple):
    """The server's answer to a batch: every sample of it is either inserted or rejected.

    `bytes_sent` is what the body took on its way, if the transport knows.
    """

    inserted: int
    rejected: int = 0
    reasons: tuple[str, ...] = ()
    duplicate: bool = False
    bytes_sent: int = 0


class Transport(Protocol):
    """Carries batches to wherever they are kept.

    Every call returns within about `timeout` seconds, or raises one of the `DeliveryError`s.
    Calls come from one thread at a time, but not always from the same one.
    """

    def register(self, registration: Registration, timeout: float) -> str:
        """Register a component; return its runtime id."""
        ...

    def heartbeat(self, registration: Registration, timeout: float) -> None:
        """Say that the component is alive.

        Raises:
            UnknownRuntimeError: the server does not know it (any more).
        """
        ...

    def send(self, batch: Batch, runtime_id: str, timeout: float) -> Receipt:
        """Deliver a batch; return once it is safe on the other side.

        Sending a batch with the key of one that was delivered changes nothing.
        """
        ...

    def close(self) -> None:
        """Release connections; may be called more than once."""
        ...
