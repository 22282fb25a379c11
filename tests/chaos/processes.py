"""The processes of a scenario: servers that a test can kill, and workers with their ledgers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from tests.chaos.ledger import ledgers_of
from tests.chaos.waiting import wait_until
from tests.chaos.worker import SHOW_STACKS
from tests.server_process import start_server

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from tests.chaos.assignment import Assignment
    from tests.chaos.ledger import WorkerLedger
    from tests.server_process import ServerProcess

RECORDED_SECONDS = 60.0
STACKS_SECONDS = 1.0
"""How long processes have to write where they hang."""

TIMES_OF_NUMBERS = "--sample-age-seconds-max=3200000000"
"""The time of a numbered sample is its number, long ago."""

ROOT = Path(__file__).parents[2]
# The folder comes last on the path: like a user's, the worker imports the installed package.
LAUNCH = "import sys; sys.path.append({!r}); from tests.chaos.worker import main; main()"


@dataclass
class Server:
    """A server that comes back after each kill, on another port."""

    database_url: str
    role: str
    running: ServerProcess

    @classmethod
    def start(cls, database_url: str, role: str) -> Server:
        url = f"{database_url}&user={role}"  # of two users in a URL the last one counts
        return cls(url, role, start_server(url, TIMES_OF_NUMBERS))

    @property
    def url(self) -> str:
        return self.running.url

    def kill(self) -> None:
        """End the server by SIGKILL."""
        self.running.process.kill()
        self.running.process.wait()
        assert self.running.process.stdout is not None
        self.running.process.stdout.close()

    def start_again(self) -> None:
        """Start the server after a kill."""
        self.running = start_server(self.database_url, TIMES_OF_NUMBERS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.running.process.poll() is None:
            self.kill()


class WorkerProcess:
    """A running worker.

    Args:
        assignment: what it does.
        variables: environment variables for it.
    """

    def __init__(self, assignment: Assignment, **variables: str) -> None:
        self.assignment = assignment
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH.format(str(ROOT)), assignment.to_json()],
            stdin=subprocess.PIPE,
            env={
                **{
                    name: text for name, text in os.environ.items() if not name.startswith("NOETL_")
                },
                **variables,
            },
        )

    def release(self) -> None:
        """Let the worker end once it has recorded enough."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def finish(self, seconds: float = 300.0) -> list[WorkerLedger]:
        """Wait until the worker has ended in order; return its ledger and its children's."""
        self.release()
        try:
            code = self.process.wait(seconds)
        except BaseException:  # the test's time is up, or this wait's
            self._show_stacks()
            raise
        assert 0 == code
        return self.ledgers()

    def _show_stacks(self) -> None:
        """Have the worker and its children say where they hang."""
        worker = psutil.Process(self.process.pid)
        for process in [worker, *worker.children()]:
            process.send_signal(SHOW_STACKS)
        time.sleep(STACKS_SECONDS)

    def kill(self) -> list[WorkerLedger]:
        """End the worker by SIGKILL; return its ledger."""
        self.process.kill()
        self.process.wait()
        self.release()
        return self.ledgers()

    def wait_until_begun(self) -> None:
        """Wait until the worker is about to start its client."""
        wait_until(lambda: bool(self.ledgers()[0].worker_id), RECORDED_SECONDS)

    def wait_until_recorded(self, count: int) -> None:
        """Wait until the worker has recorded so many samples, whatever became of them."""
        wait_until(lambda: sum(map(len, self.ledgers()[0].did)) >= count, RECORDED_SECONDS)

    def wait_until_safe(self) -> None:
        """Wait until the SDK has told the worker that samples are safe."""
        wait_until(lambda: bool(self.ledgers()[0].safe), RECORDED_SECONDS)

    def terminate(self) -> tuple[list[range], list[WorkerLedger]]:
        """End the worker by SIGTERM; return what it had recorded before, and its ledger."""
        before = [numbers for ledger in self.ledgers() for numbers in ledger.did]
        self.process.terminate()
        assert -signal.SIGTERM == self.process.wait(RECORDED_SECONDS)
        self.release()
        return before, self.ledgers()

    def ledgers(self) -> list[WorkerLedger]:
        """Return the present ledgers of the worker and its children."""
        return ledgers_of(Path(self.assignment.ledger))
