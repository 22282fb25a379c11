"""A real server process for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

STOP_SECONDS = 30

READY = "server_stub ready at "
DATABASE = "server_stub database: "


@dataclass
class ServerProcess:
    """A `python -m server_stub`, ready to take requests."""

    url: str
    database_url: str
    process: subprocess.Popen[str]

    def stop(self, seconds_max: float = STOP_SECONDS) -> int:
        """End the server as an operator would; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds_max)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


def start_server(
    database_url: str | None, *flags: str, folder: Path | None = None, log: Path | None = None
) -> ServerProcess:
    """Start a server on a free port; return once it has printed that it is ready.

    Without a database's URL it runs an embedded PostgreSQL. Relative paths in its flags are below
    the folder. Its stderr goes to the file `log`.
    """
    with ExitStack() as stack:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "server_stub",
                "--port=0",
                *([] if database_url is None else [f"--database-url={database_url}"]),
                *flags,
            ],
            stdout=subprocess.PIPE,
            stderr=None if log is None else stack.enter_context(log.open("w")),
            text=True,
            cwd=folder,
            env={name: text for name, text in os.environ.items() if not name.startswith("NOETL_")},
        )
    assert process.stdout is not None
    for line in process.stdout:
        if database_url is None and line.startswith(DATABASE):
            database_url = line.removeprefix(DATABASE).strip()
        if line.startswith(READY):
            assert database_url is not None
            return ServerProcess(line.removeprefix(READY).strip(), database_url, process)
    raise AssertionError(f"the server ended with {process.wait()} before it was ready")
