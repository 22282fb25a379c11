"""Real web servers run an application with a client; SIGTERM costs none of its counts.

Each answer names the process that has counted the request. After the server's end the table has
each process's counts once, and the server has ended as it does without a client.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter as Tally
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPConnection
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg
import pytest

from tests.ports import free_port
from tests.uwsgi import GRACEFUL_STOP, wait_until_workers

WAIT_SECONDS = 60
CONNECTIONS = 8
REQUESTS = 200
COUNTS_PER_REQUEST = 5

APPLICATION = """
import asyncio
import os
import time
import noetl_metrics_sdk as metrics

SERVED = metrics.Counter("served_requests", "Requests")


def start():
    return metrics.init(
        os.environ["SERVER_URL"], "web-pool", flush_interval=3600, system_metrics=(),
    )


def worker_id():
    return metrics.client.process_client._process.client.worker_id.encode()


if not os.environ.get("IN_LIFESPAN"):
    start()


def wsgi(environ, start_response):
    SERVED.inc(5)
    if environ["PATH_INFO"] == "/slow":
        while not os.path.exists("end"):
            time.sleep(0.01)
    body = worker_id()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup" and os.environ.get("IN_LIFESPAN"):
                start()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    SERVED.inc(5)
    body = worker_id()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if scope["path"] == "/slow":
        # The last delivery takes a moment, as to a server that is far away.
        metrics.Gauge("slow", "Slow").set_function(lambda: time.sleep(0.5) or 0.0)
        while not os.path.exists("end"):
            await asyncio.sleep(0.01)
    await send({"type": "http.response.body"})
"""

GUNICORN = "-m gunicorn --bind=127.0.0.1:{port} --workers=2"
UWSGI = (
    "uwsgi --http-socket=127.0.0.1:{port} --wsgi-file={folder}/web_app.py "
    "--callable=wsgi --master --processes=2 --enable-threads --stats=127.0.0.1:{stats_port}"
)
KILLED = -signal.SIGTERM

# The command, and the exit code that the server has without a client.
SERVERS = {
    "uvicorn, asyncio": ("-m uvicorn --loop=asyncio --port={port} web_app:asgi", KILLED),
    "uvicorn, uvloop": ("-m uvicorn --loop=uvloop --port={port} web_app:asgi", KILLED),
    "uvicorn, in lifespan": ("IN_LIFESPAN -m uvicorn --port={port} web_app:asgi", KILLED),
    "uvicorn, 4 workers": ("-m uvicorn --port={port} --workers=4 web_app:asgi", 0),
    "gunicorn": (f"{GUNICORN} web_app:wsgi", 0),
    "gunicorn, preload": (f"{GUNICORN} --preload web_app:wsgi", 0),
    "gunicorn gthread": (f"{GUNICORN} --threads=4 web_app:wsgi", 0),
    "gunicorn gthread, preload": (f"{GUNICORN} --threads=4 --preload web_app:wsgi", 0),
    "gunicorn gevent": (f"{GUNICORN} --worker-class=gevent web_app:wsgi", 0),
    "gunicorn gevent, preload": (f"{GUNICORN} --worker-class=gevent --preload web_app:wsgi", 0),
    "gunicorn uvicorn": (f"{GUNICORN} --worker-class=uvicorn_worker.UvicornWorker web_app:asgi", 0),
    "gunicorn uvicorn, preload": (
        f"{GUNICORN} --worker-class=uvicorn_worker.UvicornWorker --preload web_app:asgi", 0,
    ),
    "hypercorn": ("-m hypercorn --bind=127.0.0.1:{port} web_app:asgi", 0),
    "hypercorn, 2 workers": ("-m hypercorn --bind=127.0.0.1:{port} --workers=2 web_app:asgi", 0),
    "granian": ("-m granian --interface=asgi --port={port} --workers=2 web_app:asgi", 0),
    "uwsgi": (f"{UWSGI} --die-on-term", 0),
    "uwsgi, lazy apps": (f"{UWSGI} --die-on-term --lazy-apps", 0),
}  # fmt: skip


class WebServer(NamedTuple):
    process: subprocess.Popen[bytes]
    port: int
    log: Path
    stats_port: int
    """Where uWSGI tells what its workers do."""


def begin(name, metrics_server, folder, more_words=()):
    """Start a web server by its command, with more words at its end."""
    words = SERVERS[name][0].split()
    environment = {key: text for key, text in os.environ.items() if not key.startswith("NOETL_")}
    environment["SERVER_URL"] = metrics_server.url
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(folder), os.environ.get("PYTHONPATH")])
    )
    if words[0] == "IN_LIFESPAN":
        environment[words.pop(0)] = "1"
    port, stats_port = free_port(), free_port()
    words = [word.format(port=port, folder=folder, stats_port=stats_port) for word in words]
    if words[0] == "-m":
        if find_spec(words[1]) is None:
            pytest.skip(f"{words[1]} is not installed")
        words = [sys.executable, *words]
    else:
        beside = Path(sys.executable).with_name(words[0])
        program = str(beside) if beside.exists() else shutil.which(words[0])
        if program is None:
            pytest.skip(f"{words[0]} is not installed")
        words[0] = program
    (folder / "web_app.py").write_text(APPLICATION)
    log = folder / "log"
    with log.open("w") as log_file:
        process = subprocess.Popen(
            [*words, *more_words], cwd=folder, env=environment, stdout=log_file,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    return WebServer(process, port, log, stats_port)


# A worker of granian that has not begun to serve takes no notice of SIGTERM. Then it has its main
# thread, and three of the client; granian's own come afterwards.
THREADS_LOADING_MAX = {"granian": 4}


def wait_until_it_serves(name, web_server):
    process, port, log, stats_port = web_server
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            if have_begun(name, process):
                if name.startswith("uwsgi"):
                    wait_until_workers(stats_port)
                return
            time.sleep(0.02)
    raise AssertionError(log.read_text())


def have_begun(name, process):
    """Return whether each of a server's workers has more threads than one that begins."""
    if name not in THREADS_LOADING_MAX:
        return True
    threads = [worker.num_threads() for worker in psutil.Process(process.pid).children()]
    return len(threads) == 2 and min(threads) > THREADS_LOADING_MAX[name]


