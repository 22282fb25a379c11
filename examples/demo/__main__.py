"""The demo: a PostgreSQL, a server, a pool of workers, and whether every figure has arrived."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
from database import ask, rows_of
from report import show_exposition, show_table
from verdicts import Work, verdict, verdict_of_charts, verdict_of_promql
from victoria_metrics import running_victoria_metrics
from worker import COMPONENT

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

HERE = Path(__file__).parent
SHOW_EVERY_SECONDS = 0.5
FLUSH_SECONDS = 0.5
SHORT_LIVED_COMPONENT = "demo-short-lived"
SHORT_LIVED = 6
FILES_OF_SHORT_LIVED = 15
NEVER = 3_600.0
"""The interval of collections of a worker that ends long before the first one."""

INTERRUPTED = 128 + signal.SIGINT
"""The exit code that a shell reports for a program that Ctrl-C has ended."""


def main() -> int:
    """Run the demo, and return 0 if the table holds exactly what the pool did."""
    arguments = parse_arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        return run_demo(arguments)
    except KeyboardInterrupt:
        print("\n== Interrupted", file=sys.stderr)
        return INTERRUPTED


def run_demo(arguments: argparse.Namespace) -> int:
    """Start everything, show what happens, end everything, and return the exit code."""
    with ExitStack() as stack:
        folder = arguments.data_directory
        if folder is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="noetl-demo-"))
        receiver_url = None
        if arguments.victoria_metrics:
            receiver_url = stack.enter_context(running_victoria_metrics(folder))
            print(f"== A VictoriaMetrics at {receiver_url}", flush=True)
        kept = arguments.data_directory
        where = "in a temporary folder" if kept is None else f"in {kept}"
        print(f"== A PostgreSQL and a server, with its data {where}", flush=True)
        server_url, database_url = stack.enter_context(
            running_server(Path(folder) / "server.log", kept, arguments.port, receiver_url)
        )
        connection = stack.enter_context(psycopg.connect(database_url, autocommit=True))

        files = source_files(arguments.files)
        print(f"== {arguments.workers} workers, {3 * len(files)} jobs on {len(files)} files")
        began_at = time.time()
        rows_before = rows_of(connection, COMPONENT)
        reports = run_pool(server_url, files, arguments.workers, connection)
        short_files = files[: SHORT_LIVED * FILES_OF_SHORT_LIVED]
        print(
            f"== {SHORT_LIVED} workers that live for a moment, {3 * len(short_files)} jobs; they "
            "end before any collection"
        )
        short_reports = run_short_lived_pool(server_url, short_files)

        answer_questions(connection, server_url)
        work = [Work(COMPONENT, reports), Work(SHORT_LIVED_COMPONENT, short_reports)]
        checks = [
            verdict(connection, work[0], rows_before),
            verdict_of_charts(server_url, work, began_at),
        ]
        if receiver_url is not None:
            checks.append(verdict_of_promql(connection, work, receiver_url))
        exit_code = 0 if all(checks) else 1
        show_addresses(server_url, database_url, keep=arguments.keep)
        if arguments.keep:
            print("\n== The server stays up until Ctrl-C", flush=True)
            with suppress(KeyboardInterrupt):
                threading.Event().wait()
    return exit_code


def parse_arguments() -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server up until Ctrl-C")
    parser.add_argument(
        "--victoria-metrics",
        action="store_true",
        help="export everything to a VictoriaMetrics too, and ask it by PromQL",
    )
    parser.add_argument(
        "--data-directory", help="keep PostgreSQL's data there; thrown away unless given"
    )
    parser.add_argument("--workers", type=positive, default=3, help="how many processes work")
    parser.add_argument("--files", type=positive, default=450, help="how many files they work on")
    parser.add_argument("--port", type=int, default=0, help="the server's port; any free one")
    return parser.parse_args()


def positive(text: str) -> int:
    """Return the text as a number above zero."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number above zero")
    return number


@contextmanager
def running_server(
    log: Path, data_directory: str | None, port: int, receiver_url: str | None
) -> Generator[tuple[str, str]]:
    """Run `python -m server_stub` while the block runs; give its address and the database's.

    Without a data directory the server makes a folder that PostgreSQL's user can reach, and deletes
    it in the end.
    """
    # -P: the installed server, and not the sources in the folder in which the demo is started.
    command = [sys.executable, "-P", "-m", "server_stub", "--port", str(port)]
    if data_directory is not None:
        command += ["--data-directory", data_directory]
    if receiver_url is not None:
        command += ["--remote-write-url", f"{receiver_url}/api/v1/write"]
        command += ["--history-url", receiver_url]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a+") as log_file:
        server = subprocess.Popen(  # noqa: S603 - our own program
            command,
            stdout=subprocess.PIPE,
            stderr=log_file,
            text=True,
            # Ctrl-C must not reach the server: it ends after the workers that deliver to it.
            start_new_session=True,
        )
        try:
            yield addresses_of(server, log)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def addresses_of(server: subprocess.Popen[str], log: Path) -> tuple[str, str]:
    """Return the addresses of a server and of its database, read from the lines that it prints."""
    assert server.stdout is not None
    database_url = ""
    for line in server.stdout:
        print(f"   {line.rstrip()}", flush=True)
        if line.startswith("server_stub database: "):
            database_url = line.split(": ", 1)[1].strip()
        if line.startswith("server_stub ready at "):
            return line.rsplit(" ", 1)[1].strip(), database_url
    raise SystemExit(f"the server ended with exit code {server.wait()}:\n{log.read_text()}")


