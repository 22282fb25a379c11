"""Sends the samples of a file in batches, each once, also if the import is repeated."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from noetl_metrics_cli.errors import UNREACHABLE, CommandError
from noetl_metrics_cli.transfer.batches import Place, batches
from noetl_metrics_cli.transfer.reading import Component
from noetl_metrics_cli.transfer.side_file import read_side_file, write_side_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from noetl_metrics_cli.api.connection import Answer, Connection
    from noetl_metrics_cli.transfer.batches import Batch
    from noetl_metrics_cli.transfer.reading import LineReader, ReadSample

SUFFIX = ".imported"
REJECTIONS_MAX = 20
"""How many rejected lines are named; all of them are counted."""

ATTEMPTS_MAX = 8
_PAUSE_SECONDS_MAX = 10.0
_BUSY = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(slots=True)
class Outcome:
    """What became of the samples of a file.

    `known` are those that the server had from an earlier import. `rejections` are the first lines
    that were not stored, each with the reason.
    """

    inserted: int = 0
    known: int = 0
    rejected: int = 0
    rejections: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])

    def reject(self, line: int, reason: str) -> None:
        """Note a line that was not stored."""
        self.rejected += 1
        if len(self.rejections) < REJECTIONS_MAX:
            self.rejections.append((line, reason))


class Import:
    """An import of a file.

    Args:
        server: the server.
        reader: reads the lines.
        identity: what besides the file's content makes this import another one: the component that
            is given to all samples, for example.
        side: the file that says how far the import is, or None if the samples come from a pipe.
        on_pause: called with a message before the import waits for a server that is busy.
    """

    def __init__(
        self,
        server: Connection,
        reader: LineReader,
        identity: str,
        side: Path | None,
        on_pause: Callable[[str], None],
    ) -> None:
        self._server = server
        self._reader = reader
        self._identity = identity
        self._side = side
        self._on_pause = on_pause
        self._ids: dict[Component, str] = {}
        self.outcome = Outcome()

    def run(self, file: BinaryIO, on_batch: Callable[[int, Outcome], None]) -> None:
        """Send all samples that were not sent yet.

        Args:
            file: at its beginning.
            on_batch: called after each batch with how many bytes of the file are done.

        Raises:
            CommandError: the server does not answer or refuses, or the file has changed.
        """
        place = self._place()
        self._ids = self._registered()
        for batch in batches(file, place):
            begin = 0 if place is None else place.end
            samples = self._read(batch, begin)
            if batch.end > begin:
                if samples:
                    self._send(batch, samples)
                self._remember(batch)
            on_batch(batch.end, self.outcome)

    def _read(self, batch: Batch, begin: int) -> list[tuple[int, ReadSample]]:
        samples: list[tuple[int, ReadSample]] = []
        for line in batch.lines:
            is_new = line.end > begin
            try:
                sample = self._reader.read(line.text)
            except ValueError as error:
                if is_new:
                    self.outcome.reject(line.number, str(error))
                continue
            if is_new and sample is not None:
                samples.append((line.number, sample))
        return samples

    def _send(self, batch: Batch, samples: list[tuple[int, ReadSample]]) -> None:
        body = [
            sample.body | {"runtime_id": self._id_of(sample.component)} for _, sample in samples
        ]
        boot_id = hashlib.sha256(f"{self._identity} {batch.digest}".encode()).hexdigest()
        answer = self._insert(json.dumps(body).encode(), f"import.{boot_id}:1")
        rejected = answer["metrics_rejected"]
        if answer["status"] == "duplicate":
            self.outcome.known += len(samples) - rejected
        else:
            self.outcome.inserted += answer["metrics_inserted"]
        errors: list[dict[str, Any]] = answer["errors"]
        for error in errors:
            index: int = error["index"]
            self.outcome.reject(samples[index][0], error["reason"])
        self.outcome.rejected += rejected - len(errors)

    def _insert(self, body: bytes, key: str) -> dict[str, Any]:
        """Return the answer to a batch, which is sent again while the server is away or busy."""
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        for attempt in range(1, ATTEMPTS_MAX + 1):
            pause = min(2.0**attempt / 4, _PAUSE_SECONDS_MAX)
            try:
                answer = self._server.ask("POST", "/api/metrics", content=body, headers=headers)
            except CommandError as error:
                if error.exit_code != UNREACHABLE or attempt == ATTEMPTS_MAX:
                    raise
                self._wait(str(error), pause)
                continue
            if answer.is_success:
                accepted: dict[str, Any] = answer.body
                return accepted
            if answer.status not in _BUSY or attempt == ATTEMPTS_MAX:
                raise self._server.error("POST", "/api/metrics", answer)
            self._wait(f"{answer.status}: {answer.detail}", _pause_of(answer, pause))
        raise AssertionError

    def _wait(self, reason: str, seconds: float) -> None:
        self._on_pause(f"{reason}; again in {seconds:g} s")
        time.sleep(seconds)

    def _registered(self) -> dict[Component, str]:
        listed = self._server.get("/api/runtime")["components"]
        return {Component(one["component_type"], one["name"]): one["runtime_id"] for one in listed}

    def _id_of(self, component: Component) -> str:
        if component not in self._ids:
            answer = self._server.send(
                "POST", "/api/runtime/register", {"name": component.name, "kind": component.kind}
            )
            self._ids[component] = answer["runtime_id"]
        return self._ids[component]

    def _place(self) -> Place | None:
        """Return where an earlier import to this server has ended."""
        content = None if self._side is None else read_side_file(self._side)
        if content is None or content["to"] != self._to:
            return None
        return Place(content["bytes"], content["sha256"])

    def _remember(self, batch: Batch) -> None:
        if self._side is not None:
            content = {"bytes": batch.end, "sha256": batch.digest, "to": self._to}
            try:
                write_side_file(self._side, content)
            except CommandError as error:
                raise CommandError(f"{error}; import - < FILE needs no file beside it") from error

    @property
    def _to(self) -> str:
        return f"{self._server.url} {self._identity}"


def _pause_of(answer: Answer, pause: float) -> float:
    after = answer.headers.get("Retry-After", "")
    return min(float(after), _PAUSE_SECONDS_MAX) if after.isdecimal() else pause
