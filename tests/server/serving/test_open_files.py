"""The server asks the system for as many open files as its connections need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from server_stub.serving.open_files import OTHER_FILES

PROGRAM = """
import logging, resource, sys
from server_stub.serving.open_files import room_for_connections

logging.basicConfig(stream=sys.stdout, format="%(message)s")
soft, hard, connections_max = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
room = room_for_connections(connections_max)
print(room, *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def run(soft: int, hard: int, connections_max: int) -> list[str]:
    arguments = map(str, (soft, hard, connections_max))
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    ("soft", "hard", "connections_max", "said"),
    [
        (512, 4096, 1000, f"1000 {1000 + OTHER_FILES} 4096"),
        (2048, 4096, 1000, "1000 2048 4096"),
    ],
    ids=["asked for", "there already"],
)
def test_the_limit_is_raised_to_what_connections_need(
    soft: int, hard: int, connections_max: int, said: str
) -> None:
    """It is raised no further, never lowered, and the log is silent."""
    assert [said] == run(soft, hard, connections_max)


def test_fewer_open_files_than_needed_are_fewer_connections() -> None:
    """The log says how many there may be, and what the system would have to allow."""
    warning, said = run(512, 1024, 10_000)
    assert f"{1024 - OTHER_FILES} 1024 1024" == said
    assert f"room for {1024 - OTHER_FILES} connections and not for 10000" in warning
    assert f"allow {10_000 + OTHER_FILES} (LimitNOFILE=" in warning
