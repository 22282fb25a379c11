"""What a page keeps of the series of this package's instruments."""

from __future__ import annotations

import itertools
import time

from noetl_metrics_sdk import Counter
from noetl_metrics_sdk.exposition.kept_series import kept_series
from noetl_metrics_sdk.process.pacing import STEPS_BETWEEN_RESTS, Pacer

PACER = Pacer(time.monotonic, time.sleep)


def test_what_has_not_changed_is_kept_as_it_is() -> None:
    """While no label set comes or goes, the same object serves every page."""
    counter = Counter("jobs", "Jobs", ["queue"], registry=None)
    counter.labels("a").inc()
    kept = kept_series([counter], None, PACER)
    counter.labels("a").inc()
    assert kept is kept_series([counter], kept, PACER)


def test_only_new_series_get_their_texts() -> None:
    """When a label set comes, the texts of the others stay, and the order is that of a page."""
    counter = Counter("jobs", "Jobs", ["queue", "host"], registry=None)
    for queue in ("c", "a"):
        counter.labels(queue, "h").inc()
    before = kept_series([counter], None, PACER)
    counter.labels("b", "h").inc()
    after = kept_series([counter], before, PACER)
    assert ['{queue="a",host="h"}', '{queue="b",host="h"}', '{queue="c",host="h"}'] == after.labels
    assert [id(text) for text in before.labels] == [id(after.labels[0]), id(after.labels[2])]
    assert [counter.labels(queue, "h") for queue in "abc"] == after.holders


def test_a_removed_series_is_forgotten() -> None:
    """What was kept of a label set goes with it, and one of the same labels is another series."""
    counter = Counter("jobs", "Jobs", ["queue"], registry=None)
    removed, other = counter.labels("a"), counter.labels("b")
    kept = kept_series([counter], None, PACER)
    assert [removed, other] == kept.holders
    counter.remove("a")
    kept = kept_series([counter], kept, PACER)
    assert ([other], ['{queue="b"}']) == (kept.holders, kept.labels)
    kept = kept_series([counter], kept, PACER)
    anew = counter.labels("a")
    kept = kept_series([counter], kept, PACER)
    assert ([anew, other], ['{queue="a"}', '{queue="b"}']) == (kept.holders, kept.labels)
    counter.clear()
    assert [] == kept_series([counter], kept, PACER).holders


def test_series_that_a_page_cannot_tell_apart_are_twins() -> None:
    """An empty label is no label; of two series of the same labels, the first stays the first."""
    first = Counter("jobs", "Jobs", ["queue"], registry=None)
    second = Counter("jobs", "Jobs", ["queue", "host"], registry=None)
    later = second.labels("a", "")
    kept = kept_series([first, second], None, PACER)
    assert ([later], False) == (kept.holders, kept.has_twins)
    earlier = first.labels("a")
    kept = kept_series([first, second], kept, PACER)
    assert ([earlier, later], True) == (kept.holders, kept.has_twins)


def test_a_loop_over_many_series_rests() -> None:
    """Another thread gets the interpreter while the texts of many series are made."""
    counter = Counter("jobs", "Jobs", ["queue"], registry=None, max_series=10_000)
    for number in range(10 * STEPS_BETWEEN_RESTS):
        counter.labels(number).inc()
    rests: list[float] = []
    seconds = itertools.count()
    kept_series([counter], None, Pacer(lambda: float(next(seconds)), rests.append))
    assert len(rests) >= 10
