"""The client: how it starts and ends, and the methods that a worker calls.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import logging
import os
import random as random_module
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from noetl_metrics_sdk.client.config import Config
from noetl_metrics_sdk.client.engine import Engine, build_engine
from noetl_metrics_sdk.client.environment import config_from_environment
from noetl_metrics_sdk.client.identity import registration_of, transport_of, worker_id_of
from noetl_metrics_sdk.client.start_reminder import StartReminder
from noetl_metrics_sdk.client.statistics import FlushResult
from noetl_metrics_sdk.clock import Clock, SystemClock, seconds_until
from noetl_metrics_sdk.collection.recording import recorded_sample
from noetl_metrics_sdk.errors import ConfigurationError, StartError
from noetl_metrics_sdk.process.awaiting import in_own_thread
from noetl_metrics_sdk.process.exit import (
    Ending,
    finish_at_exit,
    finish_at_exit_of_forked_child,
    has_finished,
)
from noetl_metrics_sdk.process.fork import call_a_moment_later, restart_client_after_fork
from noetl_metrics_sdk.process.in_gevent import call_around_patching
from noetl_metrics_sdk.process.in_uwsgi import (
    is_in_uwsgi,
    leaving_signals_to_the_main_thread,
    must_not_have_threads,
)
from noetl_metrics_sdk.process.sigterm import (
    deliver_before_sigterm,
    leave_sigterm,
    listen_anew,
)
from noetl_metrics_sdk.registry import REGISTRY, Registry

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
"""How long a flush waits at least to find out what is on disk, even if its time has run out."""


class MetricsClient:
    """Sends to a NoETL server what the instruments of a registry count.

    No call of a job ever waits for the network, or raises because of it. Samples wait in a bounded
    buffer until a thread of the client has delivered them. In a forked child the client starts
    afresh by itself, with its own threads, counts and `worker_id`.

    Args:
        server_url: the server's address, like `http://localhost:8082`.
        component_name: the worker pool's name. The client registers it, and keeps it alive by
            heartbeats.
        runtime_id: the component's id, in place of its name, if another program registers it.
        labels: labels that every sample gets.
        registry: the registry whose collectors the client reports.
        transport: sends the batches, in place of HTTP to `server_url`.
        clock: the time; tests give their own.
        random: returns a number from 0 up to 1, for jitter; tests give their own.
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
        if transport is None and self.config.server_url is None and not self.config.disabled:
            raise ConfigurationError(
                "server_url (NOETL_SERVER_URL) is missing: give the server's address, "
                "like http://localhost:8082"
            )
        self._registry = registry
        self._clock = clock or SystemClock()
        self._random = random
        # Held while the client starts its threads, and while it ends them. Taken before any other
        # lock of this package. Re-entrant, as a signal handler may shut the client down in the
        # middle of a call that holds the lock.
        self._lock = threading.RLock()
        self._started = False
        self._is_starting = False  # some of the threads have been started, and more will be
        self._runs = False  # all the threads have been started
        self._waits_for_use = False  # in a forked child, until it is used or some moments pass
        self._is_being_patched = False  # by gevent, in a forked child
        self._has_told_of_threads = False
        self._ended = False
        self._has_shut_down = False
        self._built: Engine | None = None  # None in a forked child that has not been used yet
        self._forks = 0
        self._parents_runtime_id: str | None = None
        self._began_at = self._clock.time()
        self._transport = transport or transport_of(self.config)
        self._ending = Ending(self.shutdown, self.flush, self.config.shutdown_timeout)
        self._start_reminder = StartReminder(
            registry, self.config.component_name or self.config.runtime_id
        )
        if self.config.disabled:
            self._start_reminder.note_start(registry)
        self._worker_id = worker_id_of(self.config.worker_id, forked=False)
        self._build()
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
            registry: the registry whose collectors the client reports.
            transport: sends the batches, in place of HTTP.
            environment: the environment variables, in place of `os.environ`.

        Raises:
            ConfigurationError: a variable is missing or not valid.
        """
        config = config_from_environment(os.environ if environment is None else environment)
        return cls(registry=registry, transport=transport, **config.given())

    @property
    def worker_id(self) -> str:
        """The label that tells this process from the others of its component."""
        return self._worker_id

    def start(self) -> Self:
        """Start the threads, which register the component as soon as the server is in reach.

        The call returns at once, whether or not there is a server. A second call changes nothing,
        and neither does any call of a client that is disabled.

        Raises:
            ConfigurationError: the client has been shut down.
            StartError: the process can have no thread. The instruments count on; another call may
                succeed, and otherwise the shutdown at the process's end delivers.
        """
        # Checked also before waiting for the lock, as a shutdown holds the lock to its end.
        self._refuse_if_ended()
        if self.config.disabled:
            _logger.info("metrics are disabled: instruments count, and nothing is sent")
            return self
        with self._lock:
            self._refuse_if_ended()
            if not self._started:
                self._started = True
                self._start_reminder.note_start(self._registry)
                finish_at_exit(self._ending)
                self._deliver_before_sigterm()
                self._engine.collection.note_start(self._clock.time())
            if must_not_have_threads():
                self._waits_for_use = True  # the workers start theirs after their fork
                return self
            try:
                self._start_threads()
            except RuntimeError as error:
                self._has_told_of_threads = True
                raise StartError(
                    f"the client has no thread that could deliver: {error}. Let this process have "
                    "more threads (ulimit -u, pids.max), and call start() again"
                ) from error
        return self

    def _deliver_before_sigterm(self) -> None:
        if self.config.handle_sigterm and not is_in_uwsgi():
            deliver_before_sigterm(self._ending)

    def discard(self) -> None:
        """End a client whose start has failed; it delivers nothing, and instruments count on."""
        self._ended = True
        with self._lock:
            now = self._clock.monotonic()
            for source in self._engine.sources():
                if source.was_started:
                    source.stop(now, self._clock)
            # The program may give its transport to another client.
            self._engine.delivery_thread.stop(now, closes_connections=False)
            self._has_ended()

    def _start_threads(self) -> None:
        if self._runs or self._is_starting:
            return  # a signal handler has interrupted the start, which goes on below it
        self._is_starting = True
        try:
            with leaving_signals_to_the_main_thread():
                self._engine.start_threads()
            self._runs = True
            self._waits_for_use = False
        finally:
            self._is_starting = False

    def _start_if_due(self, seconds: float = 0.0) -> None:
        """Start the threads of a forked child that has not started them yet, if that is possible.

        Never raises, as jobs call this.

        Args:
            seconds: how long to wait at most for another thread that starts the client, or shuts it
                down.
        """
        if self._runs or self._ended or not self._started:
            return
        if self._is_being_patched or must_not_have_threads():
            return
        if not self._lock.acquire(timeout=seconds):
            return
        try:
            if not self._ended:
                self._start_threads()
        except RuntimeError as error:
            if not self._has_told_of_threads:
                self._has_told_of_threads = True
                _logger.error(  # noqa: TRY400 - the message has what is of use in the error
                    "the client has no thread that could deliver: %s. Its instruments count on; it "
                    "tries again when it is used, and delivers when it is shut down",
                    error,
                )
        finally:
            self._lock.release()

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
        """Put one sample into the buffer as it is, with a time of its own.

        Args:
            name: the metric's name; the name of a counter ends in `_total`.
            value: the value; the value of a counter is cumulative.
            metric_type: `counter`, `gauge`, `histogram` or `summary`.
            labels: the labels.
            timestamp: the sample's time, in seconds since the epoch; now unless given.
            help_text: what the metric measures.
            unit: the unit of the value.

        Raises:
            InvalidMetricError: a part of the sample is not valid.
            TypeError: the value or the time is no number.
        """
        taken_at = self._clock.time() if timestamp is None else timestamp
        sample = recorded_sample(name, value, metric_type, labels, taken_at, help_text, unit)
        if self.config.disabled:
            return
        if not self._started:
            self._start_reminder.note_recorded()
        self._start_if_due()
        self._engine.record(sample)

    @property
    def has_ended(self) -> bool:
        """Whether a shutdown has begun, after which the client takes nothing more for delivery."""
        return self._ended

    def offer(
        self, families: Iterable[Any], refusals: Iterable[tuple[str, Exception]] = ()
    ) -> bool:
        """Put metric families that another library has collected by itself into the buffer.

        Args:
            families: families of the shape that `Collector` describes.
            refusals: the names of metrics that the caller had to leave out, each with the reason.
                The client counts them as invalid samples, and logs each name once.

        Returns:
            Whether every sample is in the buffer, or is the same as the sample that was last sent
            of its series a short time ago. A client that is disabled takes all and keeps none.
        """
        if self.config.disabled:
            return True
        self._start_if_due()
        engine = self._engine  # a fork in the middle of this call replaces it in the child
        for name, error in refusals:
            engine.collection.refuse(name, error)
        all_taken = engine.collection.offer(families)
        engine.delivery_thread.wake()
        return all_taken

    def flush(self, timeout: float = 10.0) -> FlushResult:
        """Collect now, and wait until all samples that were collected so far are delivered.

        Args:
            timeout: how long to wait at most, in seconds.

        Returns:
            How many samples were sent and dropped meanwhile, and how many are still pending.
            Before `start()` the client sends nothing, all samples are pending, and the log has a
            warning, once.
        """
        deadline = self._clock.monotonic() + timeout
        self._start_if_due(timeout)
        engine = self._engine
        before = engine.buffer.ledger()
        if not self._started:
            self._start_reminder.remind()
        if not self._started or self._is_starting or self._ended:
            return self._result(before, deadline, timed_out=False)
        if not self._runs:
            # There is no thread that could deliver. The caller learns how much waits for one.
            engine.turn()
            return self._result(before, deadline, timed_out=True)
        # A collector that hangs gets half of the time. The other half is for delivering the samples
        # that are in the buffer already.
        in_time = engine.collector.run_now(self._halfway_to(deadline), self._clock)
        in_time = engine.delivery_thread.flush(deadline) and in_time
        return self._result(before, deadline, timed_out=not in_time)

    def shutdown(self, timeout: float | None = None) -> FlushResult:
        """Collect a last time, deliver what is in the buffer, and end the threads.

        Args:
            timeout: how long the shutdown may take in all, in seconds; `shutdown_timeout` unless
                given.

        Returns:
            How many samples were sent and dropped meanwhile, and how many could not be delivered.
        """
        if timeout is None:
            timeout = self.config.shutdown_timeout
        deadline = self._clock.monotonic() + timeout
        engine = self._engine
        before = engine.buffer.ledger()
        self._ended = True
        # If another shutdown is under way, this call waits for it: both mean the same delivery.
        in_time = self._lock.acquire(timeout=seconds_until(deadline, self._clock))
        to_end = False
        if in_time:
            try:
                to_end = self._started and not self._is_starting and not self._has_shut_down
                if to_end and self._waits_for_use and not self._was_used():
                    self._has_ended()  # this process never became a worker
                elif to_end:
                    in_time = self._end(engine, deadline)
            finally:
                self._lock.release()
        self._release_sigterm()
        if not self._started:
            self._start_reminder.remind_if_counted(self._registry)
        result = self._result(before, deadline, timed_out=not in_time)
        if to_end and result.pending:
            _logger.warning(
                "shut down with %d samples that were not delivered%s",
                result.pending, f", {result.spooled} of them on disk" if result.spooled else "",
            )  # fmt: skip
        return result

    def _was_used(self) -> bool:
        engine = self._engine
        return bool(engine.buffer.ledger().added) or engine.collection.finds_counts()

    def _end(self, engine: Engine, deadline: float) -> bool:
        with suppress(RuntimeError):
            # A collector may hang: in a thread, that costs no more than the shutdown's time. If
            # there can be no thread, what has none runs in this one.
            self._start_threads()
        if self._ending.thread == threading.get_ident():
            # This is a signal handler, which has interrupted a shutdown by the same thread, maybe
            # in the middle of a join(). The thread must not enter the join() again. The interrupted
            # shutdown does the rest.
            in_time = self._stop_sources(engine, deadline)
            return engine.delivery_thread.flush(deadline) and in_time
        self._ending.thread = threading.get_ident()
        try:
            # The sources stop first. Otherwise a sample could enter the buffer after the delivery
            # thread has cut the last batch.
            in_time = self._stop_sources(engine, deadline)
            in_time = engine.delivery_thread.stop(deadline) and in_time
        finally:
            self._ending.thread = None
        self._has_ended()  # last, so that a shutdown that was interrupted can be repeated
        return in_time

    def _stop_sources(self, engine: Engine, deadline: float) -> bool:
        # The sources get half of the time. A source that hangs must not cost the samples that are
        # in the buffer already.
        sources_deadline = self._halfway_to(deadline)
        engine.turn.is_last = True
        ended = [source.stop(sources_deadline, self._clock) for source in engine.sources()]
        return all(ended)

    def _has_ended(self) -> None:
        self._has_shut_down = True
        has_finished(self._ending)
        self._release_sigterm()

    def _release_sigterm(self) -> None:
        # Only the main thread can restore the handler. If another thread has shut the client down,
        # this does nothing there, and a later call by the main thread restores it.
        if self._has_shut_down:
            leave_sigterm(self._ending)

    async def aflush(self, timeout: float = 10.0) -> FlushResult:  # noqa: ASYNC109 - flush()'s own
        """Flush, while the event loop goes on.

        If the awaiting task is cancelled, it ends at once. The flush goes on for its time.

        Args:
            timeout: how long to wait at most, in seconds.

        Returns:
            The result of `flush()`.
        """
        return await in_own_thread("noetl-metrics-flush", lambda: self.flush(timeout))

    async def aclose(self, timeout: float | None = None) -> FlushResult:  # noqa: ASYNC109
        """Shut down, while the event loop goes on.

        If the awaiting task is cancelled, it ends at once. The shutdown goes on for its time, and a
        normal exit of the process waits for it.

        Args:
            timeout: how long the shutdown may take in all, in seconds; `shutdown_timeout` unless
                given.

        Returns:
            The result of `shutdown()`.
        """
        result = await in_own_thread("noetl-metrics-shutdown", lambda: self.shutdown(timeout))
        self._release_sigterm()
        return result

    def _halfway_to(self, deadline: float) -> float:
        now = self._clock.monotonic()
        return now + (deadline - now) / 2

    def stats(self) -> ClientStats:
        """Return what the client has done so far."""
        return self._engine.statistics.read()._replace(disabled=self.config.disabled)

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

    @property
    def _engine(self) -> Engine:
        return self._built or self._build()

    def _build(self) -> Engine:
        with self._lock:
            if self._built is not None:
                return self._built
            runtime_id = self.config.runtime_id
            if self._forks:  # a child belongs to the component that its parent may have registered
                runtime_id = self._parents_runtime_id
            engine = build_engine(
                self.config,
                registry=self._registry,
                transport=self._transport,
                registration=registration_of(self.config, self._worker_id, self._began_at),
                runtime_id=runtime_id,
                worker_id=self._worker_id,
                clock=self._clock,
                random=self._random,
            )
            if self._forks:
                engine.collection.note_start(self._began_at)
            if self._built is None:  # a signal handler may have built one in the middle of this
                self._built = engine
            return self._built

    def _reset_after_fork(self) -> None:
        self._lock = threading.RLock()
        self._ending.thread = None
        self._is_starting = False
        self._forks += 1
        self._began_at = self._clock.time()
        self._worker_id = worker_id_of(self.config.worker_id, forked=True)
        if self._built is not None:
            self._parents_runtime_id = self._built.delivery_thread.runtime_id
            self._built.batches.abandon()
        # Built anew when it is used: that takes a millisecond, and the child may be about to run
        # another program. Built also after a shutdown: a thread that is not in the child may hold
        # one of the locks.
        self._built = None
        if self._ended:
            self._has_ended()
        elif self._started:
            self._runs = False
            self._waits_for_use = True
            finish_at_exit_of_forked_child(self._ending)
            self._deliver_before_sigterm()
            # A child that is about to run another program never becomes a worker.
            if not call_a_moment_later(partial(self._start_a_moment_later, self._forks)):
                self._start_if_due()
            call_around_patching(self._wait_for_patching, self._begin_anew_if_waiting)

    def _start_a_moment_later(self, forks: int) -> None:
        if forks == self._forks and not self._is_being_patched:
            self._waits_for_use = False
            self._start_if_due()

    def _wait_for_patching(self) -> None:
        self._is_being_patched = True

    def _begin_anew_if_waiting(self) -> None:
        self._is_being_patched = False
        if self._waits_for_use and not self._runs:
            self._reset_after_fork()  # with locks and threads of gevent
            listen_anew()
