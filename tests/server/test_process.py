"""`python -m server_stub` as a process: starting, ending, leaving nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.postgresql import open_folder
from tests.server_process import READY, start_server

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.server_process import ServerProcess

# Python itself handles SIGINT, and only that one, before the server does.
ENDING_SIGNALS = [
    signal.SIGTERM, signal.SIGINT, pytest.param(signal.SIGHUP, marks=pytest.mark.once),
]  # fmt: skip


def run(*flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a server that is expected to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", "server_stub", *flags],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **variables},
    )


def processes_of(folder: Path) -> list[str]:
    """Return the names of processes that work in this folder or below it, as PostgreSQL does."""
    return [
        process.info["name"]
        for process in psutil.process_iter(["name", "cwd"])
        if Path(process.info["cwd"] or "/").is_relative_to(folder)
    ]


@pytest.fixture
def short_path() -> Generator[Path]:
    """A temporary folder with a path short enough for a socket in it."""
    with open_folder() as folder:
        yield folder


@contextmanager
def running(*flags: str, temporary: Path | None = None) -> Generator[subprocess.Popen[str]]:
    """Run a server in a session of its own; it is killed if the test fails."""
    environment = {name: text for name, text in os.environ.items() if name != "XDG_RUNTIME_DIR"}
    if temporary is not None:
        environment["TMPDIR"] = str(temporary)
    with subprocess.Popen(
        [sys.executable, "-m", "server_stub", "--port=0", *flags],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_ready(process: subprocess.Popen[str]) -> str:
    """Return the server's URL."""
    assert process.stdout is not None
    lines = [process.stdout.readline(), process.stdout.readline()]
    assert lines[0].startswith("server_stub database: ")
    assert lines[1].startswith(READY)
    return lines[1].removeprefix(READY).strip()


def test_a_server_takes_requests_when_it_says_so(server: ServerProcess) -> None:
    """The ready line comes once requests are answered; the database line hides a password."""
    assert {"status": "ok"} == httpx.get(f"{server.url}/readyz").json()
    registered = httpx.post(f"{server.url}/api/worker/pool/register", json={"name": "cpu-01"})
    assert "ok" == registered.json()["status"]


def test_no_password_of_the_database_is_printed(database_url: str) -> None:
    """The database line has neither the password of the role nor that of a certificate's key, and
    is otherwise one that psql takes."""
    secrets = "password=hidden-one&sslpassword=hidden-two"
    url = f"{database_url}&sslkey=/nowhere/key&{secrets}"
    with running(f"--database-url={url}") as process:
        assert process.stdout is not None
        shown = process.stdout.readline().removeprefix("server_stub database: ")
        assert process.stdout.readline().startswith(READY)
        process.terminate()
        assert 0 == process.wait(30)
    assert "hidden" not in shown
    assert "sslkey=/nowhere/key" in shown
    assert conninfo_to_dict(database_url).items() <= conninfo_to_dict(shown).items()


@pytest.mark.parametrize("number", ENDING_SIGNALS)
@pytest.mark.parametrize("keep", [False, True])
def test_the_embedded_database_ends_with_its_server(
    short_path: Path, number: signal.Signals, keep: bool
) -> None:
    """No process and no temporary folder is left; a given data directory is kept."""
    temporary, data = short_path / "tmp", short_path / "data"
    temporary.mkdir()
    flags = [f"--data-directory={data}"] if keep else []
    with running(*flags, temporary=temporary) as process:
        wait_until_ready(process)
        assert processes_of(short_path) != []
        os.killpg(process.pid, number)  # as a terminal does
        assert 0 == process.wait(30)
        assert process.stdout is not None
        assert "" == process.stdout.read()
    assert [] == processes_of(short_path)
    assert [] == list(temporary.iterdir())
    assert data.exists() == keep


def test_a_data_directory_keeps_its_metrics(short_path: Path) -> None:
    """Stored metrics survive a restart, also after the server was killed."""
    flag = f"--data-directory={short_path}/data"
    ids = []
    for number in (signal.SIGKILL, signal.SIGTERM):
        with running(flag, temporary=short_path) as process:
            url = wait_until_ready(process)
            body = {"name": "cpu-01"}
            ids.append(httpx.post(f"{url}/api/runtime/register", json=body).json()["runtime_id"])
            if number == signal.SIGKILL:
                second = run("--port=0", flag)
                assert 1 == second.returncode
                assert "is in use by another server" in second.stderr
            process.send_signal(number)
            process.wait(30)
    assert ids[0] == ids[1]
    assert [] == processes_of(short_path)


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_a_signal_during_the_start_leaves_nothing(short_path: Path, number: signal.Signals) -> None:
    """A server that gets a signal while PostgreSQL starts ends in order."""
    with running(temporary=short_path) as process:
        while not list(short_path.iterdir()):  # the folder appears just before PostgreSQL starts
            assert process.poll() is None
        process.send_signal(number)
        assert 0 == process.wait(30)
    assert [] == list(short_path.iterdir())
    assert [] == processes_of(short_path)


