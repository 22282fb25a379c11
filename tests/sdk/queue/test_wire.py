"""The wire form: samples as the body of `POST /api/metrics`."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk import MetricType, Series
from noetl_metrics_sdk.model.stamped_sample import LabelSet, SampleForm, StampedSample
from noetl_metrics_sdk.queue.wire import (
    ENVELOPE_BYTES,
    FORMS_CACHED_MAX,
    Batch,
    SampleEncoder,
    json_number,
)
from tests.sdk.stamped import stamped

# The model refuses NUL and surrogates; this leaves out only what UTF-8 cannot encode.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
LABELS = st.dictionaries(TEXT, TEXT, max_size=4)
NAMES = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]*", fullmatch=True)
SAMPLES = st.builds(
    stamped,
    st.builds(Series, NAMES, st.sampled_from(MetricType), LABELS, TEXT, TEXT),
    st.floats(),
    st.floats(0, 4e9),
)


def encoded(sample: StampedSample, constant_labels: dict[str, str] | None = None) -> dict[str, Any]:
    metric = json.loads(SampleEncoder(constant_labels or {}).encode(sample))
    assert isinstance(metric, dict)
    return metric


def refuse_constant(constant: str) -> float:
    raise AssertionError(f"{constant} is no JSON")


def read_number(value: Any) -> float:
    """Return a value as the contract has it: a number, or one of three strings."""
    if isinstance(value, str):
        return {"NaN": math.nan, "+Inf": math.inf, "-Inf": -math.inf}[value]
    assert isinstance(value, float)
    return value


@given(SAMPLES)
def test_sample_is_read_back(sample: StampedSample) -> None:
    """A sample with any name, labels, texts and value is read back as it was sent."""
    line = SampleEncoder({}).encode(sample)
    metric = json.loads(line.decode(), parse_constant=refuse_constant)
    form = sample.form
    value = metric.pop("metric_value")
    assert {
        "metric_name": form.name,
        "metric_type": form.type.value,
        "labels": sample.labels,
        "help_text": form.help_text,
        "unit": form.unit,
        "timestamp": sample.timestamp,
    } == metric
    assert repr(sample.value) == repr(read_number(value))


def test_sample_is_written_in_full() -> None:
    """The bytes of one sample are those in `docs/protocol.md`."""
    series = Series("jobs_total", MetricType.COUNTER, {"pool": "é"}, 'Jobs "done"', "jobs")
    assert (
        '{"metric_name":"jobs_total","metric_type":"counter","help_text":"Jobs \\"done\\"",'
        '"unit":"jobs","labels":{"pool":"é"},"metric_value":3.0,'
        '"timestamp":1700000000.25}'
    ).encode() == SampleEncoder({}).encode(stamped(series, 3.0, 1_700_000_000.25))


@given(st.floats())
def test_number_is_read_back(value: float) -> None:
    """Every float survives to its last bit, or is one of the three strings."""
    written = json_number(value)
    read = read_number(json.loads(written, parse_constant=refuse_constant))
    assert repr(value) == repr(read)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (math.nan, '"NaN"'),
        (math.inf, '"+Inf"'),
        (-math.inf, '"-Inf"'),
        (1, "1.0"),
        (-0.0, "-0.0"),
        (True, "1.0"),
        (2**53, "9007199254740992.0"),
        (1e300, "1e+300"),
    ],
)
def test_number_is_written(value: float, written: str) -> None:
    """A value is written as the shortest number that reads back as the same float."""
    assert written == json_number(value)


class Measurement(float):
    """A float of another library, with a repr of its own."""

    def __repr__(self) -> str:
        return f"Measurement({float(self)})"


def test_subclass_of_float_is_a_number() -> None:
    """A float with a repr of its own, like NumPy's, is written as a number."""
    assert "2.5" == json_number(Measurement(2.5))


@given(LABELS, LABELS)
def test_constant_labels_are_merged(constant: dict[str, str], own: dict[str, str]) -> None:
    """Every sample gets the constant labels, and a label of its own wins over one of them."""
    metric = encoded(stamped(Series("jobs", MetricType.GAUGE, own), 1.0, 0.0), constant)
    merged = {name: text for name, text in constant.items() if text}
    merged |= {name: text for name, text in own.items() if text}
    assert merged == metric["labels"]


def test_constant_labels_are_copied() -> None:
    """Changing the mapping afterwards changes no sample, and encoding changes no series."""
    constant = {"site": "a"}
    encoder = SampleEncoder(constant)
    constant["site"] = "b"
    series = Series("jobs", MetricType.GAUGE, {"pool": "cpu"})
    metric = json.loads(encoder.encode(stamped(series, 1.0, 0.0)))
    assert ({"site": "a", "pool": "cpu"}, {"pool": "cpu"}) == (metric["labels"], series.labels)


