"""A program that serves HTTP, which tests start, end and kill."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

START_SECONDS = 60.0
FOUND_SECONDS = 60.0

PLAIN_HTTP = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For requests to addresses that begin with http://. Without it httpx would load the machine's
certificates for each request, which takes longer than the request."""


class PeerProgram:
    """A program on a port of its own, which it keeps when it starts again.

    Args:
        command: the program and its arguments.
        port: the port on which it listens.
        log: the file that gets its output.
    """

    health_path = "/"

    def __init__(self, command: Sequence[str], port: int, log: Path) -> None:
        self._command = command
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{port}"

    def start(self) -> None:
        """Start the program; return when it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                if httpx.get(
                    self.url + self.health_path, timeout=5.0, verify=PLAIN_HTTP
                ).is_success:
                    return
            except httpx.HTTPError:
                pass
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            time.sleep(0.05)

    def stop(self) -> None:
        """End the program in order, if it runs."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(START_SECONDS)
            self._process = None

    def kill(self) -> None:
        """End the program by SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(START_SECONDS)
        self._process = None

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Return the answer to a request; the request has to succeed."""
        answer = httpx.get(self.url + path, timeout=30.0, verify=PLAIN_HTTP, **options)
        assert answer.is_success, answer.text
        return answer

    def query(self, promql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return the result of an instant query."""
        answer = self.get("/api/v1/query", params={"query": promql, **parameters}).json()
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def wait_until(self, promql: str, is_right: Callable[[float], bool]) -> None:
        """Wait until a query has one result and it is right: a query finds a sample only after a
        while."""
        deadline = time.monotonic() + FOUND_SECONDS
        while True:
            self.show_what_was_written()
            found = [float(one["value"][1]) for one in self.query(promql, nocache=1)]
            if len(found) == 1 and is_right(found[0]):
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.1)

    def show_what_was_written(self) -> None:
        """Have queries find earlier writes at once, where the program would take a while."""

    @staticmethod
    def parse(line: str) -> dict[str, Any]:
        """Return the object in a line of JSON."""
        found: dict[str, Any] = json.loads(line)
        return found
