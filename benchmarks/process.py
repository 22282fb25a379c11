"""The private memory of a process with a started client, and the CPU of one that is idle.

Private is what the process alone has in memory, its USS: what would be free again without it. No
two processes of one contender run at the same time, because what they share would count for
neither. For the same reason this process imports no contender before all are measured. Of it,
written is what is no content of a file: what a second process of the same program would take, too.
A plain environment has none of click, rich, pygments and trio, which httpx and httpcore load if
they are there: the same processes are told that they are not.

Usage: ./scripts/bench process [--rounds N] [--seconds N] [--interval N] [--json FILE]

The CPU is measured for `--seconds`, with system metrics every `--interval` seconds. Linux only.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from idle_process import SOME_ENVIRONMENTS_HAVE
from started_server import started_server
from tables import OURS, Report, arguments, introduce, publish

if TYPE_CHECKING:
    from collections.abc import Generator

FOLDER = Path(__file__).parent
NAMES = {
    "our_client": OURS,
    "opentelemetry": "opentelemetry",
    "dependencies": "the dependencies alone",
    "interpreter": "an interpreter alone",
}
"""The contenders of the memory: the program's names for them, and the table's."""
AS_INSTALLED = "in this environment"
PLAIN = "in a plain environment"
WRITTEN = ": written"
SERVER = (sys.executable, str(FOLDER / "answering_server.py"))


class IdleProcess:
    """A contender that is idle.

    Args:
        process: its process.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        found = json.loads(self._line())
        self.modules: int = found["modules"]
        self.loaded: list[str] = found["loaded"]

    def private_mebibytes(self) -> tuple[float, float]:
        """Return how much memory the process has that no other has, and how much it has written."""
        text = Path(f"/proc/{self._process.pid}/smaps_rollup").read_text(encoding="ascii")
        kilobytes = {
            words[0]: int(words[1])
            for words in map(str.split, text.splitlines())
            if words[0].startswith("Private_")
        }
        written = kilobytes["Private_Dirty:"]
        return (kilobytes["Private_Clean:"] + written) / 1024, written / 1024

    def cpu_seconds(self) -> float:
        """Return the processor time that the process has taken since it began."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("a contender has ended: its error is above")
        return line


@contextmanager
def idle_process(name: str, url: str, interval: int, *missing: str) -> Generator[IdleProcess]:
    """Run a contender while the block runs, without the packages that it shall not find."""
    command = [sys.executable, str(FOLDER / "idle_process.py"), name, url, str(interval), *missing]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield IdleProcess(process)


def main() -> None:
    """Measure and publish the tables."""
    chosen = arguments(__doc__, rounds=5, seconds=60, interval=10)
    memory = Report("Private memory of a process", "MiB")
    modules = Report("What is loaded in it", "modules")
    cpu = Report(f"CPU of an idle process, every {chosen.interval} s", "% of a core")
    with started_server(SERVER) as port:
        url = f"http://127.0.0.1:{port}"
        loaded = [
            f"{row}, the client loads of them: "
            f"{measure_memory(row, missing, url, chosen.rounds, memory, modules) or 'none'}"
            for row, missing in {AS_INSTALLED: (), PLAIN: SOME_ENVIRONMENTS_HAVE}.items()
        ]
        cpu.add("all system metrics", idle_percent(url, chosen.seconds, chosen.interval))
    introduce()
    found = ", ".join(name for name in SOME_ENVIRONMENTS_HAVE if is_installed(name))
    print(f"installed of {', '.join(SOME_ENVIRONMENTS_HAVE)}: {found or 'none'}")
    print("\n".join(loaded))
    publish([memory, modules, cpu], chosen.json)


def measure_memory(
    row: str, missing: tuple[str, ...], url: str, rounds: int, memory: Report, modules: Report
) -> str:
    """Add an environment's rows to both tables.

    Returns:
        What our client loads of the packages that only some environments have.
    """
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    counts: dict[str, float] = {}
    loaded: dict[str, list[str]] = {}
    for _ in range(rounds):
        for name, shown in NAMES.items():
            if name == "opentelemetry" and not is_installed("opentelemetry.exporter.otlp"):
                continue
            with idle_process(name, url, 3600, *missing) as process:
                found[shown].append(process.private_mebibytes())
                counts[shown], loaded[shown] = process.modules, process.loaded
    for place, kind in enumerate(("", WRITTEN)):
        memory.add(
            row + kind,
            {
                shown: statistics.median(both[place] for both in each)
                for shown, each in found.items()
            },
        )
    modules.add(row, counts)
    return ", ".join(loaded[OURS])


def idle_percent(url: str, seconds: int, interval: int) -> dict[str, float]:
    """Return the share of a core that our client takes, and psutil's own for the same figures."""
    with (
        idle_process("our_client", url, interval) as ours,
        idle_process("psutil_alone", url, interval) as psutil,
    ):
        time.sleep(min(interval, 2))  # what follows a start is no idling
        processes = {OURS: ours, "psutil alone": psutil}
        before = {name: process.cpu_seconds() for name, process in processes.items()}
        time.sleep(seconds)
        return {
            name: 100 * (process.cpu_seconds() - before[name]) / seconds
            for name, process in processes.items()
        }


def is_installed(module: str) -> bool:
    """Return whether a module can be imported, without what `contenders.py` imports."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    main()
