"""`noetl-metrics import`."""

from __future__ import annotations

import json
import os
import subprocess
import time

import pytest

from noetl_metrics_cli.api.connection import connected
from noetl_metrics_cli.transfer.importing import Import
from noetl_metrics_cli.transfer.reading import Component, JsonLineReader
from noetl_metrics_cli.transfer.side_file import write_side_file
from tests.command.running import PROGRAM, environment
from tests.server.application import sample

pytestmark = pytest.mark.once

WRITE_SIDE_FILE = "noetl_metrics_cli.transfer.importing.write_side_file"

LINES = 4_500
"""More than two batches."""


@pytest.fixture
def lines_file(tmp_path, request):
    """A file of samples, of a component that is called as the test is."""
    now = time.time()
    path = tmp_path / "samples.jsonl"
    name = component_of(request)
    path.write_text("".join(line(name, n, now) for n in range(LINES)))
    return path


def component_of(request) -> str:
    name: str = request.node.name
    return name


def line(component: str, number: int, now: float) -> str:
    body = sample(metric_value=number, labels={"n": str(number)}, timestamp=now - 60)
    return json.dumps({"component_name": component, **body}) + "\n"


def count(run, component: str) -> int:
    return len(run("query", "-c", component, "-n", "50000", "--json").json_lines)


def test_a_file_is_inserted_and_a_repetition_inserts_nothing(run, lines_file, request):
    """Neither with the side file, nor without it: the batches have the same names."""
    assert 0 == run("import", str(lines_file)).code
    again = run("import", str(lines_file), "--json").json
    assert (0, 0) == (again["inserted"], again["known"])
    (lines_file.parent / "samples.jsonl.imported").unlink()
    elsewhere = run("import", str(lines_file), "--json").json
    assert (0, LINES, 0) == (elsewhere["inserted"], elsewhere["known"], elsewhere["rejected"])
    assert LINES == count(run, component_of(request))


def test_a_file_that_has_grown_inserts_what_is_new(run, lines_file, request):
    """Also what comes into the batch that was the last one."""
    assert 0 == run("import", str(lines_file)).code
    with lines_file.open("a") as file:
        file.writelines(line(component_of(request), LINES + n, time.time()) for n in range(10))
    result = run("import", str(lines_file))
    assert "inserted 10 samples," in result.out
    assert LINES + 10 == count(run, component_of(request))


class KilledError(Exception):
    """The import is killed."""


def test_an_import_that_breaks_off_goes_on_and_inserts_each_sample_once(run, lines_file, request):
    """The batch whose answer was lost is sent again, and is there already."""
    name = component_of(request)
    side = lines_file.with_name("samples.jsonl.imported")

    def end_before_the_second(path, content):
        if side.exists():
            raise KilledError
        write_side_file(path, content)

    with connected(run.url, {}) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(WRITE_SIDE_FILE, end_before_the_second)
        work = Import(server, JsonLineReader(None), "", side, print)
        with lines_file.open("rb") as file, pytest.raises(KilledError):
            work.run(file, lambda *_: None)
    assert 4000 == count_by_url(run, name)
    answer = run("import", str(lines_file), "--json").json
    assert (500, 2000) == (answer["inserted"], answer["known"])
    assert LINES == count_by_url(run, name)


def count_by_url(run, component: str) -> int:
    with connected(run.url, {}) as server:
        page = server.get("/api/metrics", component_name=component, limit=10_000)
        return len(page["metrics"])


def test_what_was_exported_is_imported_as_it_was(run, tmp_path):
    """Name, type, value, labels, help text, unit and time are the same in another component."""
    run.insert(
        "original",
        sample(metric_value="NaN", labels={"a": "ü"}, help_text="Jobs", unit="jobs"),
        sample(metric_name="depth", metric_type="gauge", metric_value=0.1),
    )
    path = tmp_path / "file"
    run("export", str(path), "-c", "original")
    assert 0 == run("import", str(path), "-c", "restored", "--kind=broker").code
    kept = (
        "metric_name",
        "metric_type",
        "metric_value",
        "labels",
        "help_text",
        "unit",
        "timestamp",
    )
    first, second = (
        [[one[field] for field in kept] for one in run("query", "-c", name, "--json").json_lines]
        for name in ("original", "restored")
    )
    assert first == second


