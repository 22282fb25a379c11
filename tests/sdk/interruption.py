"""A signal handler that runs at a chosen point of some work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def interrupted(point: int, work: Callable[[], object], handler: Callable[[], object]) -> bool:
    """Run the handler once within `work()`, at a given point; return False if it has fewer points.

    The points are the calls and returns of functions, where a signal handler or a finalizer can
    run. While the profiler runs the handler, Python does not profile.
    """
    passed = 0

    def profile(*_: object) -> None:
        nonlocal passed
        passed += 1
        if passed == point:
            handler()

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return passed > point
