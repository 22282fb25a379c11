"""The groups of system metrics, named where naming them loads nothing."""

from __future__ import annotations

SYSTEM_METRIC_GROUPS = (
    "cpu",
    "load",
    "memory",
    "swap",
    "disk",
    "network",
    "filesystem",
    "process",
    "garbage_collector",
    "cgroup",
)
"""What `system_metrics` chooses from; `docs/system-metrics.md` lists what each one reports."""