def blocked_signals(process, number):
    """Return which signals each thread of a server's processes blocks, as a set of bits, once there
    are so many besides the main ones."""
    while True:
        found = []
        for worker in psutil.Process(process.pid).children():
            for path in Path(f"/proc/{worker.pid}/task").iterdir():
                if path.name != str(worker.pid):
                    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                        status = (path / "status").read_text()
                        found += re.findall(r"^SigBlk:\s(\w+)$", status, re.MULTILINE)
        if len(found) >= number:
            return [int(bits, 16) for bits in found]
        time.sleep(0.02)


def request_again_and_again(port, times, path="/"):
    tally: Tally[str] = Tally()
    for _ in range(times):
        connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
        connection.request("GET", path, headers={"Connection": "close"})
        tally[connection.getresponse().read().decode()] += 1
        connection.close()
    return tally


def wait_for_text(text, log):
    deadline = time.monotonic() + WAIT_SECONDS
    while text not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


def counted(metrics_server):
    """Return what each process has reported; processes without any requests are left out."""
    with psycopg.connect(metrics_server.database_url) as connection:
        rows = connection.execute(
            "SELECT labels ->> 'worker_id', max(metric_value) FROM noetl.metric "
            "WHERE metric_name = 'served_requests_total' GROUP BY 1 HAVING max(metric_value) > 0"
        ).fetchall()
    return dict(rows)


@pytest.mark.once
@pytest.mark.parametrize("name", SERVERS)
def test_sigterm_to_a_web_server_costs_no_count(server, tmp_path, name):
    """Each request is in the table once, the exit code is the server's own, and the log is calm."""
    web_server = begin(name, server, tmp_path)
    process, port, log, stats_port = web_server
    try:
        wait_until_it_serves(name, web_server)
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            tallies = threads.map(
                lambda _: request_again_and_again(port, REQUESTS // CONNECTIONS),
                range(CONNECTIONS),
            )
            requests: Tally[str] = sum(tallies, Tally())
        if name.startswith("uwsgi"):
            wait_until_workers(stats_port)
        process.send_signal(signal.SIGTERM)
        code = process.wait(WAIT_SECONDS)
    finally:
        process.kill()
        process.wait()
    told = {worker_id: COUNTS_PER_REQUEST * number for worker_id, number in requests.items()}
    assert (REQUESTS, told, SERVERS[name][1]) == (requests.total(), counted(server), code)
    assert "Traceback" not in log.read_text()


@pytest.mark.once
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="only Linux tells of threads")
def test_the_clients_threads_take_no_signal_of_uwsgis(server, tmp_path):
    """uWSGI ends a worker from the thread that gets the signal, and hangs if it is not the main
    one."""
    web_server = begin("uwsgi", server, tmp_path)
    process = web_server.process
    try:
        wait_until_it_serves("uwsgi", web_server)
        # Each of the two workers has an exporter and a collector.
        for bits in blocked_signals(process, 4):
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                assert bits >> (number - 1) & 1, number
        process.send_signal(signal.SIGINT)
        assert 0 == process.wait(WAIT_SECONDS)
    finally:
        process.kill()
        process.wait()


@pytest.mark.once
def test_a_request_that_uwsgi_is_left_to_finish_is_counted(server, tmp_path):
    """SIGTERM with the documented hooks ends uWSGI after the request, and what it counted is there.

    Ended at once, the worker calls no function at its exit.
    """
    web_server = begin("uwsgi", server, tmp_path, GRACEFUL_STOP)
    process, port, log, stats_port = web_server
    try:
        wait_until_it_serves("uwsgi", web_server)
        with ThreadPoolExecutor(1) as threads:
            slow = threads.submit(request_again_and_again, port, 1, "/slow")
            wait_until_workers(stats_port, status="busy")
            process.send_signal(signal.SIGTERM)
            wait_for_text("Gracefully killing worker", log)
            (tmp_path / "end").touch()
            requests = slow.result()
        assert 0 == process.wait(WAIT_SECONDS)
    finally:
        process.kill()
        process.wait()
    assert {next(iter(requests)): COUNTS_PER_REQUEST} == counted(server)


@pytest.mark.once
def test_a_worker_that_hypercorn_ends_within_a_request_has_its_counts(server, tmp_path):
    """It gets SIGTERM twice within milliseconds, once the other worker has ended."""
    name = "hypercorn, 2 workers"
    web_server = begin(name, server, tmp_path)
    process, port = web_server.process, web_server.port
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    try:
        wait_until_it_serves(name, web_server)
        connection.request("GET", "/slow")
        worker_id = connection.getresponse().read1().decode()
        process.send_signal(signal.SIGTERM)
        assert 0 == process.wait(WAIT_SECONDS)
    finally:
        connection.close()
        process.kill()
        process.wait()
    assert {worker_id: COUNTS_PER_REQUEST} == counted(server)
