"""`noetl-metrics query`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.server.application import sample

pytestmark = pytest.mark.once


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def test_samples_are_rows_of_whole_values(run):
    """In a pipe a row has the time as the server says it, and the exact value."""
    moment = ago(5)
    labels = {"say": 'a "word"'}
    run.insert("rows", sample(metric_value=1234567.125, labels=labels, timestamp=moment))
    (row,) = run("query", "-c", "rows").rows
    assert datetime.fromisoformat(moment) == datetime.fromisoformat(row[0])
    assert ["rows", r'jobs_total{say="a \"word\""}', "1234567.125"] == row[1:]


def test_filters_choose_samples(run):
    """Name, type, labels, time and order are the server's filters."""
    run.insert(
        "filtered",
        sample(metric_value=1, timestamp=ago(300), labels={"status": "ok"}),
        sample(metric_value=2, timestamp=ago(200), labels={"status": "failed"}),
        sample(metric_value=3, timestamp=ago(100)),
        sample(metric_name="depth", metric_type="gauge", metric_value=4, timestamp=ago(50)),
    )

    def found(*arguments: str) -> list[str]:
        return [row[3] for row in run("query", "-c", "filtered", *arguments).rows]

    assert ["4", "3", "2", "1"] == found()
    assert ["1", "2", "3"] == found("jobs_total", "--order=asc")
    assert ["2"] == found("-l", "status=failed")
    assert ["4", "3"] == found("-l", "status=")
    assert ["4"] == found("--type=gauge")
    assert ["3", "2"] == found("--start=250s", "--end=1m")
    assert ["4", "3"] == found("-n", "2")


def test_more_samples_than_a_page_holds_are_read_page_by_page(run):
    """A limit above the server's own is met by several pages; each sample is there once."""
    for _ in range(2):
        run.insert("many", *[sample()] * 5_010)
    found = run("query", "-c", "many", "-n", "10010", "--json").json_lines
    assert 10_010 == len({one["metric_id"] for one in found}) == len(found)


def test_an_unknown_metric_is_noted_with_names_like_it(run):
    """The server's note comes on stderr, and the code stays 0."""
    run.insert("noted", sample(metric_name="parcels_total"))
    result = run("query", "parcel_total")
    assert 0 == result.code
    assert "there is no metric 'parcel_total': did you mean parcels_total" in result.err


def test_a_label_cannot_steer_the_terminal(run):
    """Control characters of a label are shown as escapes."""
    run.insert("steering", sample(labels={"x": "\x1b[2J\u202e"}))
    ((_, _, series, _),) = run("query", "-c", "steering").rows
    assert r'jobs_total{x="\\u001b[2J\\u202e"}'.replace(r"\\", "\\") == series


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--start=yesterday"], "'yesterday' must be a time like 2026-01-31T12:00:00+00:00"),
        (["--end=31.1.2026"], "or how long ago it is: 90s, 15m, 6h, 7d, or now"),
        (["-l", "status"], "'status' must be NAME=VALUE, like status=ok"),
        (["--limit=0"], "0 is not in the range 1<=x<=100000"),
        (["--order=new"], "'new' is not one of 'asc', 'desc'"),
        (["--type=counters"], "'counters' is not one of 'counter', 'gauge'"),
        (["--server=localhost:8082"], "give a URL like http://localhost:8082; is http://localhost"),
        (["--componet=x"], "No such option '--componet'. Did you mean '--component'?"),
    ],
)
def test_a_bad_option_is_one_line(run, arguments, message):
    """The line says what a right value looks like, and the code is 2."""
    result = run("query", *arguments)
    assert (2, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert message in result.err


def test_an_error_of_the_server_is_one_line(run):
    """The line has what the server says, and the code is 1."""
    result = run("query", "--runtime-id=x")
    assert (1, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert "answers 400: query parameter runtime_id: runtime_id 'x' is not valid" in result.err


def test_a_server_that_is_not_there_has_a_code_of_its_own(run):
    """The line says how to name another server, and the code is 3."""
    result = run("query", "--server=http://localhost:1")
    assert (3, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert "http://localhost:1 does not answer" in result.err
    assert "name another one by --server or NOETL_SERVER_URL" in result.err


def test_a_bad_variable_is_named(run, monkeypatch):
    """The message names the environment variable."""
    monkeypatch.setenv("NOETL_METRICS_TLS_CA", "/nowhere.pem")
    result = run("query")
    assert (2, 1) == (result.code, result.err.count("\n"))
    assert "'/nowhere.pem'" in result.err
