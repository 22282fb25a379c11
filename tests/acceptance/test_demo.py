"""The demo ends with 0 when every figure is in the table; otherwise it says which one differs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.postgresql import open_folder
from tests.server.application import insert, running_api, sample
from tests.victoria_metrics import needs_victoria_metrics

DEMO = Path(__file__).parent.parent.parent / "examples" / "demo"


@pytest.fixture
def kept():
    """Yield where the demo keeps its data: a folder that PostgreSQL's user can reach."""
    with open_folder() as folder:
        yield folder / "kept"


@pytest.fixture
def report_module(monkeypatch):
    """Return the demo's own module of comparison, imported as the demo imports it."""
    monkeypatch.syspath_prepend(str(DEMO))
    import report  # noqa: PLC0415 - found only once its folder is on the path

    return report


def test_the_demo_ends_with_every_figure_in_the_table(kept):
    """The demo starts everything, answers every question, and agrees with the workers."""
    result = subprocess.run(
        [sys.executable, str(DEMO), "--files", "30", "--workers", "2",
         "--data-directory", str(kept)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (0, "") == (result.returncode, result.stderr)
    assert "All 90 jobs" in result.stdout
    # Six short-lived workers do three jobs each on five files.
    assert "All 90 and 90 jobs are in the charts" in result.stdout
    for heading in ["Jobs by type", "slowest job types", "CPU and memory", "Partitions", "/docs"]:
        assert heading in result.stdout
    assert (kept / "postgresql").is_dir()


@pytest.mark.once
def test_the_demo_needs_no_folder(tmp_path):
    """As the README starts it, root's demo works too, and leaves nothing behind."""
    with open_folder() as folder:
        result = subprocess.run(
            [sys.executable, str(DEMO), "--files", "3", "--workers", "1"], cwd=tmp_path,
            capture_output=True, text=True, timeout=100, check=False,
            env={**os.environ, "TMPDIR": str(folder)},
        )  # fmt: skip
        assert (0, "") == (result.returncode, result.stderr)
        assert "All 9 jobs" in result.stdout
        assert [] == list(folder.iterdir())


@pytest.mark.once
@needs_victoria_metrics
def test_the_demo_finds_every_figure_by_promql(kept):
    """With --victoria-metrics the demo exports everything too, and finds the same sums and
    increases there."""
    result = subprocess.run(
        [sys.executable, str(DEMO), "--files", "30", "--workers", "2", "--victoria-metrics",
         "--data-directory", str(kept)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert (0, "") == (result.returncode, result.stderr)
    assert "All 90 jobs" in result.stdout
    assert "All of it is in VictoriaMetrics too" in result.stdout


def test_the_demo_shows_a_worker_that_had_no_job(database_url, report_module, capsys):
    """A quantile of a worker whose window is empty is no number, and its cell stays empty."""
    import database  # noqa: PLC0415 - found only once its folder is on the path

    with running_api(database_url) as api:
        quantile = sample(metric_name="demo_input_bytes", metric_type="summary")
        insert(
            api,
            api.register("demo-pool"),
            quantile | {"labels": {"worker_id": "a", "quantile": "0.5"}, "metric_value": "NaN"},
            quantile | {"labels": {"worker_id": "b", "quantile": "0.5"}, "metric_value": 7.0},
        )
        with psycopg.connect(database_url, autocommit=True) as connection:
            answer = database.ask(connection, "summary_quantiles", component="demo-pool")
    assert [("a", "0.5", None), ("b", "0.5", 7)] == answer.rows
    report_module.show_table("Sizes", answer)
    assert "None" not in capsys.readouterr().out


def test_the_demo_names_what_another_database_has_otherwise(report_module):
    """The demo names a missing or different figure, with both values and the database it asked."""
    assert [
        "a/x: the workers did 2, VictoriaMetrics has 1",
        "b/y: the workers did 0, VictoriaMetrics has 3",
    ] == report_module.compare({"a/x": 2.0, "c/z": 5.0}, {"a/x": 1.0, "b/y": 3.0, "c/z": 5.0},
                               "VictoriaMetrics")  # fmt: skip


@pytest.mark.once
def test_the_demo_can_run_again_on_kept_data(kept):
    """A second run on the same data folder compares only what it did itself."""
    for _ in range(2):
        result = subprocess.run(
            [sys.executable, str(DEMO), "--files", "6", "--workers", "1",
             "--data-directory", str(kept)],
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert (0, "") == (result.returncode, result.stderr)
        assert "All 18 jobs" in result.stdout
        assert "All 18 and 18 jobs are in the charts" in result.stdout


def test_the_demo_notices_what_is_missing(server, report_module):
    """The demo names a row that is missing in the table, with both figures."""
    files = "\n".join(str(path) for path in sorted(DEMO.glob("*.py")))
    finished = subprocess.run(
        [sys.executable, str(DEMO / "worker.py"), server.url, "demo-pool", "0.5"],
        input=files, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    worker = json.loads(finished.stdout)
    question = ("demo-pool", [worker["worker_id"]], worker["work_done"])
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        assert [] == report_module.differences(connection, *question)
        connection.execute(
            "UPDATE noetl.metric SET metric_value = metric_value - 1 "
            "WHERE metric_name = 'noetl_jobs_processed_total' AND labels ->> 'job_type' = 'hash'"
        )
        (difference,) = report_module.differences(connection, *question)
    jobs = len(files.splitlines())
    assert difference == (
        f"noetl_jobs_processed_total/hash/completed/: "
        f"the workers did {jobs}, the table has {jobs - 1}"
    )


@pytest.mark.once
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_can_be_interrupted(kept, number):
    """A signal during the work ends everything, with a message and no traceback."""
    with subprocess.Popen(
        [sys.executable, str(DEMO), "--data-directory", str(kept)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as demo:  # fmt: skip
        assert demo.stdout is not None
        for line in demo.stdout:
            if "rows in noetl.metric" in line:
                break
        os.killpg(demo.pid, number)
        _, errors = demo.communicate(timeout=60)
    assert (130, "\n== Interrupted\n") == (demo.returncode, errors)
    left = [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if str(kept) in f"{process.info['cmdline']} {process.info['cwd']}"
    ]
    assert [] == left


@pytest.mark.parametrize(
    ("flag", "message"), [("--workers", "not a number above zero"), ("--files", "invalid")]
)
def test_the_demo_refuses_what_it_cannot_do(flag, message):
    """The demo names a bad flag."""
    value = "0" if flag == "--workers" else "many"
    result = subprocess.run(
        [sys.executable, str(DEMO), flag, value], capture_output=True, text=True, check=False
    )
    assert 2 == result.returncode
    assert flag in result.stderr
    assert message in result.stderr
