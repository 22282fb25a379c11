"""The programs that tests start heed the signals that tests send, however pytest was started."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = """
import subprocess, sys
from tests.conftest import pytest_configure
pytest_configure()
child = "import os, signal; os.kill(os.getpid(), signal." + sys.argv[1] + ")"
print(subprocess.run([sys.executable, "-c", child], stderr=subprocess.DEVNULL).returncode)
"""


@pytest.mark.once
@pytest.mark.parametrize(
    ("start", "number", "ended_by"),
    [
        (["nohup"], "SIGHUP", -1),
        (["sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh"], "SIGINT", -2),
        (["sh", "-c", "trap '' INT QUIT; exec \"$@\"", "sh"], "SIGQUIT", -3),
        (["sh", "-c", "trap '' TERM; exec \"$@\"", "sh"], "SIGTERM", -15),
    ],
)
def test_a_signal_that_pytest_ignores_ends_a_child(start, number, ended_by):
    """Under nohup, in the background of a script and under a supervisor, a child is as usual."""
    assert shutil.which(start[0]) is not None
    result = subprocess.run(
        [*start, sys.executable, "-c", PROGRAM, number],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert f"{ended_by}\n" == result.stdout
