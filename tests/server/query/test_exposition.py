"""The page for Prometheus: its content, its forms, and the programs that read it."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families

from noetl_metrics_sdk.exposition.page import Page
from noetl_metrics_sdk.exposition.samples import PageFormat
from server_stub.exposition import page
from server_stub.query.exposition import LatestSample, render
from tests.server.application import insert, running_api, sample

if TYPE_CHECKING:
    from tests.server.application import Api

# These tests depend on no interpreter.
pytestmark = pytest.mark.once

OPENMETRICS = "application/openmetrics-text"
PROMETHEUS_ACCEPTS = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)


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
    given_fields["metric_value"] = float(given_fields["metric_value"])
    return LatestSample(**given_fields)


def histogram(
    buckets: dict[str, float], total: float = 1.0, count: float | None = None, **fields: Any
) -> list[LatestSample]:
    """Return the rows of one histogram series, `seconds` unless a name is given."""
    name = fields.pop("metric_name", "seconds")
    labels = fields.pop("labels", {})
    fields = {"metric_type": "histogram", **fields}
    parts = [
        latest(
            metric_name=f"{name}_bucket", metric_value=value, labels={**labels, "le": le}, **fields
        )
        for le, value in buckets.items()
    ]
    ends = {"_sum": total, "_count": max(buckets.values()) if count is None else count}
    return parts + [
        latest(metric_name=name + suffix, metric_value=value, labels=labels, **fields)
        for suffix, value in ends.items()
    ]


def parsed(page: str) -> list[tuple[str, dict[str, str], float]]:
    """Return what prometheus_client reads from a page of the text format."""
    return [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    ]


def families(page: str) -> dict[str, Any]:
    """Return what the strict parser reads from a page of OpenMetrics, by name."""
    return {family.name: family for family in openmetrics_families(page)}


def openmetrics(rows: list[LatestSample]) -> str:
    return render(rows, PageFormat.OPENMETRICS).text


texts = st.text(st.characters(exclude_categories=["Cs"]))
label_names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
series = st.builds(
    latest,
    runtime_id=st.integers(1, 3),
    component_name=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
    metric_name=st.sampled_from(
        ["a", "a_total", "a_sum", "a_count", "a_bucket", "a_count_sum", "a_created", "a_info"]
    ),
    metric_type=st.sampled_from(["counter", "gauge", "histogram", "summary"]),
    metric_value=st.floats() | st.integers(0, 3).map(float),
    labels=st.dictionaries(
        label_names | st.sampled_from(["le", "quantile", "component", "runtime_id"]),
        texts | st.sampled_from(["0.5", "+Inf", "1", "1e3", "-1", "2"]),
        max_size=3,
    ),
    help_text=st.none() | texts,
    unit=st.none() | st.sampled_from(["a", "total", "seconds", ""]),
)
histograms = st.builds(
    histogram,
    st.dictionaries(
        st.sampled_from(["-1", "0", "1", "1.0", "2e6", "+Inf"]),
        st.integers(0, 2).map(float) | st.floats(),
        min_size=1,
    ),
    total=st.floats(),
    count=st.none() | st.integers(0, 2).map(float),
    metric_name=st.sampled_from(["a", "b"]),
    labels=st.dictionaries(label_names, texts, max_size=1),
)


@st.composite
def pages(draw: st.DrawFn) -> list[LatestSample]:
    """Return rows of distinct series, as the query returns them."""
    rows = draw(st.lists(series)) + [row for rows in draw(st.lists(histograms)) for row in rows]
    return list(
        {(row.runtime_id, row.metric_name, series_labels(row)): row for row in rows}.values()
    )


def series_labels(row: LatestSample) -> frozenset[tuple[str, str]]:
    """Return the labels of a row's series: one with an empty value is none."""
    return frozenset(
        (name, value) for name, value in json.loads(row.labels or "{}").items() if value
    )


