"""The exposition, the settings and the cursor: pure, and fuzzed."""

from __future__ import annotations

import base64
import json
import math
import shutil
import struct
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from server_stub.cursor import Position, decode_cursor, encode_cursor
from server_stub.errors import ParameterInvalidError
from server_stub.exposition import LatestSample, render
from server_stub.settings import Settings, parse_settings


def latest(**fields: Any) -> LatestSample:
    given_fields: dict[str, Any] = {
        "runtime_id": 1,
        "component_name": "cpu-01",
        "component_type": "worker_pool",
        "metric_name": "jobs_total",
        "metric_type": "counter",
        "metric_value": 1.0,
        "labels": {},
        "help_text": None,
    } | fields
    given_fields["labels"] = json.dumps(given_fields["labels"])
    return LatestSample(**given_fields)


def parsed(page: str) -> list[tuple[str, dict[str, str], float]]:
    """Return what prometheus_client reads from a page."""
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]


label_names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
series = st.builds(
    latest,
    runtime_id=st.integers(1, 3),
    component_name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    metric_name=st.sampled_from(["a", "a_total", "a_sum", "a_count", "a_bucket", "a_count_sum"]),
    metric_type=st.sampled_from(["counter", "gauge", "histogram", "summary"]),
    metric_value=st.floats(),
    labels=st.dictionaries(
        label_names | st.sampled_from(["le", "quantile", "component", "runtime_id"]),
        st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(["0.5", "+Inf", "1"]),
        max_size=3,
    ),
    help_text=st.none() | st.text(st.characters(exclude_categories=["Cs"])),
)


@given(st.lists(series, unique_by=lambda s: (s.runtime_id, s.metric_name, str(s.labels))))
def test_every_page_is_read_back(found: list[LatestSample]) -> None:
    """Whatever components report, a page has each of their samples once and one TYPE a family."""
    page = render(found)
    read = parsed(page)
    # The parser gives a counter its suffix where it has none.
    assert sorted(name.removesuffix("_total") for name, _, _ in read) == sorted(
        it.metric_name.removesuffix("_total") for it in found
    )
    assert sorted(map(repr, (value for _, _, value in read))) == sorted(
        repr(it.metric_value) for it in found
    )
    assert sorted(labels["component"] for _, labels, _ in read) == sorted(
        it.component_name for it in found
    )
    types = [line.split()[2] for line in page.split("\n") if line.startswith("# TYPE ")]
    assert len(types) == len(set(types))


def test_a_histogram_is_one_family_in_order() -> None:
    """Buckets come by their bounds, `+Inf` last, then sum and count."""
    parts = [
        ("_count", None),
        ("_bucket", "+Inf"),
        ("_bucket", "10"),
        ("_sum", None),
        ("_bucket", "2.5"),
    ]
    page = render(
        latest(
            metric_name="seconds" + suffix,
            metric_type="histogram",
            labels={} if le is None else {"le": le},
            help_text="How long\nit took \\",
        )
        for suffix, le in parts
    )
    own = 'runtime_id="1",component="cpu-01",component_type="worker_pool"'
    assert page.splitlines() == [
        "# HELP seconds How long\\nit took \\\\",
        "# TYPE seconds histogram",
        f'seconds_bucket{{le="2.5",{own}}} 1.0',
        f'seconds_bucket{{le="10",{own}}} 1.0',
        f'seconds_bucket{{le="+Inf",{own}}} 1.0',
        f"seconds_sum{{{own}}} 1.0",
        f"seconds_count{{{own}}} 1.0",
    ]


def test_special_values_and_own_labels() -> None:
    """NaN and infinities are written as the format has them; a reserved label is renamed."""
    values = [math.nan, math.inf, -math.inf]
    page = render(
        latest(metric_value=value, labels={"component": "mine", "n": str(number)})
        for number, value in enumerate(values)
    )
    assert ["NaN", "+Inf", "-Inf"] == [line.rsplit(" ", 1)[1] for line in page.splitlines()[1:]]
    assert {"mine"} == {labels["exported_component"] for _, labels, _ in parsed(page)}
    assert {"cpu-01"} == {labels["component"] for _, labels, _ in parsed(page)}


