"""Series, samples and families."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from noetl_metrics_sdk import Gauge, MetricFamily, MetricType, Registry, Sample, Series


@given(
    st.text(),
    st.dictionaries(st.text(), st.text()),
    st.text(),
    st.dictionaries(st.text(), st.text()),
)
def test_series_are_equal_by_name_and_labels(
    name: str, labels: dict[str, str], other_name: str, other_labels: dict[str, str]
) -> None:
    """Two series are the same if names and labels are, whatever their type, help and unit; a label
    without a value is none."""
    one = Series(name, MetricType.GAUGE, labels, "help", "bytes")
    other = Series(other_name, MetricType.COUNTER, other_labels)
    kept, other_kept = (
        {label: text for label, text in each.items() if text} for each in (labels, other_labels)
    )
    assert (name == other_name and kept == other_kept) == (one == other)


def test_an_empty_label_is_no_label() -> None:
    """Series that differ in it only are one series, which a registry finds either way."""
    one, other = (Series("jobs", MetricType.GAUGE, labels) for labels in ({"a": "", "b": "x"},
                                                                         {"b": "x"}))  # fmt: skip
    assert (one, hash(one), {"b": "x"}) == (other, hash(other), one.labels)
    registry = Registry()
    Gauge("level", "", ["a", "b"], registry=registry).labels("", "x").set(3)
    for labels in ({"a": "", "b": "x"}, {"b": "x"}):
        assert 3.0 == registry.get_sample_value("level", labels)


@given(st.lists(st.tuples(st.text(), st.text()), unique_by=lambda pair: pair[0]))
def test_equal_series_have_equal_hashes(pairs: list[tuple[str, str]]) -> None:
    """The order of the labels does not matter."""
    one = Series("jobs", MetricType.GAUGE, dict(pairs))
    other = Series("jobs", MetricType.GAUGE, dict(reversed(pairs)))
    assert (one, hash(one)) == (other, hash(other))


def test_series_is_not_equal_to_its_name() -> None:
    """A series equals no object of another type."""
    assert Series("jobs", MetricType.GAUGE, {}) != "jobs"


def test_sample_has_the_name_and_labels_of_its_series() -> None:
    """A sample has the attributes of a prometheus_client sample."""
    sample = Sample(Series("jobs", MetricType.GAUGE, {"pool": "cpu"}), 2.0)
    assert ("jobs", {"pool": "cpu"}, 2.0, None) == (
        sample.name, sample.labels, sample.value, sample.timestamp,
    )  # fmt: skip


def test_family_adds_samples_under_its_name() -> None:
    """`add()` makes the series from the family's name, type, documentation and unit."""
    family = MetricFamily("disk", "What is used", MetricType.GAUGE, "bytes")
    family.add("_used", {"path": "/"}, 5.0)
    (sample,) = family.samples
    described = (sample.series.type, sample.series.help_text, sample.series.unit)
    assert (MetricType.GAUGE, "What is used", "bytes") == described
    shown = 'Sample(series=disk_used{path="/"}, value=5.0, timestamp=None, created_at=None)'
    assert f"[{shown}]" == repr(family.samples)


def test_families_do_not_share_their_samples() -> None:
    """A family copies the samples that it is given."""
    samples: list[Sample] = []
    MetricFamily("a", "a", MetricType.GAUGE, samples=samples).add("", {}, 1.0)
    assert [] == samples


def test_metric_types_are_those_of_the_table() -> None:
    """The table knows four types."""
    assert ["counter", "gauge", "histogram", "summary"] == [str(kind) for kind in MetricType]
