"""Several processes on one listening socket: started, watched, replaced, and ended in order.

The parent serves nothing. It waits for signals, and for workers that end or are silent. It owns the
socket, the schema and the embedded PostgreSQL, of which there is one each. It forks the workers, so
they have its settings and its socket. A worker ends by itself when the parent is gone.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import socket
import threading
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from server_stub.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkProcess

RESTART_PAUSE_SECONDS_MIN = 0.1
RESTART_PAUSE_SECONDS_MAX = 30.0
STEADY_SECONDS = 60.0
"""If a worker has served for so long, the parent replaces it after the shortest pause again."""

STOP_SECONDS = 20.0
"""How long workers get to answer the requests that they have begun; then the parent kills them."""

SILENT_SECONDS_MAX = 20.0
"""A worker that serves says so about every second. One that has been silent for so long is stopped,
or hangs, and the parent kills it; one that is ending is silent too, and gets as long for that."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_context = multiprocessing.get_context("fork")
_logger = logging.getLogger(__name__)


@dataclass
class _Worker:
    """A worker, or the place of a worker that the parent will replace."""

    number: int
    process: ForkProcess
    life: Connection
    started_at: float
    heard_at: float
    is_ready: bool = False
    pause_seconds: float = RESTART_PAUSE_SECONDS_MIN
    replaced_at: float | None = None


class WorkerProcesses:
    """Starts, watches, replaces and ends the workers, in the parent.

    Args:
        count: how many workers there are.
        serve: does a worker's work. It gets the worker's number, from 0, and a function. It calls
            that when it takes requests, and about every second from then on. It ends after a
            SIGTERM.
        forget: is told, in the parent, the number of a worker that has ended.
        monotonic: returns the seconds of a clock that is never set.
        silent_seconds_max: after which silence of a worker the parent replaces it.
    """

    def __init__(
        self,
        count: int,
        serve: Callable[[int, Callable[[], None]], None],
        forget: Callable[[int], None],
        monotonic: Callable[[], float],
        silent_seconds_max: float = SILENT_SECONDS_MAX,
    ) -> None:
        self._count = count
        self._serve = serve
        self._forget = forget
        self._monotonic = monotonic
        self._silent_seconds_max = silent_seconds_max
        self._looked_at = monotonic()
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
                self._note_signs()
                self._kill_silent()
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
            target=self._work, args=(number, reader, writer), name=f"server_stub worker {number}"
        )
        # Python forgets a signal that comes in the first moments of a forked child.
        signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        writer.close()
        os.set_blocking(reader.fileno(), False)
        now = self._monotonic()
        return _Worker(number, process, reader, now, now, pause_seconds=pause_seconds)

    def _work(self, number: int, reader: Connection, writer: Connection) -> None:
        """Serve in the worker."""
        signal.set_wakeup_fd(-1)
        os.close(self._life_writer)
        reader.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        os.set_blocking(writer.fileno(), False)

        def say_alive() -> None:
            # If the parent is stopped, the pipe is full at some time; if it is gone, it is broken.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(writer.fileno(), b".")

        self._serve(number, say_alive)

    def _end_with_parent(self) -> None:
        os.read(self._life_reader, 1)
        _logger.warning("the parent process is gone: this worker ends")
        os.kill(os.getpid(), signal.SIGTERM)

    def _wait(self) -> None:
        """Wait for a signal, a sign or the end of a worker, or the time to look for silent ones."""
        awaited: list[Connection | socket.socket | int] = [self._wake_reader]
        pauses = [self._silent_seconds_max / 4]
        for worker in self._workers:
            if worker.replaced_at is not None:
                pauses.append(max(worker.replaced_at - self._monotonic(), 0.0))
                continue
            awaited += [worker.process.sentinel, worker.life]
        happened = wait(awaited, min(pauses))
        for worker in self._workers:
            if worker.replaced_at is None and worker.process.sentinel in happened:
                # A worker closes its files a moment before its exit code is known.
                worker.process.join()
        try:
            while self._wake_reader.recv(1024):
                pass
        except BlockingIOError:
            pass

    def _note_signs(self) -> None:
        for worker in self._workers:
            if worker.replaced_at is None and _has_sign(worker.life):
                worker.is_ready = True
                worker.heard_at = self._monotonic()

    def _kill_silent(self) -> None:
        now = self._monotonic()
        has_slept = now - self._looked_at > self._silent_seconds_max / 2
        self._looked_at = now
        for worker in self._workers:
            if has_slept:  # this process was stopped as well, and has heard of no worker
                worker.heard_at = now
            silent_seconds = now - worker.heard_at
            if not worker.is_ready or worker.replaced_at is not None:
                continue
            if silent_seconds > self._silent_seconds_max and worker.process.is_alive():
                _logger.error(
                    "worker process %d (pid %d) was silent for %.3g s: it is stopped or hangs, and "
                    "is killed",
                    worker.number,
                    worker.process.pid,
                    silent_seconds,
                )
                worker.process.kill()
                worker.process.join()

    def _note_ended(self, *, may_replace: bool) -> None:
        for worker in self._workers:
            if worker.replaced_at is not None or worker.process.is_alive():
                continue
            worker.life.close()
            self._forget(worker.number)
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
            worker.life.close()


def _has_sign(life: Connection) -> bool:
    try:
        return bool(os.read(life.fileno(), 4096))
    except BlockingIOError:
        return False
