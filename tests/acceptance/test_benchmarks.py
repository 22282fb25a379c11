"""The benchmarks run and show every contender. No test asserts how fast anything is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import noetl_metrics_sdk
from tests.browser import needs_chromium
from tests.victoria_metrics import needs_victoria_metrics

# Finding and showing the contenders does not depend on the interpreter.
pytestmark = pytest.mark.once

FOLDER = Path(__file__).parent.parent.parent / "benchmarks"
PEERS = {"prometheus_client", "opentelemetry", "datadog"}


def run(program, tmp_path, *sizes):
    path = tmp_path / "figures.json"
    # The benchmarks import each other from the folder of the program.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONSAFEPATH"}
    result = subprocess.run(
        [sys.executable, str(FOLDER / f"{program}.py"), "--json", str(path), *sizes],
        capture_output=True, text=True, timeout=110, check=False, env=environment,
    )  # fmt: skip
    assert (0, "") == (result.returncode, result.stderr)
    found = json.loads(path.read_text())
    assert noetl_metrics_sdk.COMPILED is found["machine"]["compiled"]
    assert {"noetl_metrics_sdk", *PEERS} == set(found["versions"])
    tables = {table["title"]: table for table in found["tables"]}
    assert all(row in result.stdout for table in found["tables"] for row in table["rows"])
    return tables, result.stdout


def contenders(table):
    return {row: set(figures) for row, figures in table["rows"].items()}


def test_the_hot_path_is_measured_beside_the_peers(tmp_path):
    """The tables show every kind of call, for each peer that has it and for an empty call."""
    tables, printed = run("hot_path", tmp_path, "--rounds", "2", "--calls", "50")
    calls = contenders(tables["One call"])
    everyone = {"noetl_metrics_sdk", *PEERS, "limit"}
    assert everyone == calls["Counter.inc()"] == calls["Gauge.set(0.3)"]
    assert everyone == calls['counter.labels("a", "b").inc()']
    assert everyone - {"datadog"} == calls["Histogram.observe(0.3)"]
    with_no_peer = {"noetl_metrics_sdk", "prometheus_client", "limit"}
    assert with_no_peer == calls["Summary.observe(0.3)"] == calls["with histogram.time():"]
    assert {"counter.inc() in eight threads": everyone} == contenders(
        tables["Eight threads on one counter"]
    )
    assert "noetl_metrics_sdk: 1,150 of 1,150 counted" in printed


def test_a_full_buffer_is_measured_beside_one_with_room(tmp_path):
    """The table shows `record()` with few series and many, under each policy without a wait."""
    tables, _ = run("record", tmp_path, "--rounds", "1", "--calls", "50", "--series", "900")
    everyone = {"noetl_metrics_sdk", "full, drop_oldest", "full, drop_newest"}
    (table,) = tables.values()
    assert {"300 series": everyone, "900 series": everyone} == contenders(table)


def test_a_flush_is_measured_beside_the_peers(tmp_path):
    """The tables show a flush with and without changes, and how long it keeps other threads
    waiting."""
    tables, _ = run("flush", tmp_path, "--rounds", "2", "--series", "30")
    flushes = contenders(tables["A flush of 30 series"])
    pushed = {"prometheus_client push", "prometheus_client collect()"}
    everyone = {"noetl_metrics_sdk", *pushed, "opentelemetry", "limit"}
    assert {
        f"{row}, {kind}": everyone
        for row in ("all changed", "none changed")
        for kind in ("gzip", "plain")
    } == flushes
    assert {
        "noetl_metrics_sdk, gzip",
        "noetl_metrics_sdk, plain",
        "prometheus_client, push",
        "prometheus_client, collect()",
        "opentelemetry, gzip",
        "opentelemetry, plain",
    } == set(tables["The longest wait of another thread meanwhile"]["rows"])


def test_memory_is_measured_beside_the_peers(tmp_path):
    """The tables show a series of a counter and of a histogram, before and after it was sent."""
    tables, _ = run("memory", tmp_path, "--series", "20")
    everyone = {"noetl_metrics_sdk", "prometheus_client", "opentelemetry"}
    assert {
        f"{kind}, {moment}": everyone
        for kind in ("counter", "histogram")
        for moment in ("made and used", "after the first flush")
    } == contenders(tables["One labelled series"])


def test_an_idle_process_is_measured_beside_opentelemetry_and_psutil(tmp_path):
    """The tables show the private memory with and without packages that some environments have,
    and the processor time beside that of psutil alone."""
    sizes = ("--rounds", "1", "--seconds", "1", "--interval", "1")
    tables, printed = run("process", tmp_path, *sizes)
    memory = tables["Private memory of a process"]
    bare = "an interpreter alone"
    everyone = {"noetl_metrics_sdk", "opentelemetry", "the dependencies alone", bare}
    plain = "in a plain environment"
    rows = {"in this environment": everyone, plain: everyone}
    assert rows == contenders(tables["What is loaded in it"])
    assert rows | {f"{row}: written": everyone for row in rows} == contenders(memory)
    for figures in memory["rows"].values():
        assert bare == min(figures, key=figures.__getitem__)
    assert f"{plain}, the client loads of them: none" in printed
    assert {"all system metrics": {"noetl_metrics_sdk", "psutil alone"}} == contenders(
        tables["CPU of an idle process, every 1 s"]
    )


def test_importing_is_measured_beside_the_peers(tmp_path):
    """The tables show an interpreter that imports each contender, and a bare one."""
    tables, _ = run("import_time", tmp_path, "--rounds", "1")
    everyone = {"noetl_metrics_sdk", *PEERS}
    assert {
        "in all": {*everyone, "limit"},
        "without the bare interpreter": everyone,
    } == contenders(tables["An interpreter that starts, imports and ends"])


def test_the_sketch_is_measured_beside_ddsketch(tmp_path):
    """The benchmark asks both for the same quantiles, and both keep to the relative error."""
    tables, _ = run("sketch", tmp_path, "--rounds", "1", "--values", "2000")
    (errors,) = tables["The largest error, of 0.01 that is allowed"]["rows"].values()
    assert 3 == len(errors)
    assert max(errors.values()) <= 0.01


def test_inserts_are_measured_beside_copy(tmp_path):
    """The tables show one client and four: this server, a bare COPY in two formats, a row at a
    time."""
    tables, _ = run("ingest", tmp_path, "--rounds", "1", "--rows", "2000")
    everyone = {"noetl_metrics_sdk", "COPY", "COPY of text", "INSERT a row"}
    (table,) = tables.values()
    assert {"1 client": everyone, "4 clients": everyone} == contenders(table)


def test_queries_are_measured_beside_postgresql(tmp_path):
    """The tables show each question over HTTP, beside a constant and as a bare query, with all rows
    and with fewer; and the page for Prometheus with more series."""
    tables, _ = run("query", tmp_path, "--rounds", "1", "--rows", "20000", "--series", "20000")
    *both, growth, many = map(contenders, tables.values())
    page = "GET /metrics, 10,000 series"
    questions = (
        page,
        "a page of 100 of one series",
        "an hour's chart of a metric",
        "24 hours at a minute",
        "24 hours at a minute, 100 groups",
    )
    measured = {question: {"noetl_metrics_sdk", "GET /healthz", "limit"} for question in questions}
    measured[page] |= {"PostgreSQL, as asked"}
    assert [measured, measured] == both
    assert {"10,000 series": measured[page], "20,000 series": measured[page]} == many
    assert {question: {"noetl_metrics_sdk", "a tenth of the rest"} for question in questions} == (
        growth
    )


def test_a_fleet_is_measured_beside_a_smaller_one(tmp_path):
    """The tables show what workers wait for and what they take; each batch of both fleets was
    answered 200, and its samples are stored."""
    tables, printed = run("fleet", tmp_path, "--workers", "20", "--seconds", "2", "--interval", "1")
    both = {"noetl_metrics_sdk", "2 workers"}
    assert 5 == len(tables)
    assert all(both == row for table in tables.values() for row in contenders(table).values())
    assert {"noetl_metrics_sdk": 40, "2 workers": 4} == (
        tables["20 workers: What is sent"]["rows"]["batches"]
    )
    assert "20 workers, answers: {'batch 200': 40, " in printed
    assert "2 workers, answers: {'batch 200': 4, " in printed


@needs_chromium
def test_the_page_of_operators_is_measured_in_a_browser(tmp_path):
    """The table shows what an operator waits for, and the server's share of the charts."""
    tables, _ = run("page", tmp_path, "--rounds", "1", "--rows", "2000")
    (table,) = tables.values()
    found = contenders(table)
    assert {"noetl_metrics_sdk"} == found["a value among 10,000, typed"]
    both = {"noetl_metrics_sdk", "limit"}
    assert both == found["many_series: asked, and drawn"] == found["many_points: asked, and drawn"]


