"""`noetl-metrics completion`, and what the shells get to choose from."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from noetl_metrics_cli.__main__ import main
from tests.server.application import sample

pytestmark = pytest.mark.once


@pytest.fixture
def completed(run, capsys, monkeypatch):
    """Return what bash is offered for the last word of a command line."""
    # A shell waits for two seconds, in which a busy machine may not answer.
    monkeypatch.setattr("noetl_metrics_cli.api.completion.TIMEOUT_SECONDS", 30.0)

    def offered(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("_NOETL_METRICS_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        capsys.readouterr()
        assert 0 == main([])
        printed = capsys.readouterr().out.splitlines()
        return [one.partition(",")[2] for one in printed if one]

    return offered


def test_commands_and_options_are_completed(completed):
    """So are the values that an option may have, and the flags of the server."""
    assert {"components", "completion"} == set(completed("noetl-metrics comp"))
    assert ["--retention-days"] == completed("noetl-metrics serve --ret")
    assert ["counter"] == completed("noetl-metrics query --type c")


def test_names_of_the_server_are_completed(run, completed):
    """Metrics and components that begin with what was typed."""
    run.insert("completed-pool", sample(metric_name="completed_rows_total"))
    assert ["completed_rows_total"] == completed("noetl-metrics chart completed_r")
    assert ["completed-pool"] == completed("noetl-metrics query -c completed-")
    assert ["completed-pool"] == completed("noetl-metrics components delete completed-")


def test_tokens_of_the_file_are_completed(run, completed, tmp_path):
    """The file is the one of the command line."""
    file = f"--token-file={tmp_path / 'tokens'}"
    run("token", "new", "reader", "--scope=read", file)
    assert ["reader"] == completed(f"noetl-metrics token revoke {file} re")


def test_without_a_server_there_is_nothing_to_choose(completed, monkeypatch):
    """The shell shows neither an error nor a name."""
    monkeypatch.setenv("NOETL_SERVER_URL", "http://localhost:1")
    assert [] == completed("noetl-metrics chart completed_r")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_the_shell(run, shell):
    """It asks `noetl-metrics` itself; a shell that is installed reads it without an error."""
    script = run("completion", shell).out
    assert "_NOETL_METRICS_COMPLETE" in script
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_another_shell_is_one_line(run):
    """The line names the shells that there are."""
    result = run("completion", "cmd")
    assert (2, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert "'cmd' is not one of 'bash', 'zsh', 'fish'" in result.err
