"""The system metrics: the figures of the host, the process and its container.

Importing this module starts nothing. All state is in a `SystemCollector`, so two collectors never
mix up their readings, and neither do a parent and its forked child.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from noetl_metrics_sdk.errors import ConfigurationError
from noetl_metrics_sdk.process.fork import reset_store_after_fork
from noetl_metrics_sdk.system.cgroups import CGROUP_ROOT, PROC_SELF, ProcessCgroups
from noetl_metrics_sdk.system.families import (
    FAMILY_DEFINITIONS,
    SYSTEM_METRIC_GROUPS,
    empty_family,
    sample_suffix,
)
from noetl_metrics_sdk.system.host import (
    CpuUsage,
    read_disks,
    read_filesystems,
    read_load,
    read_memory,
    read_network,
    read_swap,
)
from noetl_metrics_sdk.system.process import GarbageCollector, ProcessMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
    from pathlib import Path

    from noetl_metrics_sdk.model.metric import MetricFamily
    from noetl_metrics_sdk.system.host import Guard, Point, Reading

__all__ = ["SYSTEM_METRIC_GROUPS", "SystemCollector"]

_logger = logging.getLogger("noetl_metrics_sdk")

SERIES_PER_FAMILY_MAX = 2_000
"""How many series a family may have: as many as an instrument. A host can have any number of
interfaces."""

# The errors that the platform, its files and their parsing raise if there is no reading. psutil
# raises a Warning if the application turns warnings into errors.
_READING_ERRORS = (
    psutil.Error,
    ArithmeticError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,  # includes NotImplementedError
    TypeError,
    ValueError,
    Warning,
)
# These errors mean that the platform does not have the reading at all. That needs no warning.
_NOT_ON_THIS_PLATFORM = (AttributeError, FileNotFoundError, NotImplementedError)


def _boot() -> float:
    return psutil.boot_time()


def _process_start() -> float:
    return psutil.Process().create_time()


_CGROUP_FIGURES: dict[str, Callable[[ProcessCgroups], float | None]] = {
    "container_cpu_limit_cores": ProcessCgroups.cpu_limit_cores,
    "container_cpu_usage_seconds_total": ProcessCgroups.cpu_usage_seconds,
    "container_cpu_throttled_seconds_total": ProcessCgroups.cpu_throttled_seconds,
    "container_memory_limit_bytes": ProcessCgroups.memory_limit_bytes,
    "container_memory_usage_bytes": ProcessCgroups.memory_usage_bytes,
    "container_memory_usage_percent": ProcessCgroups.memory_usage_percent,
}


# When the counters of a group were 0. The cgroup's counters are not here: the kernel does not tell
# when it made a cgroup.
_BEGINNINGS: dict[str, Callable[[], float]] = {
    "swap": _boot,
    "disk": _boot,
    "network": _boot,
    "process": _process_start,
    "garbage_collector": _process_start,
}


class SystemCollector:
    """Collects the system metrics, in groups; each group can be left out.

    If the platform does not have or does not allow a reading, only that reading is left out. Its
    metric is never 0 because there is no figure, and `collect()` does not raise. Usage in percent
    needs a previous reading, so it begins with the second `collect()`.

    Only one thread at a time may call `collect()`. Counters are cumulative, as the system keeps
    them. docs/system-metrics.md lists every metric.

    Args:
        groups: which of `SYSTEM_METRIC_GROUPS` to collect.
        monotonic: the clock that usage is measured against, in seconds.
        cgroup_root: the directory where the cgroup hierarchies are mounted.
        proc_self: the `/proc` directory of this process, for its cgroups.

    Raises:
        ConfigurationError: a group does not exist.
    """

    def __init__(
        self,
        groups: Iterable[str] = SYSTEM_METRIC_GROUPS,
        monotonic: Callable[[], float] = time.monotonic,
        cgroup_root: Path = CGROUP_ROOT,
        proc_self: Path = PROC_SELF,
    ) -> None:
        self._groups = _checked_groups(groups)
        self._monotonic = monotonic
        self._cgroup_root = cgroup_root
        self._proc_self = proc_self
        self._forget()
        self._fork_handle = reset_store_after_fork(self._reset_after_fork)

    @property
    def failures(self) -> Mapping[str, int]:
        """How often each reading has failed, by the reading's name, as a copy."""
        return dict(self._failures)

    def collect(self) -> Iterable[MetricFamily]:
        """Return the families with their current values, without those that have no reading."""
        families: dict[str, MetricFamily] = {}
        for group in self._groups:
            began_at = self._began_at(group)
            for name, labels, value in self._readings[group](self._guard):
                if value is None:
                    continue
                if name not in families:
                    families[name] = empty_family(name)
                self._add(families[name], name, labels, value, began_at)
        return list(families.values())

    def describe(self) -> Iterable[MetricFamily]:
        """Return every family that `collect()` may return, without its samples."""
        return [
            empty_family(name)
            for name, defined in FAMILY_DEFINITIONS.items()
            if defined.group in self._groups
        ]

    def _reset_after_fork(self) -> None:
        # All earlier readings and failures belong to the parent.
        self._forget()
        self._garbage_collector.reset_after_fork(self._guard)

    def _began_at(self, group: str) -> float | None:
        """Return when a group's counters were 0, in seconds since the epoch, if it is known."""
        begins = _BEGINNINGS.get(group)
        if begins is None:
            return None
        if begins not in self._beginnings:
            with self._guard(f"{group}_beginning"):
                self._beginnings[begins] = begins()
        return self._beginnings.get(begins)

    def _forget(self) -> None:
        self._beginnings: dict[Callable[[], float], float] = {}
        self._failures: Counter[str] = Counter()
        self._garbage_collector = GarbageCollector()
        self._readings: dict[str, Reading] = {
            "cpu": CpuUsage().read,
            "load": read_load,
            "memory": read_memory,
            "swap": read_swap,
            "disk": read_disks,
            "network": read_network,
            "filesystem": read_filesystems,
            "process": ProcessMetrics(self._monotonic).read,
            "garbage_collector": self._garbage_collector.read,
            "cgroup": self._read_cgroups,
        }

    def _read_cgroups(self, guard: Guard) -> Iterator[Point]:
        with guard("cgroup"):
            cgroups = ProcessCgroups(self._cgroup_root, self._proc_self)
            for name, figure in _CGROUP_FIGURES.items():
                with guard(name):
                    yield name, {}, figure(cgroups)

    def _add(
        self,
        family: MetricFamily,
        name: str,
        labels: Mapping[str, str],
        value: float,
        began_at: float | None,
    ) -> None:
        if len(family.samples) < SERIES_PER_FAMILY_MAX:
            storable = {label: _storable(text) for label, text in labels.items()}
            suffix = sample_suffix(name)
            family.add(suffix, storable, value, began_at if suffix else None)
        else:
            self._count_failure(name, OverflowError(f"more than {SERIES_PER_FAMILY_MAX} series"))

    @contextmanager
    def _guard(self, reading: str) -> Generator[None]:
        try:
            yield
        except _READING_ERRORS as error:
            self._count_failure(reading, error)

    def _count_failure(self, reading: str, error: Exception) -> None:
        self._failures[reading] += 1
        if self._failures[reading] == 1:
            level = logging.DEBUG if isinstance(error, _NOT_ON_THIS_PLATFORM) else logging.WARNING
            _logger.log(
                level,
                "system metrics: the reading %s is left out for as long as it fails: %s: %s",
                reading,
                type(error).__name__,
                error,
            )


def _checked_groups(groups: Iterable[str]) -> tuple[str, ...]:
    chosen = (groups,) if isinstance(groups, str) else tuple(groups)
    unknown = sorted(repr(group) for group in chosen if group not in SYSTEM_METRIC_GROUPS)
    if unknown:
        raise ConfigurationError(
            f"no such group of system metrics: {', '.join(unknown)}: "
            f"choose from {', '.join(SYSTEM_METRIC_GROUPS)}"
        )
    return tuple(group for group in SYSTEM_METRIC_GROUPS if group in chosen)


def _storable(text: str) -> str:
    r"""Return a label value that UTF-8 can hold: a path's undecodable bytes become `\udcXX`."""
    return text.encode("utf-8", "backslashreplace").decode()