@given(pages())
def test_every_page_is_read_back(found: list[LatestSample]) -> None:
    """Whatever components report, a page has each sample at most once, and one TYPE a family."""
    page = render(found)
    read = parsed(page.text)
    # The parser gives the samples of a counter `a` the name `a_total`, which another may have.
    shown = [line.rpartition(" ")[0] for line in page.text.split("\n") if line[:1] not in {"", "#"}]
    assert len(set(shown)) == len(shown) == len(read)
    # Only series of histograms and summaries can be left out.
    scalars = [row for row in found if row.metric_type in {"counter", "gauge"}]
    assert len(scalars) <= len(read) <= len(found)
    assert (len(read) == len(found)) == (page.omitted_count == 0)
    types = [line.split()[2] for line in page.text.split("\n") if line.startswith("# TYPE ")]
    assert len(types) == len(set(types))


@given(pages())
def test_every_page_of_openmetrics_is_valid(found: list[LatestSample]) -> None:
    """The strict parser reads every page, and finds as many samples as the text format has."""
    page = openmetrics(found)
    read = [s for family in openmetrics_families(page) for s in family.samples]
    assert page.endswith("# EOF\n")
    assert len(read) <= len(found)


def test_openmetrics_has_families_without_suffix_units_and_an_end() -> None:
    """A counter's family has no `_total`; a unit is given if the name ends in it."""
    rows = [
        latest(help_text='Jobs "done"\n\\', unit="jobs"),
        latest(metric_name="queue_bytes", metric_type="gauge", unit="bytes", help_text="Waiting"),
        latest(metric_name="load", metric_type="gauge", unit="jobs", metric_value=0.25),
        latest(metric_name="read_bytes_total", unit="bytes", metric_value=3),
    ]
    own = '{runtime_id="1",component="cpu-01",component_type="worker_pool"}'
    assert openmetrics(rows).splitlines() == [
        '# HELP jobs Jobs \\"done\\"\\n\\\\',
        "# TYPE jobs counter",
        f"jobs_total{own} 1.0",
        "# TYPE load gauge",
        f"load{own} 0.25",
        "# HELP queue_bytes Waiting",
        "# TYPE queue_bytes gauge",
        "# UNIT queue_bytes bytes",
        f"queue_bytes{own} 1.0",
        "# TYPE read_bytes counter",
        "# UNIT read_bytes bytes",
        f"read_bytes_total{own} 3.0",
        "# EOF",
    ]


def test_openmetrics_has_bounds_in_canonical_form() -> None:
    """`le` and `quantile` are written as the specification writes floats, however reported."""
    rows = histogram({"1": 1, "2.50": 1, "1000000": 2, "+Inf": 2}) + [
        latest(metric_name="s" + suffix, metric_type="summary", labels=labels)
        for suffix, labels in (("", {"quantile": "1"}), ("_sum", {}), ("_count", {}))
    ]
    found = families(openmetrics(rows))
    bounds = [s.labels["le"] for s in found["seconds"].samples if "le" in s.labels]
    assert ["1.0", "2.5", "1e+06", "+Inf"] == bounds
    assert ["1.0"] == [s.labels["quantile"] for s in found["s"].samples if "quantile" in s.labels]


@pytest.mark.parametrize(
    ("rows", "names"),
    [
        ([latest(metric_name="jobs")], {"jobs"}),
        ([latest(metric_value=-1.0)], {"jobs_total"}),
        ([latest(metric_value=math.nan)], {"jobs_total"}),
        (
            histogram({"1": 1, "+Inf": 1}, total=-1.0),
            {"seconds_bucket", "seconds_sum", "seconds_count"},
        ),
        (
            histogram({"-1": 1, "+Inf": 1}),
            {"seconds_bucket", "seconds_sum", "seconds_count"},
        ),
        (
            histogram({"1": 0.5, "+Inf": 0.5}),
            {"seconds_bucket", "seconds_sum", "seconds_count"},
        ),
        (
            [
                latest(metric_name="s" + suffix, metric_type="summary", labels=labels)
                for suffix, labels in (("", {"quantile": "2"}), ("_sum", {}), ("_count", {}))
            ],
            {"s", "s_sum", "s_count"},
        ),
        # Both would be the family `jobs`.
        ([latest(), latest(metric_name="jobs", metric_type="gauge")], {"jobs_total", "jobs"}),
    ],
)
def test_what_openmetrics_has_no_form_for_is_unknown(
    rows: list[LatestSample], names: set[str]
) -> None:
    """No value is lost and the page stays valid: each sample has its own name there."""
    found = families(openmetrics(rows))
    assert dict.fromkeys(names, "unknown") == {name: it.type for name, it in found.items()}
    read = [(s.name, repr(s.value)) for it in found.values() for s in it.samples]
    assert sorted((row.metric_name, repr(float(row.metric_value))) for row in rows) == sorted(read)


