"""How long there has been a batch in memory."""

from __future__ import annotations

import pytest

from server_stub.ingest.admission import Admission

pytestmark = pytest.mark.once


def test_it_tells_how_long_there_was_a_body() -> None:
    """Two bodies at once count once, and a body counts while it is there."""
    now = 100.0
    admission = Admission(1000, lambda: now)
    assert 0.0 == admission.seconds_held()
    with admission.room(0) as first:
        first.take(10)
        now += 2.0
        with admission.room(0) as second:
            second.take(10)
            now += 1.0
        now += 4.0
        assert 7.0 == admission.seconds_held()
    now += 50.0
    assert 7.0 == admission.seconds_held()
