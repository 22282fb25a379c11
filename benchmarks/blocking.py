"""How long the heaviest requests block the server's event loop, and what memory they take.

Each is sent to a real server on a real PostgreSQL, some times one after the other, and the largest
figure counts. The tables of known series and of labels are full by then. Where the program
victoria-metrics is installed, another server writes to it and has no samples in PostgreSQL.

Usage: ./scripts/bench blocking [--rounds N] [--points N] [--json FILE]
"""

from __future__ import annotations

import http.client
import re
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from export import victoria_metrics
from heavy_requests import Request, filling, heavy_requests, only_written, store
from started_server import started_server
from tables import Report, arguments, introduce, publish
from watched_server import BLOCKED, FILE_BYTES, PROCESS_ID

from server_stub.embedded_postgresql.embedded import embedded_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDER = Path(__file__).parent
PROCESS, THREAD, WALL, MEMORY = (
    "noetl_metrics_sdk", "in the loop's thread", "by the clock", "memory, MiB"
)  # fmt: skip
"""The processor time of all threads between two beats of the loop comes first: that counts."""


class Watched:
    """A server whose loop and memory are watched.

    Args:
        port: its port.
        shared: the file of `watched_server`.
    """

    def __init__(self, port: int, shared: Path) -> None:
        self._port = port
        self._shared = shared
        self._proc = Path("/proc") / str(self._process_id())

    def send(self, request: Request) -> tuple[int, bytes]:
        """Send a request; return the status and the body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        try:
            connection.request(
                request.method, request.path, request.body or None, dict(request.headers)
            )
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def measure(self, requests: Iterable[Request]) -> tuple[dict[str, float], str]:
        """Return the most of each figure, in milliseconds and MiB, and what was answered."""
        with self._shared.open("r+b") as shared:
            shared.write(bytes(PROCESS_ID.size))
        while not self._process_id():
            time.sleep(0.01)
        (self._proc / "clear_refs").write_text("5")  # the peak is now what is there
        before = self._memory_mebibytes("VmRSS")
        answers = [self.send(request) for request in requests]
        time.sleep(0.05)  # the last beat
        wall, process, thread = BLOCKED.unpack_from(self._shared.read_bytes(), PROCESS_ID.size)
        figures = {
            PROCESS: 1000 * process, THREAD: 1000 * thread, WALL: 1000 * wall,
            MEMORY: self._memory_mebibytes("VmHWM") - before,
        }  # fmt: skip
        status, body = answers[-1]
        return figures, f"{status}, {len(body):,} bytes: {body[:100].decode(errors='replace')!r}"

    def _process_id(self) -> int:
        (process_id,) = PROCESS_ID.unpack_from(self._shared.read_bytes())
        return int(process_id)

    def _memory_mebibytes(self, name: str) -> float:
        status = (self._proc / "status").read_text()
        found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024


def started(stack: ExitStack, shared: Path, *flags: str) -> Watched:
    """Start a server that is watched."""
    shared.write_bytes(bytes(FILE_BYTES))
    command = [sys.executable, str(FOLDER / "watched_server.py"), str(shared), "--port=0", *flags]
    return Watched(stack.enter_context(started_server(command)), shared)


def measure(server: Watched, kinds: Mapping[str, Iterable[Request]], report: Report) -> None:
    """Add the figures of each kind of request to a report."""
    for name, requests in kinds.items():
        figures, answered = server.measure(requests)
        report.add(name, figures)
        print(f"{name}: {answered}", flush=True)


def main() -> None:
    """Measure each kind, and print one table."""
    options = arguments(__doc__, rounds=3, points=450_000)
    introduce()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(embedded_database(None))
        server = started(stack, folder / "first", f"--database-url={url}", "--retention-days=400")
        with psycopg.connect(url, autocommit=True) as database:
            runtime_id = store(database, options.points)
        report = Report("How long the loop was blocked, and what memory a request took", "ms")
        measure(server, filling(runtime_id), report)
        measure(server, heavy_requests(runtime_id, options.rounds), report)
        if shutil.which("victoria-metrics") is not None:
            elsewhere = f"http://127.0.0.1:{stack.enter_context(victoria_metrics())}"
            writing = started(
                stack, folder / "second", f"--database-url={url}", "--storage=remote-write",
                f"--remote-write-url={elsewhere}/api/v1/write", f"--history-url={elsewhere}",
            )  # fmt: skip
            measure(writing, only_written(runtime_id, options.rounds), report)
    publish([report], options.json)


if __name__ == "__main__":
    main()
