"""The sets of labels that the server keeps between pages."""

from __future__ import annotations

from noetl_metrics_sdk.exposition.samples import ExposedLabels
from server_stub.components.labels import SET_OVERHEAD_BYTES, LabelSets


def test_sets_of_labels_are_forgotten_a_few_at_a_time() -> None:
    """At the bound, each set that comes takes the place of one, and none frees many at once."""
    kept = LabelSets(20 * SET_OVERHEAD_BYTES)
    counts = []
    for runtime_id in range(100):
        kept.keep((runtime_id, "cpu-01", "worker_pool", None), ExposedLabels({}))
        counts.append(len(kept))
    assert counts[:20] == list(range(1, 21))
    assert set(counts[20:]) == {20}


def test_a_large_set_of_labels_takes_the_place_of_as_many_bytes() -> None:
    """One set as large as many makes room for itself, whatever the others weigh."""
    kept = LabelSets(20 * SET_OVERHEAD_BYTES)
    for runtime_id in range(20):
        kept.keep((runtime_id, "cpu-01", "worker_pool", None), ExposedLabels({}))
    kept.keep((20, "cpu-01", "worker_pool", "x" * 2 * SET_OVERHEAD_BYTES), ExposedLabels({}))
    assert len(kept) == 12


def test_a_set_of_labels_that_is_asked_for_stays() -> None:
    """A page that needs a set again keeps it from being forgotten."""
    kept = LabelSets(20 * SET_OVERHEAD_BYTES)
    asked_for = (0, "cpu-01", "worker_pool", None)
    labels = ExposedLabels({"runtime_id": "0"})
    kept.keep(asked_for, labels)
    for runtime_id in range(1, 100):
        kept.keep((runtime_id, "cpu-01", "worker_pool", None), ExposedLabels({}))
        assert kept.get(asked_for) is labels
    assert kept.get((1, "cpu-01", "worker_pool", None)) is None