def test_a_page_of_prometheus_is_imported(run, tmp_path):
    """Its declarations describe the samples; those without a time have the time of the file."""
    path = tmp_path / "page.txt"
    path.write_text(
        "# HELP took_seconds How long\n# TYPE took_seconds histogram\n"
        'took_seconds_bucket{le="+Inf"} 3\ntook_seconds_count 3\n'
        f"depth 7 {(time.time() - 100) * 1000:.0f}\n"
    )
    moment = int(time.time()) - 50
    os.utime(path, (moment, moment))
    result = run("import", str(path), "-c", "page")
    assert (0, True) == (result.code, "inserted 3 samples," in result.out)
    rows = {row["metric_name"]: row for row in run("query", "-c", "page", "--json").json_lines}
    assert ("histogram", "How long", {"le": "+Inf"}) == tuple(
        rows["took_seconds_bucket"][field] for field in ("metric_type", "help_text", "labels")
    )
    assert "gauge" == rows["depth"]["metric_type"]
    assert rows["depth"]["timestamp"] < rows["took_seconds_count"]["timestamp"]


def test_a_page_of_the_server_names_its_components(run, tmp_path):
    """Its labels for the component are not labels of the samples."""
    path = tmp_path / "page.txt"
    path.write_text('up{component="paged",component_type="broker",runtime_id="1",a="b"} 1\n')
    assert 0 == run("import", str(path)).code
    (row,) = run("query", "-c", "paged", "--json").json_lines
    assert ("broker", {"a": "b"}) == (row["component_type"], row["labels"])


def test_a_pipe_is_imported(run, tmp_path):
    """A file of - is the standard input; the same content in a file has the same name."""
    content = "up 1\n"
    piped = subprocess.run(
        [*PROGRAM, "import", "-", "-c", "piped", "--json"],
        input=content, env=environment(NOETL_SERVER_URL=run.url),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert 1 == json.loads(piped.stdout)["inserted"]
    path = tmp_path / "page"
    path.write_text(content)
    assert 1 == run("import", str(path), "-c", "piped", "--json").json["known"]


def test_what_is_rejected_is_named_and_counted(run, tmp_path):
    """By its line, whether the command or the server refuses it; the code is 1."""
    path = tmp_path / "bad.jsonl"
    good = {"component_name": "partly", **sample()}
    path.write_text(
        "\n".join(
            [
                json.dumps(good),
                "not json",
                json.dumps(good | {"metric_name": "no good"}),
                json.dumps(sample()),
                "[]",
                "",
            ]
        )
    )
    result = run("import", str(path), "--format=json")
    assert 1 == result.code
    assert "inserted 1 samples, 4 rejected" in result.out
    for number, reason in (
        (2, "it is no JSON"),
        (3, "no good"),
        (4, "it names no component: give --component NAME"),
        (5, "it must be an object"),
    ):
        (said,) = [one for one in result.err.splitlines() if f"line {number}:" in one]
        assert reason in said


def test_a_busy_server_is_asked_again(run, lines_file, monkeypatch):
    """A batch that is answered 503 is sent again under its name."""
    monkeypatch.setattr("noetl_metrics_cli.transfer.importing.time.sleep", lambda _: None)
    said: list[str] = []
    with connected(run.url, {}) as server:
        answers = iter([503, 503])
        ask = server.ask

        def busy_at_first(method, path, **options):
            answer = ask(method, path, **options)
            status = next(answers, None) if path == "/api/metrics" else None
            if status is None:
                return answer
            return type(answer)(status, {"Retry-After": "1"}, {}, "busy")

        monkeypatch.setattr(server, "ask", busy_at_first)
        work = Import(
            server, JsonLineReader(Component("broker", "busy")), "busy", None, said.append
        )
        with lines_file.open("rb") as file:
            work.run(file, lambda *_: None)
    assert (LINES, 0) == (work.outcome.inserted + work.outcome.known, work.outcome.rejected)
    assert ["503: busy; again in 1 s"] * 2 == said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere"], "'/nowhere' does not exist"),
        (["FILE", "--format=csv"], "'csv' is not one of 'auto', 'json', 'prometheus'"),
        (["FILE", "--kind=pool"], "'pool' is not one of 'worker_pool', 'server_api', 'broker'"),
        (["FILE", "--server=x"], "give a URL like http://localhost:8082"),
        ([], "Missing argument 'FILE'"),
    ],
)
def test_a_bad_option_is_one_line(run, lines_file, arguments, message):
    """The line says what a right value looks like."""
    given = [str(lines_file) if one == "FILE" else one for one in arguments]
    result = run("import", *given)
    assert (2, "", 1) == (result.code, result.out, result.err.count("\n"))
    assert message in result.err
