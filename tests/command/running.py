"""Running `noetl-metrics`, in the test's own process and as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx

from noetl_metrics_cli.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PROGRAM = (sys.executable, "-m", "noetl_metrics_cli")


class Result(NamedTuple):
    """How a command ended, and what it has printed."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[list[str]]:
        """The rows of a table, without its head."""
        return [line.split("\t") for line in self.out.splitlines()[1:]]

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Runner:
    """Runs commands against a server."""

    def __init__(self, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.url = url
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Result:
        self._capsys.readouterr()
        code = main(arguments)
        printed = self._capsys.readouterr()
        return Result(code, printed.out, printed.err)

    def insert(self, component: str, *samples: dict[str, Any], kind: str = "worker_pool") -> str:
        """Register a component and insert its samples; return its id."""
        return insert(self.url, component, *samples, kind=kind)


def insert(url: str, component: str, *samples: dict[str, Any], kind: str = "worker_pool") -> str:
    """Register a component and insert its samples; return its id."""
    registered = httpx.post(f"{url}/api/runtime/register", json={"name": component, "kind": kind})
    runtime_id: str = registered.raise_for_status().json()["runtime_id"]
    body = {"runtime_id": runtime_id, "metrics": list(samples)}
    answer = httpx.post(f"{url}/api/metrics", json=body).json()
    assert len(samples) == answer["metrics_inserted"], answer
    return runtime_id


def environment(**variables: str) -> dict[str, str]:
    """Return an environment without the settings of this machine."""
    own = {name: text for name, text in os.environ.items() if not name.startswith("NOETL_")}
    return own | variables


def run_process(
    *arguments: str, folder: Path | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as a process, without a terminal, to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=environment(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