@given(st.lists(SAMPLES, max_size=8), st.lists(st.tuples(st.integers(0, 7), st.floats())))
def test_cache_changes_nothing(
    samples: list[StampedSample], again: list[tuple[int, float]]
) -> None:
    """A series that was encoded before gets the same bytes as from a new encoder."""
    encoder = SampleEncoder({"site": "a"})
    later = [
        StampedSample(samples[n].form, samples[n].label_set, value, 5.0)
        for n, value in again
        if n < len(samples)
    ]
    for sample in [*samples, *later]:
        assert SampleEncoder({"site": "a"}).encode(sample) == encoder.encode(sample)


def test_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many series there are, the encoder remembers at most a stated number."""
    monkeypatch.setattr("noetl_metrics_sdk.queue.wire.FORMS_CACHED_MAX", 10)
    encoder = SampleEncoder({})
    remembered = set()
    for number in range(35):
        series = Series(f"jobs_{number}", MetricType.GAUGE, {})
        assert json.loads(encoder.encode(stamped(series, 1.0, 0.0)))["metric_name"] == series.name
        remembered.add(len(encoder._heads))
    assert set(range(1, 11)) == remembered
    assert FORMS_CACHED_MAX == 100_000


@given(st.lists(SAMPLES, max_size=5), st.integers(-(2**63), 2**63 - 1).map(str))
def test_body_is_the_batch(samples: list[StampedSample], runtime_id: str) -> None:
    """The body is one JSON object with the runtime id as a string and the samples in order."""
    encoder = SampleEncoder({})
    items = [encoder.encode(sample) for sample in samples]
    body = Batch("boot:1", items).body(runtime_id)
    expected = {"runtime_id": runtime_id, "metrics": [json.loads(item) for item in items]}
    assert expected == json.loads(body.decode(), parse_constant=refuse_constant)


@given(st.lists(st.binary(max_size=30), max_size=5), st.integers(-(2**63), 2**63 - 1).map(str))
def test_body_is_as_long_as_was_reckoned(lines: list[bytes], runtime_id: str) -> None:
    """Samples, a comma for each, and the envelope are an upper bound of the body's length."""
    body = Batch("k", lines).body(runtime_id)
    assert len(body) <= ENVELOPE_BYTES + sum(len(line) + 1 for line in lines)


def test_runtime_id_is_quoted() -> None:
    """A runtime id that is no number still makes a valid body."""
    assert {"runtime_id": 'a"b', "metrics": []} == json.loads(Batch("k", []).body('a"b'))


def test_identity_labels_win_and_the_series_own_is_kept_beside() -> None:
    """A series cannot pass for another process: its own `worker_id` becomes `exported_…`."""
    encoder = SampleEncoder({"site": "a"}, {"worker_id": "w1"})
    series = Series("jobs", MetricType.GAUGE, {"worker_id": "mine", "site": "own"})
    encoded = json.loads(encoder.encode(stamped(series, 1.0, 0.0)))
    assert {"worker_id": "w1", "exported_worker_id": "mine", "site": "own"} == encoded["labels"]


def test_two_labels_of_a_series_never_get_one_name() -> None:
    """A series with `worker_id` and `exported_worker_id` of its own keeps both beside ours."""
    encoder = SampleEncoder({}, {"worker_id": "w1"})
    series = Series("jobs", MetricType.GAUGE, {"worker_id": "a", "exported_worker_id": "b"})
    labels = json.loads(encoder.encode(stamped(series, 1.0, 0.0)))["labels"]
    assert {
        "worker_id": "w1", "exported_worker_id": "a", "exported_exported_worker_id": "b",
    } == labels  # fmt: skip


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (("", ""), {"site": "x", "worker_id": "w1"}),
        (("a", ""), {"pool": "a", "site": "x", "worker_id": "w1"}),
        (("", "b"), {"site": "b", "worker_id": "w1"}),
        (("a", "b"), {"pool": "a", "site": "b", "worker_id": "w1"}),
    ],
)
def test_an_empty_label_is_no_label(values: tuple[str, str], labels: dict[str, str]) -> None:
    """It is left out, and a constant label of its name has its place."""
    encoder = SampleEncoder({"site": "x", "zone": ""}, {"worker_id": "w1"})
    form = SampleForm("jobs", MetricType.GAUGE, "", "", ("pool", "site"))
    for _ in range(2):
        sample = StampedSample(form, LabelSet(values), 1.0, 0.0)
        assert labels == json.loads(encoder.encode(sample))["labels"]
        assert {name: value for name, value in labels.items() if value in values} == sample.labels