@pytest.mark.parametrize("number", ENDING_SIGNALS)
def test_a_signal_just_before_the_server_serves_ends_it(
    short_path: Path, number: signal.Signals
) -> None:
    """A signal between the database's start and the first request is not lost."""
    with running(temporary=short_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("server_stub database: ")
        process.send_signal(number)
        assert 0 == process.wait(30)
    assert [] == list(short_path.iterdir())
    assert [] == processes_of(short_path)


def test_a_folder_that_is_no_cluster_is_left_alone(short_path: Path) -> None:
    """A data directory with another program's files is refused, and nothing is changed."""
    foreign, temporary = short_path / "data" / "postgresql", short_path / "tmp"
    foreign.mkdir(parents=True)
    temporary.mkdir()
    (foreign / "notes").touch()
    before = foreign.stat()
    with running(f"--data-directory={short_path}/data", temporary=temporary) as process:
        assert 1 == process.wait(30)
    assert (before.st_uid, before.st_mode) == (foreign.stat().st_uid, foreign.stat().st_mode)
    assert [foreign] == list((short_path / "data").iterdir())
    assert [] == list(temporary.iterdir())


def test_a_start_that_fails_leaves_nothing(short_path: Path) -> None:
    """The message names the cluster that cannot start, and no temporary folder stays."""
    cluster, temporary = short_path / "data" / "postgresql", short_path / "tmp"
    cluster.mkdir(parents=True)
    temporary.mkdir()
    (cluster / "PG_VERSION").write_text("1\n")
    with running(f"--data-directory={short_path}/data", temporary=temporary) as process:
        assert 1 == process.wait(60)
    assert [] == list(temporary.iterdir())
    assert [] == processes_of(short_path)


def test_an_unreachable_database_is_said() -> None:
    """The message names the problem, without the password, and the exit code is not zero."""
    ended = run("--port=0", "--database-url=postgresql://me:hidden@127.0.0.1:1/none")
    assert 1 == ended.returncode
    assert ended.stderr.startswith("server_stub: the database cannot be used: ")
    assert "hidden" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_in_use_is_said(server: ServerProcess) -> None:
    """The message names the port and the flag that changes it."""
    port = server.url.rsplit(":", 1)[1]
    ended = run(f"--port={port}", f"--database-url={server.database_url}")
    assert 1 == ended.returncode
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr


def test_two_servers_share_a_database(database_url: str) -> None:
    """Two servers that start at once on an empty database both serve it."""
    first = start_server(database_url)
    second = start_server(database_url)
    try:
        body = {"name": "cpu-01"}
        ids = {
            httpx.post(f"{each.url}/api/runtime/register", json=body).json()["runtime_id"]
            for each in (first, second)
        }
        assert 1 == len(ids)
    finally:
        for each in (first, second):
            assert 0 == each.stop()
            assert each.process.stdout is not None
            each.process.stdout.close()


@pytest.mark.once
@pytest.mark.parametrize(
    ("flag", "variable", "value", "right"),
    [
        ("--port", "NOETL_METRICS_SERVER_PORT", "x", "a whole number from 0 to 65535"),
        ("--retention-days", "NOETL_METRICS_SERVER_RETENTION_DAYS", "0", "from 1 to 3650"),
    ],
)
def test_a_bad_setting_ends_the_server(flag: str, variable: str, value: str, right: str) -> None:
    """The message names the flag or variable, its value and what is right; the code is 2."""
    by_flag, by_variable = run(f"{flag}={value}"), run(**{variable: value})
    for ended, source in ((by_flag, flag), (by_variable, variable)):
        assert 2 == ended.returncode
        assert f"{source} is {value!r}:" in ended.stderr
        assert right in ended.stderr


HIDING = """
import importlib.abc, runpy, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
sys.argv = ["server_stub", "--port=0"]
runpy.run_module("server_stub", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("package", ["uvicorn", "psycopg", "cramjam"])
def test_what_the_server_lacks_is_said_in_one_line(package: str) -> None:
    """Where the SDK alone is installed, the message says what is missing and how it comes."""
    result = subprocess.run(
        [sys.executable, "-c", HIDING.format(package)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (1, "") == (result.returncode, result.stdout)
    (line,) = result.stderr.splitlines()
    assert line.startswith("server_stub: ")
    assert f"No module named {package!r}" in line
    assert "pip install 'noetl-metrics-sdk[server]'" in line


def test_a_mistyped_variable_is_warned_of() -> None:
    """The log names the variable; the server goes on to its next mistake, here its database."""
    result = run(
        "--port=0",
        "--database-url=postgresql://127.0.0.1:9/x",
        NOETL_METRICS_SERVER_RETENTON_DAYS="30",
        NOETL_METRICS_SERVER_RETENTION_DAYS="30",
        NO_PROXY="::1/128,localhost:abc",
    )
    assert 1 == result.returncode
    warnings = [line for line in result.stderr.splitlines() if " is no setting " in line]
    (warning,) = warnings
    assert "NOETL_METRICS_SERVER_RETENTON_DAYS is no setting and has no effect" in warning