def test_the_page_is_measured_beside_generate_latest(tmp_path):
    """The tables show prometheus_client, with the same series, the page over HTTP, and gzip."""
    tables, _ = run("exposition", tmp_path, "--rounds", "1", "--series", "500")
    times = tables["A page of 500 series"]
    both = {"noetl_metrics_sdk", "prometheus_client"}
    found = contenders(times)
    assert both == found["server, rows to text"] == found["worker's page, text"]
    assert {"GET /metrics", "GET /metrics, gzip"} <= set(found)
    plain = tables["How large it is"]["rows"]["plain"]
    assert plain["noetl_metrics_sdk"] == plain["prometheus_client"]


def test_dropping_a_day_is_measured_beside_inserts(tmp_path):
    """A tenth of the rows and all of them are dropped while clients insert, and no insert fails."""
    tables, printed = run("retention", tmp_path, "--rows", "2000", "--seconds", "0")
    drops = tables["Dropping an expired day beside inserts and queries"]["rows"]
    assert {"200 rows", "2,000 rows"} == set(drops)
    assert "2,000 rows: dropped by request " in printed
    counts = tables["Inserts by HTTP"]["rows"]
    for rows in drops:
        for moment in ("before the drop", "during the drop"):
            assert {"noetl_metrics_sdk": 0} == counts[f"{rows}, {moment}, failed"]
            assert counts[f"{rows}, {moment}"]["noetl_metrics_sdk"] > 0
    assert {"noetl_metrics_sdk": 0} == counts["2,000 rows, drop held back, failed"]
    rebuilds = tables["Rebuilding an expired day of which rows live longer"]["rows"]
    for share in ("1 %", "99 %"):
        title = f"200 rows of which {share} are kept"
        assert rebuilds[title]["noetl_metrics_sdk"] > 0
        assert {"noetl_metrics_sdk": 0} == counts[f"{title}, failed"]


