"""A server in a process of its own, for as long as a block runs."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence


def server_command(database_url: str) -> list[str]:
    """Return the command that runs this project's server on a free port."""
    return [sys.executable, "-m", "server_stub", "--port=0", f"--database-url={database_url}"]


@contextmanager
def started_server(command: Sequence[str]) -> Generator[int]:
    """Run a server while the block runs; yield the port that it prints once it takes requests.

    Raises:
        RuntimeError: the server ended before; the message has its output.
    """
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                port = line.strip().rsplit(":", 1)[-1]
                if port.isdecimal():
                    yield int(port)
                    return
            log.seek(0)
            raise RuntimeError(f"the server has ended: {log.read()}")
        finally:
            process.terminate()
