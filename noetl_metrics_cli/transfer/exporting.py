"""Writes samples to a file as lines of JSON, each once, also if the export breaks off.

A side file has the place up to which the file is whole, and the cursor of the next page. What was
written behind that place, by an export that was killed, is cut off and written again.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, BinaryIO

from noetl_metrics_cli.api.samples import pages
from noetl_metrics_cli.errors import USAGE, CommandError
from noetl_metrics_cli.transfer.side_file import read_side_file, write_side_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from noetl_metrics_cli.api.connection import Connection

SUFFIX = ".progress"

_TIMES = ("start_time", "end_time")


class Export:
    """An export into a file.

    Args:
        path: the file.
        filters: which samples are meant. An export that is resumed keeps its own times.

    Raises:
        CommandError: the file is there and was not begun by an export, or by one of other filters.
    """

    def __init__(self, path: Path, filters: Mapping[str, str]) -> None:
        self._path = path
        self._side = path.with_name(path.name + SUFFIX)
        begun = read_side_file(self._side)
        self.is_resumed = begun is not None
        if begun is None and path.exists():
            raise CommandError(f"{path} is there already: name another file, or remove it", USAGE)
        if begun is not None and _without_times(begun["filters"]) != _without_times(filters):
            raise CommandError(
                f"{path} was begun with other filters, {json.dumps(begun['filters'])}: give the "
                f"same to go on, or remove it and {self._side}",
                USAGE,
            )
        self._state: dict[str, Any] = begun or {
            "bytes": 0,
            "samples": 0,
            "cursor": None,
            "filters": dict(filters),
        }

    @property
    def samples(self) -> int:
        """How many samples the file has."""
        count: int = self._state["samples"]
        return count

    @property
    def filters(self) -> Mapping[str, str]:
        """Which samples are meant, with the times of the first attempt."""
        filters: Mapping[str, str] = self._state["filters"]
        return filters

    def run(self, server: Connection, on_page: Callable[[list[dict[str, Any]], int], None]) -> None:
        """Write all samples that are missing.

        Args:
            server: the server.
            on_page: called after each page with its samples and the size of the file in bytes.

        Raises:
            CommandError: the server does not answer, or the file cannot be written. The next
                export into this file goes on.
        """
        try:
            with self._path.open("r+b" if self._path.exists() else "w+b") as file:
                file.truncate(self._state["bytes"])
                file.seek(0, os.SEEK_END)
                self._write(server, file, on_page)
        except OSError as error:
            raise CommandError(f"{self._path} cannot be written: {error.strerror}") from error
        self._side.unlink(missing_ok=True)

    def _write(
        self,
        server: Connection,
        file: BinaryIO,
        on_page: Callable[[list[dict[str, Any]], int], None],
    ) -> None:
        write_side_file(self._side, self._state)
        for page in pages(server, self.filters, "asc", cursor=self._state["cursor"]):
            file.write(b"".join(json_line(metric) for metric in page["metrics"]))
            file.flush()
            os.fsync(file.fileno())
            self._state |= {
                "bytes": file.tell(),
                "samples": self.samples + len(page["metrics"]),
                "cursor": page["next_cursor"],
            }
            if page["next_cursor"] is not None:
                write_side_file(self._side, self._state)
            on_page(page["metrics"], file.tell())


def json_line(metric: Mapping[str, Any]) -> bytes:
    """Return a sample as a line of an exported file."""
    return json.dumps(metric, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _without_times(filters: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in filters.items() if name not in _TIMES}