def source_files(count: int) -> list[str]:
    """Return some of the standard library's source files, the same ones for each call."""
    library = Path(sysconfig.get_paths()["stdlib"])
    files = [
        str(path) for path in sorted(library.rglob("*.py")) if "site-packages" not in path.parts
    ]
    step = max(1, len(files) // count)
    return files[::step][:count]


def run_pool(
    server_url: str, files: Sequence[str], workers: int, connection: psycopg.Connection
) -> list[dict[str, Any]]:
    """Run the workers, each on its share of the files, and show how rows arrive meanwhile.

    Returns:
        The report of each worker.
    """
    pool = [
        start_worker(server_url, COMPONENT, FLUSH_SECONDS, files[number::workers])
        for number in range(workers)
    ]
    with ended(pool):
        show_rows_arriving(pool, connection)
    return reports_of(pool)


def run_short_lived_pool(server_url: str, files: Sequence[str]) -> list[dict[str, Any]]:
    """Run workers, two at a time, that end before their client has collected; return reports."""
    reports: list[dict[str, Any]] = []
    shares = [files[number::SHORT_LIVED] for number in range(SHORT_LIVED)]
    for pair in (shares[number : number + 2] for number in range(0, SHORT_LIVED, 2)):
        pool = [start_worker(server_url, SHORT_LIVED_COMPONENT, NEVER, share) for share in pair]
        with ended(pool):
            for worker in pool:
                worker.wait()
        reports += reports_of(pool)
    return reports


def start_worker(
    server_url: str, component: str, flush_seconds: float, files: Sequence[str]
) -> subprocess.Popen[str]:
    """Start a worker on some files."""
    worker = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, str(HERE / "worker.py"), server_url, component, str(flush_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        # Ctrl-C must not reach the worker: it may still be importing.
        start_new_session=True,
    )
    assert worker.stdin is not None
    worker.stdin.write("\n".join(files))
    worker.stdin.close()
    return worker


@contextmanager
def ended(pool: Sequence[subprocess.Popen[str]]) -> Generator[None]:
    """End every worker of a pool at the end of the block, even if the demo is interrupted."""
    try:
        yield
    finally:
        for worker in pool:
            worker.terminate()
            worker.wait()


def reports_of(pool: Sequence[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """Return what each worker of a pool says that it did."""
    if any(worker.returncode for worker in pool):
        raise SystemExit(f"a worker failed: exit codes {[worker.returncode for worker in pool]}")
    return [json.loads(worker.stdout.read()) for worker in pool if worker.stdout is not None]


def show_rows_arriving(
    pool: Sequence[subprocess.Popen[str]], connection: psycopg.Connection
) -> None:
    """Print how many rows the pool has in the table, until every worker has ended."""
    started_at = time.monotonic()
    while any(worker.poll() is None for worker in pool):
        time.sleep(SHOW_EVERY_SECONDS)
        seconds = time.monotonic() - started_at
        print(
            f"   {seconds:5.1f} s: {rows_of(connection, COMPONENT):6d} rows in noetl.metric",
            flush=True,
        )


def answer_questions(connection: psycopg.Connection, server_url: str) -> None:
    """Print the answers to the questions that an operator would ask."""
    questions = {
        "jobs_by_status": "Jobs by type and outcome:",
        "slowest_job_types": "The slowest job types (quantiles over all workers):",
        "summary_quantiles": "Input sizes (each worker's own summary):",
        "worker_resources": "CPU and memory by worker:",
        "partitions": "Partitions of noetl.metric:",
    }
    for question, title in questions.items():
        show_table(title, ask(connection, question, component=COMPONENT))
    page = httpx.get(f"{server_url}/metrics", timeout=30).raise_for_status().text
    show_exposition(page, ["noetl_jobs_processed_total", "demo_compression_ratio"])


def show_addresses(server_url: str, database_url: str, *, keep: bool) -> None:
    """Print the commands that a user can try by hand."""
    print("\nTo try:" if keep else "\nTo try, while a server is up (./scripts/demo --keep):")
    for address in [
        f"curl '{server_url}/api/metrics?metric_name=noetl_jobs_processed_total&limit=3'",
        f"curl '{server_url}/metrics'",
        f"curl '{server_url}/api/runtime'",
        f"curl -X POST '{server_url}/api/metrics/cleanup'",
        f"{server_url}/ui/",
        f"{server_url}/docs",
        f"psql '{database_url}'",
    ]:
        print(f"  {address}")


if __name__ == "__main__":
    sys.exit(main())
