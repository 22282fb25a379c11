"""The client: its life, and what a worker asks of it."""

from __future__ import annotations

import logging
import os
import random as random_module
import threading
from typing import TYPE_CHECKING, Any, Self

from noetl_metrics_sdk.client.config import Config
from noetl_metrics_sdk.client.engine import Engine, build_engine
from noetl_metrics_sdk.client.environment import config_from_environment
from noetl_metrics_sdk.client.identity import registration_of, worker_id_of
from noetl_metrics_sdk.client.statistics import FlushResult
from noetl_metrics_sdk.clock import Clock, SystemClock, seconds_until
from noetl_metrics_sdk.collection.recording import recorded_sample
from noetl_metrics_sdk.errors import ConfigurationError
from noetl_metrics_sdk.process.awaiting import in_own_thread
from noetl_metrics_sdk.process.exit import (
    Ending,
    finish_at_exit,
    finish_at_exit_of_forked_child,
    has_finished,
)
from noetl_metrics_sdk.process.fork import restart_client_after_fork
from noetl_metrics_sdk.process.sigterm import deliver_before_sigterm, leave_sigterm
from noetl_metrics_sdk.registry import REGISTRY, Registry
from noetl_metrics_sdk.transport.connections import make_ssl_context
from noetl_metrics_sdk.transport.http import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Unpack

    from noetl_metrics_sdk.client.config import Settings
    from noetl_metrics_sdk.client.statistics import ClientStats
    from noetl_metrics_sdk.model.metric import MetricType
    from noetl_metrics_sdk.queue.buffer import Ledger
    from noetl_metrics_sdk.transport.protocol import Transport

_logger = logging.getLogger("noetl_metrics_sdk")

LEDGER_WAIT_SECONDS_MIN = 0.1
"""How long a flush waits at least, also beyond its time, to find out what is on disk."""


