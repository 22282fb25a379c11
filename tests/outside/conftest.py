"""Programs of other projects against a real server; CONTRIBUTING.md has the long forms."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LONG = os.environ.get("NOETL_OUTSIDE") == "long"
"""Whether this is the long form, of `./scripts/test load`, `soak` or `api`."""


def pytest_collection_modifyitems(items):
    """Mark the tests of this folder: they test the server, whatever the interpreter."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.once)
            if LONG:
                item.add_marker(pytest.mark.timeout(1_200))