def test_when_a_series_began_belongs_to_its_family() -> None:
    """What prometheus_client reports as `_created` is a part of the counter in OpenMetrics."""
    created = latest(metric_name="jobs_created", metric_type="gauge", metric_value=1.5e9)
    page = openmetrics([created, latest()])
    assert {"jobs": ["jobs_total", "jobs_created"]} == {
        name: [s.name for s in it.samples] for name, it in families(page).items()
    }


def test_a_histogram_is_one_family_in_order() -> None:
    """Buckets come by their bounds, `+Inf` last, then sum and count."""
    rows = histogram(
        {"+Inf": 1, "10": 1, "2.5": 1}, help_text="How long\nit took \\", metric_name="seconds"
    )
    own = 'runtime_id="1",component="cpu-01",component_type="worker_pool"'
    assert render(rows[::-1]).text.splitlines() == [
        "# HELP seconds How long\\nit took \\\\",
        "# TYPE seconds histogram",
        f'seconds_bucket{{le="2.5",{own}}} 1.0',
        f'seconds_bucket{{le="10",{own}}} 1.0',
        f'seconds_bucket{{le="+Inf",{own}}} 1.0',
        f"seconds_sum{{{own}}} 1.0",
        f"seconds_count{{{own}}} 1.0",
    ]


@pytest.mark.parametrize("page_format", PageFormat)
@pytest.mark.parametrize(
    "rows",
    [
        histogram({"1": 1, "+Inf": 1})[1:-1],  # without its count
        histogram({"1": 1, "+Inf": 1})[:-2],  # without sum and count
        histogram({"1": 1, "2": 1}),  # without +Inf
        histogram({"1": 2, "+Inf": 1}, count=1),  # a bucket of a later moment, by its value
        histogram({"1": 1, "+Inf": 2}, count=1),  # the count of an earlier one
        histogram({"1": 1, "1.0": 1, "+Inf": 1}),  # one bound twice
        [  # a bucket of a later moment, by its time
            row._replace(taken_at=2.0 if place == 0 else 1.0)
            for place, row in enumerate(histogram({"1": 1, "+Inf": 1}))
        ],
        [latest(metric_name="seconds_sum", metric_type="summary")],
    ],
)
def test_a_distribution_is_whole_or_not_there(
    rows: list[LatestSample], page_format: PageFormat
) -> None:
    """A series with samples of several moments is left out and counted, and no other one."""
    others = histogram({"1": 1, "+Inf": 1}, labels={"other": "1"}, metric_type=rows[0].metric_type)
    if rows[0].metric_type == "summary":
        others = others[-2:]
    page = render(rows + others, page_format)
    assert 1 == page.omitted_count
    assert len(others) == sum('other="1"' in line for line in page.text.splitlines())
    assert len(others) == sum(line[0] != "#" for line in page.text.splitlines())


def test_a_bucket_that_has_not_changed_may_be_older() -> None:
    """A client sends only changes, so buckets below an observation stay as they were."""
    rows = histogram({"1": 1, "2": 2, "+Inf": 2}, total=3.0)
    rows[0] = rows[0]._replace(taken_at=1.0)
    rows[1:3] = [row._replace(taken_at=2.0) for row in rows[1:3]]
    assert 0 == render(rows).omitted_count


