"""wrk against the server: more clients than it has connections to its database."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import httpx
import psutil
import psycopg
import pytest

from tests.outside.conftest import LONG
from tests.server_process import start_server

if TYPE_CHECKING:
    from pathlib import Path

# Other programs send requests to the server, which is the same on every interpreter.
pytestmark = pytest.mark.once

SECONDS = 60 if LONG else 3
CONNECTIONS = 128
SAMPLES = 1_000
MEMORY_BYTES_MAX = 512 * 1024 * 1024
FOLDER = __file__.rsplit("/", 1)[0]


def make_body(runtime_id: str) -> str:
    samples = [
        {
            "metric_name": f"load_{number % 50}_total", "metric_type": "counter",
            "metric_value": number, "labels": {"queue": f"q{number}", "status": "ok"},
            "help_text": "Load", "unit": "jobs",
        }
        for number in range(SAMPLES)
    ]  # fmt: skip
    return json.dumps({"runtime_id": runtime_id, "metrics": samples})


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
@pytest.mark.parametrize("ingest_bytes_max", [None, 2 * 1024 * 1024])
def test_every_batch_is_committed_or_refused(
    database_url: str, tmp_path: Path, ingest_bytes_max: int | None
) -> None:
    """Under 128 clients, each batch gets 200 and is in the table, or gets 503 with Retry-After and
    is not. With little room for bodies the server refuses many, and its memory stays bounded."""
    flags = [] if ingest_bytes_max is None else [f"--ingest-bytes-max={ingest_bytes_max}"]
    server = start_server(database_url, *flags)
    try:
        register = httpx.post(f"{server.url}/api/worker/pool/register", json={"name": "load"})
        body = tmp_path / "body.json"
        body.write_text(make_body(register.json()["runtime_id"]))
        load = subprocess.run(
            [
                "wrk", "--threads=2", f"--connections={CONNECTIONS}", f"--duration={SECONDS}s",
                "--timeout=30s", f"--script={FOLDER}/ingest.lua", f"{server.url}/api/metrics",
                "--", str(body), "load",
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        report = json.loads(load.stdout.splitlines()[-1])
        statuses: Counter[str] = Counter()
        for of_thread in report["statuses"]:
            for part in filter(None, of_thread.split(",")):
                status, count = part.split("=")
                statuses[status] += int(count)
        sys.stderr.write(f"{load.stdout}{statuses}\n")
        assert set(statuses) <= {"200", "503"}
        assert (statuses["503"] > 0) is (ingest_bytes_max is not None)
        assert [0, 0, 0, 0] == [report[name] for name in ("connect", "read", "write", "timeout")]
        memory_bytes = psutil.Process(server.process.pid).memory_info().rss
        assert memory_bytes < MEMORY_BYTES_MAX
        assert 200 == httpx.get(f"{server.url}/readyz").status_code
    finally:
        # The server first finishes the batches for which wrk did not wait.
        assert 0 == server.stop()
        assert server.process.stdout is not None
        server.process.stdout.close()
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*), (SELECT count(*) FROM noetl.metric_batch WHERE boot_id LIKE 'load-%')"
            " FROM noetl.metric WHERE metric_name LIKE 'load_%_total'"
        ).fetchone()
    assert row is not None
    rows, batches = row
    assert rows == batches * SAMPLES
    # With little room, on a busy machine, wrk may have ended before the first of them was answered.
    assert batches > 0
    assert statuses["200"] <= batches <= statuses["200"] + CONNECTIONS
