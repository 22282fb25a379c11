"""Several processes on one listening socket: started, watched, replaced, and ended in order.

The parent serves nothing. It waits for signals, and for workers that end. It owns the socket, the
schema and the embedded PostgreSQL, of which there is one each. It forks the workers, so they have
its settings and its socket. A worker ends by itself when the parent is gone.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from server_stub.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

    from server_stub.settings import Settings

CONNECTIONS_PER_WORKER_MIN = 2
"""While maintenance uses one connection, requests have the other."""

RESTART_PAUSE_SECONDS_MIN = 0.1
RESTART_PAUSE_SECONDS_MAX = 30.0
STEADY_SECONDS = 60.0
"""If a worker has served for so long, the parent replaces it after the shortest pause again."""

STOP_SECONDS = 20.0
"""How long workers get to answer the requests that they have begun; then the parent kills them."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_context = multiprocessing.get_context("fork")
_logger = logging.getLogger(__name__)


def share_of(settings: Settings) -> Settings:
    """Return the settings of one worker, with its share of the bounds of the whole server."""
    if settings.workers == 1:
        return settings
    return replace(
        settings,
        pool_size=max(settings.pool_size // settings.workers, CONNECTIONS_PER_WORKER_MIN),
        # A worker takes one body at least, however large.
        ingest_bytes_max=max(settings.ingest_bytes_max // settings.workers, 1024),
        connections_max=max(settings.connections_max // settings.workers, 1),
    )


@dataclass
class _Worker:
    """A worker, or the place of a worker that the parent will replace."""

    number: int
    process: ForkProcess
    ready: Connection
    started_at: float
    is_ready: bool = False
    pause_seconds: float = RESTART_PAUSE_SECONDS_MIN
    replaced_at: float | None = None


class WorkerProcesses:
    """Starts, watches, replaces and ends the workers, in the parent.

    Args:
        count: how many workers there are.
        serve: does a worker's work. It gets a function, which it calls when it takes requests. It
            ends after a SIGTERM.
        monotonic: returns the seconds of a clock that is never set.
    """

    def __init__(
        self,
        count: int,
        serve: Callable[[Callable[[], None]], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._count = count
        self._serve = serve
        self._monotonic = monotonic
        # The parent never writes to this pipe: a worker reads its end when the parent is gone.
        self._life_reader, self._life_writer = os.pipe()
        # Signals write to this socket, and so interrupt the wait.
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._workers: list[_Worker] = []

    def run(self, on_ready: Callable[[], None], is_stopping: Callable[[], bool]) -> None:
        """Start the workers, keep them running, and end them.

        Args:
            on_ready: called once, when all workers take requests.
            is_stopping: returns whether a signal has asked for the end.

        Raises:
            StartupError: a worker ended before all had begun to serve.
        """
        previous = signal.set_wakeup_fd(self._wake_writer.fileno(), warn_on_full_buffer=False)
        try:
            self._workers = [self._start(number) for number in range(self._count)]
            said = False
            while not is_stopping():
                if not said and all(worker.is_ready for worker in self._workers):
                    said = True
                    on_ready()
                self._wait()
                if is_stopping():
                    break
                self._note_ready()
                self._note_ended(may_replace=said)
                self._replace()
        finally:
            self._stop()
            signal.set_wakeup_fd(previous)
            os.close(self._life_reader)
            os.close(self._life_writer)
            self._wake_reader.close()
            self._wake_writer.close()

    def _start(self, number: int, pause_seconds: float = RESTART_PAUSE_SECONDS_MIN) -> _Worker:
        reader, writer = _context.Pipe(duplex=False)
        process = _context.Process(
            target=self._work, args=(reader, writer), name=f"server_stub worker {number}"
        )
        # Python forgets a signal that comes in the first moments of a forked child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        writer.close()
        return _Worker(number, process, reader, self._monotonic(), pause_seconds=pause_seconds)

    def _work(self, reader: Connection, writer: Connection) -> None:
        """Serve in the worker."""
        signal.set_wakeup_fd(-1)
        os.close(self._life_writer)
        reader.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        with writer:
            self._serve(lambda: writer.send_bytes(b"ready"))

    def _end_with_parent(self) -> None:
        os.read(self._life_reader, 1)
        _logger.warning("the parent process is gone: this worker ends")
        os.kill(os.getpid(), signal.SIGTERM)

    def _wait(self) -> None:
        """Wait for a signal, a worker that is ready or has ended, or the next replacement."""
        awaited: list[Connection | socket.socket | int] = [self._wake_reader]
        pauses: list[float] = []
        for worker in self._workers:
            if worker.replaced_at is not None:
                pauses.append(max(worker.replaced_at - self._monotonic(), 0.0))
                continue
            awaited.append(worker.process.sentinel)
            if not worker.is_ready:
                awaited.append(worker.ready)
        happened = wait(awaited, min(pauses, default=None))
        for worker in self._workers:
            if worker.replaced_at is None and worker.process.sentinel in happened:
                # A worker closes its files a moment before its exit code is known.
                worker.process.join()
        try:
            while self._wake_reader.recv(1024):
                pass
        except BlockingIOError:
            pass

    def _note_ready(self) -> None:
        for worker in self._workers:
            if not worker.is_ready and worker.replaced_at is None and worker.ready.poll():
                try:
                    worker.ready.recv_bytes()
                except EOFError:
                    continue  # it has ended, which its sentinel says too
                worker.is_ready = True

    def _note_ended(self, *, may_replace: bool) -> None:
        for worker in self._workers:
            if worker.replaced_at is not None or worker.process.is_alive():
                continue
            worker.ready.close()
            code = worker.process.exitcode
            if not may_replace:
                raise StartupError(
                    f"worker process {worker.number} ended with code {code} before it took "
                    "requests: its log says why"
                )
            now = self._monotonic()
            if now - worker.started_at >= STEADY_SECONDS:
                worker.pause_seconds = RESTART_PAUSE_SECONDS_MIN
            worker.replaced_at = now + worker.pause_seconds
            _logger.error(
                "worker process %d (pid %d) ended with code %s and is replaced in %g s",
                worker.number,
                worker.process.pid,
                code,
                worker.pause_seconds,
            )

    def _replace(self) -> None:
        for place, worker in enumerate(self._workers):
            if worker.replaced_at is not None and worker.replaced_at <= self._monotonic():
                pause_seconds = min(worker.pause_seconds * 2, RESTART_PAUSE_SECONDS_MAX)
                self._workers[place] = self._start(worker.number, pause_seconds)

    def _stop(self) -> None:
        running = [worker for worker in self._workers if worker.replaced_at is None]
        for worker in running:
            worker.process.terminate()
        deadline = self._monotonic() + STOP_SECONDS
        for worker in running:
            worker.process.join(max(deadline - self._monotonic(), 0.0))
            if worker.process.is_alive():
                _logger.error("worker process %d did not end and is killed", worker.number)
                worker.process.kill()
                worker.process.join()
            worker.ready.close()
