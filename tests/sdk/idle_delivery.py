"""The moment in which the delivery thread of a client has nothing to do."""

from __future__ import annotations

import time


def wait_until_idle(client):
    """Wait until the delivery thread waits: what is recorded from then on begins no turn.

    A flush returns when its samples are settled, and a start at once. Either leaves a turn behind,
    which takes what it finds.
    """
    thread = client._engine.delivery_thread
    deadline = time.monotonic() + 30
    while True:
        with thread._state:
            if thread._state._waiters and not thread._is_wanted():
                return
        assert time.monotonic() < deadline, client.stats()
        time.sleep(0.001)
