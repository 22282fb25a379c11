"""`noetl-metrics chart`."""

from __future__ import annotations

import re
import time

import pytest

from tests.command.running import insert
from tests.command.terminals import in_terminal
from tests.server.application import sample

pytestmark = pytest.mark.once

STEP_SECONDS = 60


@pytest.fixture(scope="module")
def charted(command_server):
    """Insert a gauge that rises in one queue and falls in another, and a counter."""
    now = time.time()
    samples = []
    for number in range(20):
        moment = now - 1200 + number * STEP_SECONDS
        for queue, value in (("up", number), ("down", 19 - number)):
            gauge = {"metric_name": "depth", "metric_type": "gauge", "metric_value": value}
            samples.append(sample(**gauge, labels={"queue": queue}, timestamp=moment))
        samples.append(sample(metric_value=number * 30, timestamp=moment))
    insert(command_server.url, "charted", *samples)


@pytest.fixture
def drawn(run, charted):
    """Run commands on a server that has the samples of `charted`."""
    return run


def test_a_gauge_has_a_curve_for_each_group(drawn):
    """Without a terminal each curve has a sign of its own; the legend has its numbers."""
    result = drawn("chart", "depth", "-c", "charted", "-g", "queue", "--start=21m")
    lines = result.out.splitlines()
    assert "avg(depth)" == lines[0]
    body = [line for line in lines if "|" in line]
    assert "*" in body[0] + body[1]
    assert "+" in body[0] + body[1]
    assert "\x1b" not in result.out
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines[-2:]]
    assert ["0", "19"] == [rows[0][-4], rows[0][-2]]
    assert {'* {queue="up"}', '+ {queue="down"}'} == {
        f"{row[0]} {row[1]}" if len(row) > 5 else row[0] for row in rows
    }


def test_what_counts_is_shown_as_a_rate(drawn):
    """A name of a counter has the aggregation rate; JSON has the server's answer."""
    answer = drawn(
        "chart", "jobs_total", "-c", "charted", "--start=21m", "--step=1m", "--json"
    ).json
    assert "rate" == answer["aggregation"]
    values = [value for _, value in answer["series"][0]["points"]]
    assert 0.5 == pytest.approx(sum(values) / len(values))


def test_a_chart_without_points_says_so(drawn):
    """The server's note is on stderr."""
    result = drawn("chart", "depht", "-c", "charted")
    assert (0, "avg(depht): there are no points\n") == result[:2]
    assert "did you mean depth" in result.err


@pytest.mark.parametrize(("columns", "lines"), [(60, 24), (160, 40)])
def test_a_chart_fits_a_terminal(drawn, columns, lines):
    """It has the terminal's width and colours, and no line is longer or is broken."""
    arguments = ("chart", "depth", "-c", "charted", "-g", "queue", "--start=21m")
    with in_terminal(columns, lines, *arguments, NOETL_SERVER_URL=drawn.url) as terminal:
        shown = terminal.read_to_end()
    assert "\x1b[" in terminal.raw
    assert len(shown) < lines
    assert columns - 20 < max(map(len, shown)) <= columns
    assert any("\u2800" < character < "\u2900" for line in shown for character in line)
    axis = [line.index("┤") for line in shown if "┤" in line]
    assert 1 == len(set(axis))
    assert len(axis) >= 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'METRIC'"),
        (["depth", "-q", "95"], "95.0 is not in the range 0<=x<=1"),
        (["depth", "-a", "quantile"], "--quantile go together: give a number like 0.95"),
        (["depth", "-a", "mean"], "'mean' is not one of 'avg', 'min', 'max'"),
        (["depth", "--step=1x"], "'1x' must be a duration from 0.1s to 31d, like 30s, 5m"),
        (["depth", "--start=1h", "--end=2h"], "must be before --end"),
        (["depth", "-g", "a b"], "group_by"),
    ],
)
def test_a_bad_option_is_one_line(run, arguments, message):
    """The line says what a right value looks like."""
    result = run("chart", *arguments)
    assert ("", 1) == (result.out, result.err.count("\n"))
    assert result.code in {1, 2}
    assert message in result.err
