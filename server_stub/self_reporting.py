"""The server reports its own metrics through the SDK, over a transport to its own store."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from noetl_metrics_sdk import MetricsClient, RecoverableError, RejectedError, UnknownRuntimeError
from noetl_metrics_sdk.transport.protocol import Receipt
from server_stub.components.registration import RegistrationBody
from server_stub.errors import ComponentNotFoundError, ServerError, StoreUnavailableError
from server_stub.ingest.batch_key import parse_batch_key

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from noetl_metrics_sdk import Registry
    from noetl_metrics_sdk.queue.wire import Batch
    from noetl_metrics_sdk.transport.protocol import Registration
    from server_stub.components.store import Components
    from server_stub.ingest.intake import Intake
    from server_stub.settings import Settings

SHUTDOWN_SECONDS = 5.0


@asynccontextmanager
async def self_reporting(
    intake: Intake, components: Components, registry: Registry, settings: Settings
) -> AsyncGenerator[None]:
    """Report the server's own metrics while the block runs, and the remaining ones at its end.

    Args:
        intake: takes the batches, as it takes the workers' batches.
        components: registers the server.
        registry: the server's instruments.
        settings: the server's name.
    """
    client = MetricsClient(
        component_name=settings.component_name,
        component_type="server_api",
        registry=registry,
        transport=StoreTransport(intake, components, asyncio.get_running_loop()),
    )
    client.start()
    try:
        yield
    finally:
        # The shutdown waits for the delivery thread, and that thread waits for this loop.
        await asyncio.to_thread(client.shutdown, SHUTDOWN_SECONDS)


class StoreTransport:
    """A transport whose other side is this server's own store.

    Args:
        intake: takes the batches.
        components: registers the server.
        loop: the server's event loop, which runs in another thread than the caller.
    """

    def __init__(
        self, intake: Intake, components: Components, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._intake = intake
        self._components = components
        self._loop = loop

    def register(self, registration: Registration, timeout: float) -> str:
        """Register the server; return its runtime id."""
        body = RegistrationBody.model_validate(asdict(registration))
        return str(self._run(self._components.register(body.columns(), body.process()), timeout))

    def heartbeat(self, registration: Registration, timeout: float) -> None:
        """Say that the server is alive."""
        body = RegistrationBody.model_validate(asdict(registration))
        self._run(
            self._components.heartbeat(body.component_type, body.name, body.process()), timeout
        )

    def goodbye(self, registration: Registration, timeout: float) -> None:
        """Say that the server ends; the pool is closed next, so this waits for it."""
        body = RegistrationBody.model_validate(asdict(registration))
        process = body.process()
        assert process is not None
        self._run(self._components.goodbye(body.component_type, body.name, process), timeout)

    def send(self, batch: Batch, runtime_id: str, timeout: float) -> Receipt:
        """Insert a batch."""
        taking = self._intake.take(batch.body(runtime_id), "", parse_batch_key(batch.key))
        answer = self._run(taking, timeout)
        return Receipt(
            inserted=answer["metrics_inserted"],
            rejected=answer["metrics_rejected"],
            reasons=tuple(error["reason"] for error in answer["errors"]),
            duplicate=answer["status"] == "duplicate",
        )

    def close(self) -> None:
        """Do nothing: the pool belongs to the server."""

    def _run(self, work: Coroutine[Any, Any, Any], timeout: float) -> Any:
        """Run work on the server's loop, and raise the server's errors as the SDK's."""
        try:
            running = asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise RecoverableError(f"the server has ended: {error}") from error
        try:
            return running.result(timeout)
        except (TimeoutError, CancelledError) as error:
            running.cancel()
            raise RecoverableError(f"the store did not answer within {timeout:g} s") from error
        except StoreUnavailableError as error:
            raise RecoverableError(str(error), retry_after=error.retry_after_seconds) from error
        except ComponentNotFoundError as error:
            raise UnknownRuntimeError(str(error)) from error
        except ServerError as error:
            raise RejectedError(str(error)) from error