def test_special_values_and_own_labels() -> None:
    """NaN and infinities have the text of the format; a reserved label gets another name."""
    values = [math.nan, math.inf, -math.inf]
    page = render(
        latest(metric_value=value, labels={"component": "mine", "n": str(number)})
        for number, value in enumerate(values)
    ).text
    assert ["NaN", "+Inf", "-Inf"] == [line.rsplit(" ", 1)[1] for line in page.splitlines()[1:]]
    assert {"mine"} == {labels["exported_component"] for _, labels, _ in parsed(page)}
    assert {"cpu-01"} == {labels["component"] for _, labels, _ in parsed(page)}


def test_components_may_disagree() -> None:
    """The page shows the first help text; a name of two types is untyped."""
    rows = [latest(help_text="one", metric_type="gauge"), latest(runtime_id=2, help_text="two")]
    page = render(rows).text
    assert ["# HELP jobs_total one", "# TYPE jobs_total untyped"] == page.splitlines()[:2]
    assert 2 == len(parsed(page))
    assert "unknown" == families(openmetrics(rows))["jobs_total"].type


def test_names_of_others_that_are_not_valid_are_counted() -> None:
    """A row that did not pass the ingest is left out if it is invalid, and the page says so."""
    rows = [latest(metric_name="a-b"), latest(labels={"a.b": "c"}), latest()]
    page = render(rows)
    assert (1, 2) == (len(parsed(page.text)), page.omitted_count)
    assert page.text.endswith("# 2 series omitted: their names are not valid in this format\n")
    assert 2 == render(rows, PageFormat.OPENMETRICS).omitted_count


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_is_silent_about_a_page(embedded_api: Api) -> None:
    """Prometheus' own linter finds nothing in workers' metrics and the server's own."""
    runtime_id = embedded_api.register("cpu-01")
    described = {"help_text": "What it is"}
    insert(
        embedded_api,
        runtime_id,
        sample(labels={"a": 'x"\n\\ü'}, **described),
        sample(metric_name="queue_bytes", metric_type="gauge", metric_value="NaN", **described),
        *[
            {
                "metric_name": row.metric_name,
                "metric_type": row.metric_type,
                "metric_value": row.metric_value,
                "labels": json.loads(row.labels or "{}"),
                **described,
            }
            for row in histogram({"1": 1, "+Inf": 2}, metric_name="job_seconds")
        ],
        *[
            sample(metric_name="s_seconds" + end, metric_type="summary", labels=own, **described)
            for end, own in (("", {"quantile": "0.5"}), ("_sum", {}), ("_count", {}))
        ],
    )
    page = embedded_api.get("/metrics").text
    assert {"jobs_total", "job_seconds_bucket", "s_seconds"} <= {
        name for name, _, _ in parsed(page)
    }
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=page, text=True, capture_output=True, check=False
    )
    assert (0, "", "") == (checked.returncode, checked.stdout, checked.stderr)


def test_accept_chooses_the_format(embedded_api: Api) -> None:
    """Prometheus gets OpenMetrics and curl the text format, on both paths, with exact types."""
    insert(embedded_api, embedded_api.register(), sample())
    for path in ("/metrics", "/api/metrics/prometheus"):
        plain = embedded_api.get(path)
        strict = embedded_api.get(path, headers={"accept": PROMETHEUS_ACCEPTS})
        assert str(PageFormat.TEXT) == plain.headers["content-type"]
        assert str(PageFormat.OPENMETRICS) == strict.headers["content-type"]
        assert "jobs_total" in {name for name, _, _ in parsed(plain.text)}
        assert "jobs" in families(strict.text)
        assert {"Accept, Accept-Encoding"} == {plain.headers["vary"], strict.headers["vary"]}


def test_a_page_is_compressed_for_those_who_take_it(embedded_api: Api) -> None:
    """A client that takes gzip gets the same page compressed; a page of one packet stays plain."""
    runtime_id = embedded_api.register("cpu-01")
    insert(embedded_api, runtime_id, sample())
    mine = {"runtime_id": runtime_id}
    small = embedded_api.get("/metrics", params=mine, headers={"accept-encoding": "gzip"})
    assert ("content-encoding" in small.headers, 2) == (False, len(small.text.splitlines()))
    insert(embedded_api, runtime_id, *[sample(labels={"n": str(n)}) for n in range(100)])
    packed = embedded_api.get("/metrics", params=mine, headers={"accept-encoding": "gzip"})
    plain = embedded_api.get("/metrics", params=mine, headers={"accept-encoding": "gzip;q=0"})
    assert "gzip" == packed.headers["content-encoding"]
    assert "content-encoding" not in plain.headers
    assert plain.text == packed.text
    assert int(packed.headers["content-length"]) * 5 < int(plain.headers["content-length"])