def test_components_may_disagree() -> None:
    """The first help text is shown, and a name of two types is untyped."""
    page = render(
        [latest(runtime_id=2, help_text="two"), latest(help_text="one", metric_type="gauge")]
    )
    assert ["# HELP jobs_total one", "# TYPE jobs_total untyped"] == page.splitlines()[:2]
    assert 2 == len(parsed(page))


def test_names_of_others_that_are_not_valid_are_counted() -> None:
    """A row that no ingest has checked is left out, and the page says so."""
    page = render([latest(metric_name="a-b"), latest(labels={"a.b": "c"}), latest()])
    assert 1 == len(parsed(page))
    assert page.endswith("# 2 series omitted: their names are not valid in this format\n")


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_reads_a_page() -> None:
    """Prometheus' own tool reads what is exposed."""
    page = render([latest(), latest(metric_name="load", metric_type="gauge", help_text="Load")])
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False
    )
    assert "error while linting" not in checked.stderr


@given(
    st.builds(Position, st.datetimes(timezones=st.just(UTC)), st.integers(1, 2**63 - 1)),
    st.dictionaries(st.text(), st.text()),
)
def test_a_cursor_comes_back(position: Position, query: dict[str, str]) -> None:
    """A cursor is the position that it was made of, for the same query."""
    assert decode_cursor(encode_cursor(position, query), query) == position


def test_a_cursor_of_no_point_in_time_is_refused() -> None:
    """Even the digest of the right query does not make a time of any number."""
    genuine = encode_cursor(Position(datetime(9999, 12, 31, tzinfo=UTC), 1), {})
    packed = base64.urlsafe_b64decode(genuine)
    forged = base64.urlsafe_b64encode(struct.pack(">q", 2**63 - 1) + packed[8:]).decode()
    with pytest.raises(ParameterInvalidError, match="is not valid"):
        decode_cursor(forged, {})


@given(st.text(st.characters()))
def test_any_text_is_no_cursor(text: str) -> None:
    """What this server has not made is refused."""
    with pytest.raises(ParameterInvalidError):
        decode_cursor(text, {})


def test_flags_win_over_variables_over_defaults() -> None:
    """Every setting has a flag and a variable."""
    assert parse_settings([], {}) == Settings()
    variables = {
        "NOETL_METRICS_SERVER_PORT": "1",
        "NOETL_METRICS_SERVER_HOST": "::1",
        "NOETL_METRICS_SERVER_MAINTENANCE_INTERVAL_SECONDS": "2.5",
    }
    assert parse_settings(["--port=0"], variables) == Settings(
        port=0, host="::1", maintenance_interval_seconds=2.5
    )


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names the flag and the variable of every setting."""
    with pytest.raises(SystemExit, match="0"):
        parse_settings(["--help"], {})
    shown = "".join(capsys.readouterr().out.split())
    for name in Settings.__dataclass_fields__:
        assert f"--{name.replace('_', '-')}" in shown
        assert f"NOETL_METRICS_SERVER_{name.upper()}" in shown


@pytest.mark.parametrize(
    ("flag", "value", "right"),
    [
        ("--port", "65536", "a whole number from 0 to 65535"),
        ("--host", "", "must not be empty"),
        ("--database-url", "mysql://me:hidden@x/y", "a URL like postgresql://"),
        ("--maintenance-interval-seconds", "nan", "a number of seconds"),
        ("--exposition-lookback-seconds", "x", "a number of seconds"),
        ("--body-bytes-max", "1e6", "a whole number"),
        ("--samples-max", "0", "a whole number from 1"),
        ("--pool-size", "-1", "a whole number from 1"),
        ("--component-name", " ", "must not be empty"),
    ],
)
def test_a_bad_setting_is_named(
    capsys: pytest.CaptureFixture[str], flag: str, value: str, right: str
) -> None:
    """The message names flag or variable, value and what is right; a password stays hidden."""
    variable = "NOETL_METRICS_SERVER_" + flag.removeprefix("--").replace("-", "_").upper()
    for arguments, variables, source in (
        ([f"{flag}={value}"], {}, flag), ([], {variable: value}, variable),
    ):  # fmt: skip
        with pytest.raises(SystemExit, match="2"):
            parse_settings(arguments, variables)
        said = capsys.readouterr().err
        assert f"{source} " in said
        assert right in said
        assert "hidden" not in said
