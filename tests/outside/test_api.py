"""schemathesis against the server: requests made from its OpenAPI description, all checks on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.outside.conftest import LONG

if TYPE_CHECKING:
    from tests.server_process import ServerProcess

# Other programs send requests to the server, which is the same on every interpreter.
pytestmark = pytest.mark.once

MAX_EXAMPLES = 500 if LONG else 5
ANSWER_SECONDS_MAX = 60
"""For a machine that does much else at once; a request to the database has half of this."""
FOLDER = Path(__file__).parent


@pytest.mark.timeout(1_200 if LONG else 300)
def test_every_answer_is_as_described(server: ServerProcess, tmp_path: Path) -> None:
    """The server takes what fits its description and refuses what does not, and the description has
    every answer."""
    found = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--no-color",
            f"--config-file={FOLDER / 'schemathesis.toml'}", "run",
            f"{server.url}/openapi.json", "--checks=all", f"--max-examples={MAX_EXAMPLES}",
            f"--request-timeout={ANSWER_SECONDS_MAX}",
            f"--max-response-time={ANSWER_SECONDS_MAX}",
            "--continue-on-failure",
            # The long form prints the seed that it has chosen.
            *([] if LONG else ["--seed=1"]),
        ],
        env=os.environ | {"SCHEMATHESIS_HOOKS": str(FOLDER / "schemathesis_hooks.py")},
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    sys.stderr.write(found.stdout[found.stdout.find("API Operations:") :])
    assert found.returncode == 0, found.stdout + found.stderr