def test_filters_choose_components(api: Api) -> None:
    """`runtime_id` and `component_name` choose what is on the page, and both have to hold."""
    first, second = api.register("cpu-01"), api.register("cpu-02")
    same_name = api.register("cpu-02", kind="broker")
    for runtime_id, name in ((first, "a"), (second, "b"), (same_name, "c")):
        insert(api, runtime_id, sample(metric_name=name, metric_type="gauge"))
    expected: list[tuple[dict[str, str], set[str]]] = [
        ({"runtime_id": first}, {"a"}),
        ({"component_name": "cpu-01"}, {"a"}),
        ({"component_name": "cpu-02"}, {"b", "c"}),
        ({"component_name": "cpu-02", "runtime_id": second}, {"b"}),
        ({"component_name": "cpu-01", "runtime_id": second}, set()),
        ({"component_name": "nobody"}, set()),
    ]
    for path in ("/metrics", "/api/metrics/prometheus"):
        for parameters, names in expected:
            page = api.get(path, params=parameters).text
            assert names == {name for name, _, _ in parsed(page)}, parameters


@pytest.mark.parametrize("parameters", [{"runtime_id": "x"}, {"runtime": "1"}])
def test_a_filter_that_is_not_valid_is_refused(
    embedded_api_shared: Api, parameters: dict[str, str]
) -> None:
    """A misspelt filter is refused, and does not answer with everything."""
    answer = embedded_api_shared.get("/metrics", params=parameters)
    assert answer.status_code in {400, 422}
    assert next(iter(parameters)) in answer.json()["detail"]


def test_a_series_is_stale_after_the_lookback(database_url: str) -> None:
    """A series that was not reported for the stated time is on no page, filtered or not."""
    with running_api(database_url, exposition_lookback_seconds=100.0) as api:
        runtime_id = api.register("cpu-01")
        insert(
            api,
            runtime_id,
            *[sample(metric_name=name, metric_type="gauge") for name in ("stale", "fresh")],
        )
        api.sql(
            "UPDATE noetl.metric SET created_at = created_at - interval '101 s' * (metric_name = "
            "'stale')::int, timestamp = timestamp - interval '101 s' * (metric_name = 'stale')::int"
        )
        for parameters in ({}, {"runtime_id": runtime_id}, {"component_name": "cpu-01"}):
            page = api.get("/metrics", params=parameters).text
            names = {name for name, _, _ in parsed(page) if not name.startswith("noetl_")}
            assert {"fresh"} == {name for name in names if name in {"stale", "fresh"}}


def test_what_is_left_out_is_counted(embedded_api: Api) -> None:
    """OpenMetrics has no comments, so the server's own metrics say how much was left out."""
    insert(
        embedded_api, embedded_api.register(), sample(metric_type="histogram", metric_name="x_sum")
    )
    embedded_api.get("/metrics", headers={"accept": OPENMETRICS})
    counter = embedded_api.app.state.resources.statistics.exposition_series_omitted
    assert [1.0] == [s.value for family in counter.collect() for s in family.samples]


def test_a_page_for_prometheus_holds_up_nobody(
    embedded_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server makes a page of many series, it answers other requests."""
    rendering, served = threading.Event(), threading.Event()

    def render_slowly(*_: object) -> Any:
        rendering.set()
        return Page(f"served meanwhile: {served.wait(30)}", 0), {}

    monkeypatch.setattr(page, "render", render_slowly)
    pages: list[str] = []
    scrape = threading.Thread(target=lambda: pages.append(embedded_api.get("/metrics").text))
    scrape.start()
    assert rendering.wait(30)
    assert 200 == embedded_api.get("/healthz").status_code
    served.set()
    scrape.join()
    assert ["served meanwhile: True"] == pages
