"""What a command does without a usable output; exports have their own tests of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.command.running import PROGRAM, environment

pytestmark = pytest.mark.once


@pytest.mark.parametrize("arguments", [["--version"], ["doctor"], ["doctor", "--json"]])
def test_a_command_that_is_started_without_an_output_writes_nowhere(arguments):
    """`>&-` takes nothing but the output: the code is the same, and there is no traceback."""
    closed, discarded = (
        subprocess.run(
            ["sh", "-c", f'exec "$@" {output}', "sh", *PROGRAM, *arguments],
            env=environment(NOETL_SERVER_URL="http://127.0.0.1:1"),
            stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )
        for output in (">&-", ">/dev/null")
    )  # fmt: skip
    assert (discarded.returncode, discarded.stderr) == (closed.returncode, closed.stderr)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_takes_nothing_is_an_error_of_one_line(unbuffered):
    """So a full disk does."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [*PROGRAM, "--help"], env=environment(PYTHONUNBUFFERED=unbuffered),
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    message = "noetl-metrics: the output cannot be written: No space left on device\n"
    assert (1, message) == (ended.returncode, ended.stderr)
