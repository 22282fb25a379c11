"""Numbered samples: all parts of a sample follow from its number, so a mix-up shows.

The value and the time have the whole number. The labels have as much of it as the labels of a real
worker have: a process has at most `SERIES_PER_PROCESS` series, in the short and in the long form.
"""

from __future__ import annotations

import json
from typing import Any

BASE_TIMESTAMP = 1_600_000_000
TYPES = ("counter", "gauge", "histogram", "summary")
UNITS = ("", "rows", "bytes")
JOBS, LEVEL, SECONDS = "chaos_jobs_total", "chaos_level", "chaos_seconds"
"""What the worker's instruments are called."""

LABELS_PER_PROCESS = 1000
"""How many sets of labels a process has. Samples with a set in common are 1000 numbers apart."""

SERIES_PER_PROCESS = 3 * LABELS_PER_PROCESS
"""How many numbered series a process has, each with its set of labels and one of the units."""

OBSERVATION = 0.5
"""Every observation of the histogram: a sum that is not the half of its count is torn."""


def numbered_sample(number: int) -> dict[str, Any]:
    """Return the sample of a number, as `record()` takes it."""
    metric_type = TYPES[number % 4]
    label = number % LABELS_PER_PROCESS
    return {
        "name": f"chaos_{metric_type}_total",
        "value": float(number),
        "metric_type": metric_type,
        # Twice: so a row with the number of one sample and the end of another shows.
        "labels": {"n": str(label), "again": f'"{label}"\n'},
        # PostgreSQL keeps microseconds: eighths of a second are exact in both.
        "timestamp": BASE_TIMESTAMP + number / 8,
        "help_text": f"Sample {number % 5}",
        "unit": UNITS[number % 3],
    }


def body_of(runtime_id: str, numbers: range, worker_id: str = "by-hand") -> bytes:
    """Return the body of a request with the samples of some numbers, as a worker sends it."""
    metrics = []
    for number in numbers:
        sample = numbered_sample(number)
        metrics.append(
            {
                "metric_name": sample.pop("name"),
                "metric_value": sample.pop("value"),
                **sample,
                "labels": {**sample["labels"], "worker_id": worker_id},
            }
        )
    return json.dumps({"runtime_id": runtime_id, "metrics": metrics}).encode()


IS_OF_AN_INSTRUMENT = (
    f"(metric_name IN ('{JOBS}', '{LEVEL}') OR starts_with(metric_name, '{SECONDS}_') "
    "OR starts_with(metric_name, 'noetl_metrics_sdk_'))"
)
"""SQL: whether a row is of the worker's instruments, or of the client's reports about itself;
every other one is a numbered sample."""

NUMBER_OF_ROW = (
    "CASE WHEN metric_value BETWEEN 0 AND 1e15 AND metric_value = floor(metric_value) "
    "THEN metric_value::bigint ELSE -1 END"
)
"""SQL: the number of a row; -1 where it has none."""

IS_AS_RECORDED = f"""
    metric_name = 'chaos_' || metric_type || '_total'
    AND metric_type = (ARRAY['{"', '".join(TYPES)}'])[n % 4 + 1]
    AND metric_value = n
    AND labels - 'worker_id' = jsonb_build_object(
        'n', (n % {LABELS_PER_PROCESS})::text,
        'again', '"' || n % {LABELS_PER_PROCESS} || '"' || chr(10)
    )
    AND help_text = 'Sample ' || n % 5
    AND unit = (ARRAY['{"', '".join(UNITS)}'])[n % 3 + 1]
"""
"""SQL: whether a row is the sample of the number `n`, but for its time."""

IS_OF_ITS_TIME = f"timestamp = to_timestamp({BASE_TIMESTAMP}) + n * interval '0.125 s'"
"""SQL: whether a row has the time of the sample `n`."""
