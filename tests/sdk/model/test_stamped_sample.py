"""What a sample consists of, in memory."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

DEEP_INSIDE = """
from noetl_metrics_sdk.model.metric import MetricType
from noetl_metrics_sdk.model.stamped_sample import LabelSet, SampleForm, StampedSample

def form():
    return SampleForm("jobs_total", MetricType.COUNTER, "Jobs.", "", ("kind",))

for depth in range(30, 70):
    nested = [WHAT for _ in range(3)]
    for _ in range(depth):
        nested = [nested]
    del nested
print("done")
"""


@pytest.mark.parametrize(
    "what",
    ["LabelSet(('http',))", "form()", "StampedSample(form(), LabelSet(('http',)), 1.0, 2.0)"],
)
def test_samples_end_deep_inside_of_other_objects(what: str) -> None:
    """What is freed with deeply nested objects of a worker leaves the memory around it alone."""
    environment = {**os.environ, "PYTHONMALLOC": "debug"}  # aborts where memory is broken
    ended = subprocess.run(
        [sys.executable, "-c", DEEP_INSIDE.replace("WHAT", what)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (0, "done\n") == (ended.returncode, ended.stdout), ended.stderr[-2000:]
