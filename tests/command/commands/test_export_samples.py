"""`noetl-metrics export`."""

from __future__ import annotations

import json
import subprocess
import time

import pytest

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.transfer import exporting
from noetl_metrics_cli.transfer.exporting import Export
from tests.command.running import PROGRAM, environment, insert
from tests.command.terminals import in_terminal
from tests.server.application import sample

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def exported(command_server):
    """The name of a component with 1,000 samples, of which ten have one time."""
    now = time.time()
    insert(
        command_server.url,
        "exported",
        *(
            sample(metric_value=n, labels={"n": str(n)}, timestamp=now - 1000 + n // 10)
            for n in range(1000)
        ),
    )
    return "exported"


def values_in(path) -> list[float]:
    return [json.loads(line)["metric_value"] for line in path.read_text().splitlines()]


def test_every_sample_is_a_line_the_oldest_first(run, exported, tmp_path):
    """The side file is gone when the file is whole, and the answer says how much there is."""
    path = tmp_path / "all.jsonl"
    result = run("export", str(path), "-c", exported)
    assert 0 == result.code, result.err
    assert result.out.startswith(f"{path}: 1,000 samples, ")
    assert list(range(1000)) == values_in(path)
    assert [path] == list(tmp_path.iterdir())


def test_filters_choose_what_is_exported(run, exported, tmp_path):
    """They are those of a query."""
    path = tmp_path / "some.jsonl"
    answer = run("export", str(path), "-c", exported, "-l", "n=7", "--json").json
    assert {"file": str(path), "samples": 1, "bytes": path.stat().st_size} == answer
    assert [7] == values_in(path)


def test_a_dash_is_the_standard_output(run, exported):
    """Each line is a sample as the API has it."""
    assert 1000 == len(run("export", "-", "-c", exported).json_lines)


class KilledError(Exception):
    """The export is killed."""


def test_an_export_that_breaks_off_goes_on_and_writes_each_sample_once(
    run, exported, tmp_path, monkeypatch
):
    """What was written behind the last noted place is written again, not a second time."""
    monkeypatch.setattr(exporting, "pages", small_pages)
    path = tmp_path / "broken.jsonl"
    filters = {"component_name": exported}
    with connected(run.url, {}) as server:

        def end_after_three(_: object, __: int) -> None:
            if export.samples == 300:
                raise KilledError

        export = Export(path, filters)
        with pytest.raises(KilledError):
            export.run(server, end_after_three)
        with path.open("a") as file:
            file.write('{"half a li')
        resumed = Export(path, filters)
        assert (True, 300) == (resumed.is_resumed, resumed.samples)
        resumed.run(server, lambda *_: None)
    assert list(range(1000)) == values_in(path)
    assert [path] == list(tmp_path.iterdir())


def small_pages(server, filters, order, limit=None, cursor=None):
    """Yield pages of a hundred samples."""
    while True:
        page = server.get("/api/metrics", **filters, order=order, limit=100, cursor=cursor)
        yield page
        cursor = page["next_cursor"]
        if cursor is None:
            return


# Python writes nothing itself before an output's buffer is full, or all of it at once.
buffered_or_not = pytest.mark.parametrize("unbuffered", ["", "1"])


@buffered_or_not
def test_a_reader_that_goes_away_ends_it_without_a_traceback(run, exported, unbuffered):
    """`| head -1` gets its line, and the command ends with 141 and says nothing."""
    with subprocess.Popen(
        [*PROGRAM, "export", "-", "-c", exported],
        env=environment(NOETL_SERVER_URL=run.url, PYTHONUNBUFFERED=unbuffered),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"metric_id"')
        process.stdout.close()
        assert (141, b"") == (process.wait(20), process.stderr.read())


@buffered_or_not
def test_an_output_that_takes_a_part_of_the_samples_is_an_error(
    run, exported, tmp_path, unbuffered
):
    """A file that may grow no further, as on a full disk, ends it with 1 and one line."""
    bytes_max = 100_000  # a third of it
    with (tmp_path / "full").open("wb") as full:
        ended = subprocess.run(
            ["prlimit", f"--fsize={bytes_max}", *PROGRAM, "export", "-", "-c", exported],
            env=environment(NOETL_SERVER_URL=run.url, PYTHONUNBUFFERED=unbuffered),
            stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert bytes_max == (tmp_path / "full").stat().st_size
    message = "noetl-metrics: the output cannot be written: File too large\n"
    assert (1, message) == (ended.returncode, ended.stderr)


def test_a_terminal_gets_a_summary(run, exported, tmp_path):
    """Progress is gone when the work is done, and the summary stays."""
    path = tmp_path / "shown.jsonl"
    with in_terminal(
        80, 24, "export", str(path), "-c", exported, NOETL_SERVER_URL=run.url
    ) as terminal:
        lines = terminal.read_to_end()
    assert "1,000 samples" in "".join(lines)


def test_a_file_that_is_there_is_not_overwritten(run, tmp_path):
    """The line says what to do, and the code is 2."""
    path = tmp_path / "there"
    path.write_text("mine")
    result = run("export", str(path))
    assert (2, f"noetl-metrics: {path} is there already: name another file, or remove it\n") == (
        result.code, result.err,
    )  # fmt: skip
    assert "mine" == path.read_text()


def test_an_export_goes_on_with_its_own_filters_only(run, tmp_path):
    """Others would make a file of two halves."""
    path = tmp_path / "begun"
    side = tmp_path / "begun.progress"
    filters = {"component_name": "x", "end_time": "2026-01-01T00:00:00+00:00"}
    side.write_text(json.dumps({"bytes": 0, "samples": 0, "cursor": None, "filters": filters}))
    result = run("export", str(path), "-c", "y")
    assert (2, 1) == (result.code, result.err.count("\n"))
    assert f"{path} was begun with other filters" in result.err
    side.write_text("garbage")
    broken = run("export", str(path))
    assert (1, 1) == (broken.code, broken.err.count("\n"))
    assert "remove it to begin anew" in broken.err


def test_a_folder_that_cannot_be_written_is_one_line(run):
    """The line names the file."""
    result = run("export", "/nowhere/file.jsonl")
    assert (1, 1) == (result.code, result.err.count("\n"))
    assert "/nowhere/file.jsonl" in result.err
