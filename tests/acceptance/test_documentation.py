"""Run every command and code block of the documentation, and compare what the documents show.

The tests work through a document from top to bottom, as a reader would, against one server.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from noetl_metrics_sdk import Config, MetricsClient
from noetl_metrics_sdk.client.environment import environment_variable
from tests.ports import free_port
from tests.server_process import start_server
from tests.uwsgi import stats_option, wait_until_workers
from tests.victoria_metrics import PROGRAM, running_victoria_metrics

ROOT = Path(__file__).parent.parent.parent
REPOSITORY = "https://github.com/noetl/noetl-metrics-sdk"
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTED_SERVERS = ("http://localhost:8082", "https://localhost:8082")
SERVER_COMMAND = "python -m server_stub "
DOCUMENTED_RECEIVER = "http://localhost:8428"
RECEIVER_COMMAND = "victoria-metrics "
RECEIVER_ADDRESS = "-httpListenAddr=127.0.0.1:8428"
# Programs that serve until the reader stops them, and the port that the documents give them.
SERVING = re.compile(r"^(uvicorn|gunicorn|uwsgi|celery .* worker) ", re.MULTILINE)
DOCUMENTED_PORT = re.compile(r"(?<=[ :])8000\b")
AFTER_CTRL_C = "# after Ctrl-C\n"
# Documents about a server to which workers have reported. The samples of the server itself come
# only some seconds after its start.
WITH_SAMPLES = {"backup.md"}
STOP_SECONDS = 60
# The first steps, the SDK's classes, and the command, whose help each version of argparse writes in
# its own way.
ON_EVERY_INTERPRETER = {"README.md", "client.md", "instruments.md", "command.md"}

# Set-up commands that ran before these tests, and where else each of them is run.
DONE_ELSEWHERE = {
    "./scripts/demo": "test_demo.py runs what it starts",
    "./scripts/test": "it runs this test",
    "python3 -m venv venv && . venv/bin/activate": "scripts/make-venv",
    f"git clone {REPOSITORY} && cd noetl-metrics-sdk": "where this test is",
    'pip install ".[server]"': "scripts/make-venv",
    '. venv/bin/activate && pip install --upgrade ".[server]"': "scripts/make-venv",
    "python -m server_stub --port 8082": "the fixture `server`",
    "noetl-metrics serve --port 8082": "tests/command/commands/test_serve.py",
    "python -P -m server_stub --port 8082": "the fixture `server`",
}


class Block(NamedTuple):
    language: str
    text: str


def blocks_of(document):
    found = re.findall(
        r"^```(\w*)\n(.*?)^```", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    return [Block(language, text) for language, text in found]


class Serving(NamedTuple):
    process: subprocess.Popen[bytes]
    log: Path
    stats_port: int | None
    """Where uWSGI tells what its workers do; None if another program serves."""


class Reader:
    """Does what a document says, as its reader would."""

    def __init__(self, server, folder, stack):
        self.server = server
        self.stack = stack
        self.folder = folder
        self.receiver = None
        self.output = None
        self.exported = {}
        self.port = str(free_port())
        self.serving = None

    def follow(self, block):
        text = block.text
        for url in DOCUMENTED_SERVERS:
            text = text.replace(url, self.server.url)
        if self.receiver is not None:
            text = text.replace(DOCUMENTED_RECEIVER, self.receiver.url)
        text = DOCUMENTED_PORT.sub(self.port, text)
        getattr(self, f"follow_{block.language}")(text)

    def follow_python(self, text):
        named = re.match(r"# (\w+\.py)\n", text)
        path = self.folder / (named[1] if named else "block.py")
        path.write_text(text, encoding="utf-8")
        if "def test_" in text:
            self.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", path.name])
        elif not named:
            self.run([sys.executable, path.name])

    def follow_sh(self, text):
        # A reader goes on in the same shell, where an exported variable stays.
        self.exported |= dict(re.findall(r"^export (\w+)=(\S+)$", text, re.MULTILINE))
        commands = [line.split("  #")[0].strip() for line in text.splitlines()]
        if all(command in DONE_ELSEWHERE for command in commands):
            self.output = None
        elif text.startswith(RECEIVER_COMMAND):
            # Start it with the documented flags, but with another folder and port.
            flags = shlex.split(text)[1:]
            assert flags[:2] == ["-storageDataPath=victoria-metrics", RECEIVER_ADDRESS]
            running = running_victoria_metrics(self.folder, extra_flags=flags[2:])
            self.receiver = self.stack.enter_context(running)
        elif text.startswith(SERVER_COMMAND):
            self.start(shlex.split(text.removeprefix(SERVER_COMMAND).replace("\\\n", " ")))
        elif serving := SERVING.search(text):
            self.serve(text, serving[1].split()[0])
        elif text.startswith(AFTER_CTRL_C):
            self.stop_serving()
            self.run(["sh", "-eu", "-c", text])
        else:
            self.run(["sh", "-eu", "-c", text])

    def start(self, flags):
        """Start another server, for the blocks that follow; it takes any free port."""
        at = flags.index("--port")
        del flags[at : at + 2]
        self.server = start_server(self.server.database_url, *flags, folder=self.folder)
        self.stack.enter_context(self.server.process.stdout)
        self.stack.callback(self.server.stop)

    def serve(self, text, program):
        """Have a program serve, at any free port, until the reader is told to stop it."""
        if shutil.which(program, path=self.environment()["PATH"]) is None:
            pytest.skip(f"{program}, which this document starts, is not installed")
        # The program takes the place of the shell: Ctrl-C is for it.
        text = SERVING.sub(r"exec \1 ", text)
        stats_port = free_port() if program == "uwsgi" else None
        if stats_port is not None:
            text = f"{text.rstrip()} {stats_option(stats_port)}"
        log = self.folder / f"{program}.log"
        with log.open("w") as log_file:
            process = subprocess.Popen(
                ["sh", "-eu", "-c", text], cwd=self.folder, env=self.environment(),
                stdout=log_file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        self.serving = Serving(process, log, stats_port)
        while self.port in text:
            assert process.poll() is None, log.read_text()
            try:
                socket.create_connection(("127.0.0.1", int(self.port)), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                break

    def stop_serving(self):
        """Stop what serves, as Ctrl-C does."""
        assert self.serving is not None
        process, log, stats_port = self.serving
        if stats_port is not None:
            wait_until_workers(stats_port)
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)
        assert "Traceback" not in log.read_text(), log.read_text()

    def follow_sql(self, text):
        with psycopg.connect(self.server.database_url) as connection:
            for statement in filter(str.strip, text.split(";")):
                connection.execute(statement.encode())

    def follow_yaml(self, text):
        """Have promtool check a configuration, or rules, of Prometheus."""
        kind = "rules" if text.startswith("groups:") else "config"
        assert kind == "rules" or "scrape_configs:" in text
        (self.folder / "prometheus.yml").write_text(text, encoding="utf-8")
        if shutil.which("promtool") is not None:
            self.run(["promtool", "check", kind, "prometheus.yml"])

    def follow_console(self, text):
        """Check that the files are there that commands of programs name which are not."""
        for path in re.findall(r"(?<![\w/])examples/[\w./-]+", text):
            assert (ROOT / path).exists(), path

    def follow_json(self, text):
        """Check that a JSON answer in a document is JSON."""
        json.loads(text)

    def follow_text(self, text):
        """Compare the output of the last command with the output that the document shows."""
        if self.output is None:
            return
        printed = [comparable(line) for line in self.output.splitlines()]
        for line in text.splitlines():
            shown = comparable(line).removesuffix("…").rstrip()
            assert any(one.startswith(shown) for one in printed), (line, self.output)

    def run(self, command):
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True,
            timeout=100, check=False,
        )  # fmt: skip
        assert 0 == result.returncode, (command, result.stdout, result.stderr)
        self.output = result.stdout

    def environment(self):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        database = conninfo_to_dict(self.server.database_url)
        variables = {"PGHOST": "host", "PGPORT": "port", "PGUSER": "user", "PGDATABASE": "dbname"}
        named = {name: str(database[word]) for name, word in variables.items() if word in database}
        return {**os.environ, **named, **self.exported, "PATH": path}


def report_once(url):
    with MetricsClient(url, "reported-once") as client:
        assert client.flush(timeout=30).sent > 0


def comparable(line):
    """Return a line without what differs between runs: long numbers, and the name of this host
    with the random part of a `worker_id`."""
    line = re.sub(r"\bvm-[0-9a-f]{8}-", "vm-", line.replace(socket.gethostname(), "vm"))
    return re.sub(r"\d{2,}", "N", line)


def marks_of(document):
    """Return `once` for a document whose commands and code do the same on every interpreter."""
    return [] if document.name in ON_EVERY_INTERPRETER else [pytest.mark.once]


@pytest.mark.parametrize(
    "document",
    [pytest.param(path, id=path.name, marks=marks_of(path)) for path in DOCUMENTS],
)
def test_a_document_does_what_it_says(document, server, tmp_path):
    """The blocks of a document run from top to bottom, and print what the document shows."""
    if shutil.which("curl") is None:
        pytest.skip("curl, which the documents use, is not installed")
    blocks = blocks_of(document)
    if PROGRAM is None and any(block.text.startswith(RECEIVER_COMMAND) for block in blocks):
        pytest.skip("victoria-metrics, which this document starts, is not installed")
    if document.name in WITH_SAMPLES:
        report_once(server.url)
    with ExitStack() as stack:
        reader = Reader(server, tmp_path, stack)
        for block in blocks:
            reader.follow(block)


def test_every_setting_is_documented():
    """docs/client.md has each setting with its default, its variable and its meaning."""
    document = (ROOT / "docs/client.md").read_text(encoding="utf-8")
    section = document.partition("## Settings")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*)\|$", section, re.MULTILINE))
    for name, field in Config.model_fields.items():
        _, variable, meaning = (cell.strip() for cell in rows[name].rsplit("|", 2))
        assert variable == f"`{environment_variable(name)}`"
        assert meaning == field.description
    defaults = {
        name: str(field.default)
        for name, field in Config.model_fields.items()
        if isinstance(field.default, (int, float))
    }
    documented = {name: rows[name].split("|")[0].strip().strip("`") for name in defaults}
    assert documented == defaults


def test_every_link_leads_somewhere():
    """The target of each link to a file of this repository exists."""
    others = ("ARCHITECTURE.md", "CONTRIBUTING.md", "examples/grafana/README.md")
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    documents = [*DOCUMENTS, *decisions, *(ROOT / name for name in others)]
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), (document.name, target)


def test_every_link_of_the_readme_works_on_an_index_too():
    """An index shows README.md too: its links are whole, and lead to files that are here."""
    kinds = {"blob": Path.is_file, "tree": Path.is_dir}
    for target in re.findall(r"\]\(([^)]+)\)", DOCUMENTS[0].read_text(encoding="utf-8")):
        assert target.startswith("https://")
        if target.startswith(f"{REPOSITORY}/"):
            kind, branch, path = target.removeprefix(f"{REPOSITORY}/").split("/", 2)
            assert "main" == branch
            assert kinds[kind](ROOT / path.partition("#")[0]), target


def test_the_package_names_the_same_repository():
    """The links of the package's page on an index lead to the repository that README.md names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert REPOSITORY == project["urls"]["Source"]
    for url in project["urls"].values():
        assert url.startswith(REPOSITORY)