def test_ratios_are_of_our_figure(tmp_path):
    """A ratio says how many times our figure another one is; for throughputs it is the inverse."""
    tables, _ = run("hot_path", tmp_path, "--rounds", "1", "--calls", "20")
    for title, exponent in (("One call", 1), ("Eight threads on one counter", -1)):
        for row, figures in tables[title]["rows"].items():
            ours = figures.pop("noetl_metrics_sdk")
            expected = {name: (other / ours) ** exponent for name, other in figures.items()}
            assert expected == pytest.approx(tables[title]["ratios"][row])


@needs_victoria_metrics
def test_the_export_is_measured_beside_its_own_requests_and_the_line_import(tmp_path):
    """The export, the same requests prepared beforehand and the line import write every sample;
    inserts run with and without an export."""
    tables, _ = run("export", tmp_path, "--rounds", "1", "--rows", "5000")
    written, inserted = map(contenders, tables.values())
    beside = {"noetl_metrics_sdk", "the same requests, prepared", "line import"}
    assert {"requests of 20,000 samples": beside} == written
    assert {"while the table is exported": {"noetl_metrics_sdk", "without an export"}} == inserted


def test_a_long_backlog_is_measured_beside_a_short_one(tmp_path):
    """The receiver gets every sample of both, by each version of remote write."""
    tables, _ = run("backlog", tmp_path, "--rows", "2000", "--series", "1000")
    both = {"noetl_metrics_sdk", "60 of 100"}
    versions = {"remote write 1.0": both, "remote write 2.0": both}
    assert [versions, versions] == list(map(contenders, tables.values()))
