"""The one seam for I/O: the methods of a transport that the delivery thread calls.

`HttpTransport` speaks to a server. `testing.InMemoryTransport` keeps everything in memory. The
reference server reports its own metrics through a transport that writes to its store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from noetl_metrics_sdk.queue.wire import Batch


@dataclass(frozen=True)
class Registration:
    """The description of a component and of this process of it, sent with what it says of itself.

    What is None or empty is not sent, so a component that the worker has registered itself keeps
    it.

    Args:
        name: the component's name. If it registers again, it gets the same id.
        component_type: `worker_pool`, `server_api` or `broker`.
        labels: labels of the component.
        hostname: the name of the host that this process runs on.
        pid: the id of this process.
        runtime: the runtime of the component's jobs.
        meta: versions, and other information about the process.
        uri: the address of the component.
        worker_id: what tells this process from the others of the component; "" leaves the process
            out of what the server records.
        started_at: when the process's client began, in seconds since the epoch.
        heartbeat_interval: seconds between two heartbeats of this process.
        sdk_version: the version of this package, or "".
    """

    name: str
    component_type: str = "worker_pool"
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    hostname: str = ""
    pid: int = 0
    runtime: str | None = None
    meta: Mapping[str, str] = field(default_factory=dict[str, str])
    uri: str | None = None
    worker_id: str = ""
    started_at: float = 0.0
    heartbeat_interval: float = 0.0
    sdk_version: str = ""


class Receipt(NamedTuple):
    """The server's answer to a batch; the server has inserted or rejected each of its samples.

    `bytes_sent` is the size of the body as it was sent, if the transport knows it.
    """

    inserted: int
    rejected: int = 0
    reasons: tuple[str, ...] = ()
    duplicate: bool = False
    bytes_sent: int = 0


class Transport(Protocol):
    """Carries batches to the place where they are stored.

    Within about `timeout` seconds every call returns, or raises a `DeliveryError`. Only one
    thread calls at a time, but it is not always the same thread.
    """

    def register(self, registration: Registration, timeout: float) -> str:
        """Register a component, and return its runtime id."""
        ...

    def heartbeat(self, registration: Registration, timeout: float) -> None:
        """Tell the server that the component is alive.

        Raises:
            UnknownRuntimeError: the server does not know the component, or no longer knows it.
        """
        ...

    def goodbye(self, registration: Registration, timeout: float) -> None:
        """Tell the server that this process ends in order.

        It is the last call before `close()`, and comes once at most. The process is about to end,
        so a transport hands the message over and does not wait for a server that is slow to answer.
        """
        ...

    def send(self, batch: Batch, runtime_id: str, timeout: float) -> Receipt:
        """Deliver a batch, and return when it is safe on the receiving side.

        If a batch with the same key was delivered before, the call changes nothing there.
        """
        ...

    def close(self) -> None:
        """Close the connections; a caller may call this more than once."""
        ...