class MetricsClient:
    """Sends what the instruments of a registry count to a NoETL server.

    Nothing that a job calls ever blocks on the network or raises because of it: samples wait
    in a bounded buffer until a thread of the client has delivered them. In a forked child the
    client starts afresh by itself, with its own threads, counts and `worker_id`.

    Args:
        server_url: the server's address, like `http://localhost:8082`.
        component_name: the worker pool's name: it is registered, and kept alive by heartbeats.
        runtime_id: the id of a component that somebody else registers, in place of its name.
        labels: labels that every sample gets.
        registry: whose instruments are reported.
        transport: where batches go, in place of HTTP to `server_url`.
        clock: the time, for tests.
        random: returns a number from 0 up to 1, for jitter; for tests.
        settings: the further settings of `noetl_metrics_sdk.Config`.

    Raises:
        ConfigurationError: a setting is missing or not valid.
    """

    def __init__(
        self,
        server_url: str | None = None,
        component_name: str | None = None,
        *,
        runtime_id: str | int | None = None,
        labels: Mapping[str, str] | None = None,
        registry: Registry = REGISTRY,
        transport: Transport | None = None,
        clock: Clock | None = None,
        random: Callable[[], float] = random_module.random,
        **settings: Unpack[Settings],
    ) -> None:
        given: dict[str, Any] = {**settings, "labels": labels or {}}
        named = {
            "server_url": server_url, "component_name": component_name, "runtime_id": runtime_id,
        }  # fmt: skip
        given.update({name: value for name, value in named.items() if value is not None})
        self.config = Config.of(given)
        if transport is None and self.config.server_url is None:
            raise ConfigurationError(
                "server_url (NOETL_SERVER_URL) is missing: give the server's address, "
                "like http://localhost:8082"
            )
        self._registry = registry
        self._clock = clock or SystemClock()
        self._random = random
        # Held while the threads are started, and while they are ended. Taken before any other
        # lock of this package. Re-entrant, as a signal handler may shut down what it interrupts.
        self._lock = threading.RLock()
        self._started = False
        self._runs = False  # all the threads have been started
        self._ended = False
        self._has_shut_down = False
        self._engine: Engine
        self._transport = transport or self._http_transport()
        self._ending = Ending(self.shutdown, self.flush, self.config.shutdown_timeout)
        self._build(forked=False)
        self._fork_handle = restart_client_after_fork(self._reset_after_fork)

    @classmethod
    def from_env(
        cls,
        *,
        registry: Registry = REGISTRY,
        transport: Transport | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Return a client with the settings that environment variables give.

        Args:
            registry: whose instruments are reported.
            transport: where batches go, in place of HTTP.
            environment: in place of `os.environ`.

        Raises:
            ConfigurationError: a variable is missing or not valid.
        """
        config = config_from_environment(os.environ if environment is None else environment)
        return cls(registry=registry, transport=transport, **config.given())

    @property
    def worker_id(self) -> str:
        """The label that tells this process apart from the others of its component."""
        return self._worker_id

    def start(self) -> Self:
        """Start the threads; register as soon as the server can be reached.

        Returns at once, whether or not there is a server. Starting again changes nothing.

        Raises:
            ConfigurationError: the client has been shut down.
        """
        # Also before waiting for the lock, which a shutdown holds to its end.
        self._refuse_if_ended()
        with self._lock:
            self._refuse_if_ended()
            if not self._started:
                self._started = True
                finish_at_exit(self._ending)
                if self.config.handle_sigterm:
                    deliver_before_sigterm(self._ending)
                self._engine.start_threads()
                self._runs = True
        return self

    def _refuse_if_ended(self) -> None:
        if self._ended:
            raise ConfigurationError("this client was shut down: make a new one")

    def record(
        self,
        name: str,
        value: float,
        *,
        metric_type: MetricType | str = "gauge",
        labels: Mapping[str, str] | None = None,
        timestamp: float | None = None,
        help_text: str = "",
        unit: str = "",
    ) -> None:
        """Send one sample as it is, with a time of its own.

        Args:
            name: the metric's name; a counter's ends in `_total`.
            value: its value; a counter's is cumulative.
            metric_type: `counter`, `gauge`, `histogram` or `summary`.
            labels: its labels.
            timestamp: when it was taken, in seconds since the epoch; now unless given.
            help_text: what it measures.
            unit: the unit of the value.

        Raises:
            InvalidMetricError: a part of it is not valid.
            TypeError: the value or the time is no number.
        """
        taken_at = self._clock.time() if timestamp is None else timestamp
        sample = recorded_sample(name, value, metric_type, labels, taken_at, help_text, unit)
        self._engine.collection.add([sample])
        if len(self._engine.buffer) >= self.config.batch_samples_max:
            self._engine.delivery_thread.wake()

    @property
    def has_ended(self) -> bool:
        """Whether it has been shut down, so that nothing more is delivered."""
        return self._ended

    def offer(
        self, families: Iterable[Any], refusals: Iterable[tuple[str, Exception]] = ()
    ) -> bool:
        """Send metric families that another library has collected by itself.

        Args:
            families: of the shape that `Collector.collect` describes.
            refusals: names of metrics that had to be left out of them, each with the reason: they
                are counted as invalid samples, and logged once a name.

        Returns:
            Whether every sample is in the buffer, or is what was sent of its series shortly before.
        """
        engine = self._engine  # another one in a forked child
        for name, error in refusals:
            engine.collection.refuse(name, error)
        all_taken = engine.collection.offer(families)
        engine.delivery_thread.wake()
        return all_taken

    def flush(self, timeout: float = 10.0) -> FlushResult:
        """Collect now, and wait until all that was collected so far is delivered.

        Args:
            timeout: how long to wait at most, in seconds.

        Returns:
            What was sent and dropped meanwhile, and what is pending still. Before `start()`
            nothing can be sent, and all is pending.
        """
        deadline = self._clock.monotonic() + timeout
        engine = self._engine
        before = engine.buffer.ledger()
        if not self._runs or self._ended:
            return self._result(before, deadline, timed_out=False)
        # A collector that hangs gets half of the time, so that what is there is delivered.
        in_time = engine.collector.run_now(self._halfway_to(deadline), self._clock)
        in_time = engine.delivery_thread.flush(deadline) and in_time
        return self._result(before, deadline, timed_out=not in_time)

    def shutdown(self, timeout: float | None = None) -> FlushResult:
        """Collect a last time, deliver what is there, and end the threads.

        Args:
            timeout: how long it may take in all, in seconds; `shutdown_timeout` unless given.

        Returns:
            What was sent and dropped meanwhile, and what could not be delivered.
        """
        if timeout is None:
            timeout = self.config.shutdown_timeout
        deadline = self._clock.monotonic() + timeout
        engine = self._engine
        before = engine.buffer.ledger()
        self._ended = True
        # Another shutdown that is under way is waited for: it is the same delivery.
        in_time = self._lock.acquire(timeout=seconds_until(deadline, self._clock))
        to_end = False
        if in_time:
            try:
                to_end = self._runs and not self._has_shut_down
                if to_end:
                    in_time = self._end(engine, deadline)
            finally:
                self._lock.release()
        self._release_sigterm()
        result = self._result(before, deadline, timed_out=not in_time)
        if to_end and result.pending:
            _logger.warning(
                "shut down with %d samples that were not delivered%s",
                result.pending, f", {result.spooled} of them on disk" if result.spooled else "",
            )  # fmt: skip
        return result

    def _end(self, engine: Engine, deadline: float) -> bool:
        if self._ending.thread == threading.get_ident():
            # In a signal handler that has interrupted this thread's own shutdown, maybe in the
            # middle of a join(), which must not be entered again. That shutdown does the rest.
            in_time = self._stop_sources(engine, deadline)
            return engine.delivery_thread.flush(deadline) and in_time
        self._ending.thread = threading.get_ident()
        try:
            # The order matters: sources first, so that nothing enters behind the last batch.
            in_time = self._stop_sources(engine, deadline)
            in_time = engine.delivery_thread.stop(deadline) and in_time
        finally:
            self._ending.thread = None
        if in_time:
            self._transport.close()
        self._has_ended()  # only now: a shutdown that was interrupted can be repeated
        return in_time

    def _stop_sources(self, engine: Engine, deadline: float) -> bool:
        # They get half of the time: one that hangs must not cost what is there already.
        sources = [engine.collector, *([engine.system] if engine.system else [])]
        sources_deadline = self._halfway_to(deadline)
        engine.turn.is_last = True
        ended = [source.stop(sources_deadline, self._clock) for source in sources]
        return all(ended)

    def _has_ended(self) -> None:
        self._has_shut_down = True
        has_finished(self._ending)
        self._release_sigterm()

    def _release_sigterm(self) -> None:
        # Only the main thread can: what another has shut down, it may find later.
        if self._has_shut_down:
            leave_sigterm(self._ending)

    async def aflush(self, timeout: float = 10.0) -> FlushResult:  # noqa: ASYNC109 - flush()'s own
        """Flush, and let the event loop go on meanwhile.

        A task that is cancelled meanwhile ends at once; the flush goes on for its time.

        Args:
            timeout: how long to wait at most, in seconds.

        Returns:
            What `flush()` answers.
        """
        return await in_own_thread("noetl-metrics-flush", lambda: self.flush(timeout))

    async def aclose(self, timeout: float | None = None) -> FlushResult:  # noqa: ASYNC109
        """Shut down, and let the event loop go on meanwhile.

        A task that is cancelled meanwhile ends at once; the shutdown goes on for its time, and
        a normal exit waits for it.

        Args:
            timeout: how long it may take in all, in seconds; `shutdown_timeout` unless given.

        Returns:
            What `shutdown()` answers.
        """
        result = await in_own_thread("noetl-metrics-shutdown", lambda: self.shutdown(timeout))
        self._release_sigterm()
        return result

    def _halfway_to(self, deadline: float) -> float:
        now = self._clock.monotonic()
        return now + (deadline - now) / 2

    def stats(self) -> ClientStats:
        """Return what the client has done so far."""
        return self._engine.statistics.read()

    def _result(self, before: Ledger, deadline: float, *, timed_out: bool) -> FlushResult:
        left = max(LEDGER_WAIT_SECONDS_MIN, seconds_until(deadline, self._clock))
        after, spooled = self._engine.batches.ledger(left)
        return FlushResult(
            sent=after.sent - before.sent,
            pending=after.pending,
            dropped=sum(after.dropped.values()) - sum(before.dropped.values()),
            timed_out=timed_out,
            spooled=spooled,
        )

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()

    def _build(self, *, forked: bool) -> None:
        self._worker_id = worker_id_of(self.config.worker_id, forked=forked)
        runtime_id = self.config.runtime_id
        if forked:  # a child belongs to the component that its parent has registered
            runtime_id = self._engine.delivery_thread.runtime_id
        self._engine = build_engine(
            self.config,
            registry=self._registry,
            transport=self._transport,
            registration=registration_of(self.config),
            runtime_id=runtime_id,
            worker_id=self._worker_id,
            clock=self._clock,
            random=self._random,
        )

    def _http_transport(self) -> Transport:
        config = self.config
        assert config.server_url is not None
        headers = dict(config.headers)
        if config.token is not None:
            headers["Authorization"] = f"Bearer {config.token.get_secret_value()}"
        context = make_ssl_context(config.tls_ca, config.tls_certificate, config.tls_key)
        return HttpTransport(config.server_url, headers, ssl_context=context)

    def _reset_after_fork(self) -> None:
        self._lock = threading.RLock()
        self._ending.thread = None
        self._engine.batches.abandon()
        # Also after a shutdown: the locks may be those of threads that are not here.
        self._build(forked=True)
        if self._ended:
            self._has_ended()
        elif self._started:
            finish_at_exit_of_forked_child(self._ending)
            self._engine.start_threads()
            self._runs = True
            if self.config.handle_sigterm:
                deliver_before_sigterm(self._ending)
