"""`noetl-metrics serve`, and what of the command needs which packages."""

from __future__ import annotations

import signal
import subprocess
import sys

import httpx
import pytest

from server_stub.command_line import flag_name, variable_name
from server_stub.settings import DEFINITIONS
from tests.command.running import PROGRAM, environment, run_process
from tests.server_process import READY

# Runs the command where packages of the extra `server` are not installed.
WITHOUT_THE_EXTRA = """
import sys

for name in ("psycopg", "psycopg_pool", "fastapi", "uvicorn", "msgspec", "starlette", "cramjam"):
    sys.modules[name] = None

from noetl_metrics_cli.__main__ import main

sys.exit(main())
"""


def test_it_serves_until_ctrl_c(database_url):
    """It takes the flags and variables of `python -m server_stub`, and SIGINT ends it with 0."""
    with subprocess.Popen(
        [*PROGRAM, "serve", "--port=0", "--retention-days=3"],
        env=environment(NOETL_METRICS_SERVER_DATABASE_URL=database_url),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        ready = next(line for line in process.stdout if line.startswith(READY))
        url = ready.removeprefix(READY).strip()
        assert {"status": "ok"} == httpx.get(f"{url}/readyz").json()
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(30)


@pytest.mark.once
def test_every_setting_of_the_server_is_an_option(run):
    """`--help` has the flag, the variable and the text of each definition."""
    shown = "".join(run("serve", "--help").out.split())
    for name, definition in DEFINITIONS.items():
        assert flag_name(name) in shown
        assert variable_name(name) in shown
        assert "".join(definition.help_text.split()) in shown


@pytest.mark.once
@pytest.mark.parametrize("name", [name for name in DEFINITIONS if name != "receiver_headers"])
def test_a_bad_value_of_any_setting_is_one_line(run, name):
    """The line says what is right; only headers may be none at all."""
    result = run("serve", flag_name(name), "")
    assert (2, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert f"noetl-metrics: {flag_name(name)}" in result.err
    assert "must" in result.err


@pytest.mark.once
def test_the_extra_cli_is_enough_to_ask_a_server(run):
    """A query needs neither PostgreSQL's driver nor FastAPI."""
    run.insert("asked")
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA, "components", "list"],
        env=environment(NOETL_SERVER_URL=run.url), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (0, "") == (result.returncode, result.stderr)
    assert "asked" in result.stdout


@pytest.mark.once
@pytest.mark.parametrize("arguments", [["serve"], ["migrate", "--database-url=postgresql:///x"]])
def test_what_needs_the_extra_server_says_so_in_one_line(arguments):
    """The line names the extra to install."""
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_EXTRA, *arguments],
        env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (1, "", 1) == (result.returncode, result.stdout, result.stderr.count("\n"))
    assert "pip install 'noetl-metrics-sdk[server]'" in result.stderr


@pytest.mark.once
def test_a_process_without_a_terminal_ends_with_the_commands_code():
    """Without a command, the help is on stderr and the code is 2."""
    without = run_process()
    assert (2, "") == (without.returncode, without.stdout)
    assert without.stderr.startswith("Usage: noetl-metrics [OPTIONS] COMMAND")
