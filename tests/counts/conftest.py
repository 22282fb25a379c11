"""Workers count, and what charts show is compared with what they have counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LONG = os.environ.get("NOETL_COUNTS") == "long"
"""Whether this is the long form, of `./scripts/test counts`."""

LONG_SECONDS = 1_800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this folder more time in the long form."""
    for item in items:
        if LONG and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(LONG_SECONDS))
