"""Read the figures of the host by psutil.

Every reading is a generator of points, and takes a *guard*. The guard gets a reading's name and
returns a context manager. If the platform does not have the reading, the context manager catches
the error, and the other readings go on. The collector leaves out a value of None. Each object
remembers its own previous reading, because psutil's `cpu_percent` shares one between all callers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil

Point = tuple[str, Mapping[str, str], float | None]
"""A sample's name, labels and value."""
Guard = Callable[[str], AbstractContextManager[None]]
Reading = Callable[[Guard], Iterator[Point]]

# These devices have no medium of their own. A file system on a loop device is on a disk that is
# counted itself, and the swap group counts swapping to compressed memory.
_NO_DISK = re.compile(r"(loop|z?ram|fd)\d+")

_DISK_FIELDS = {
    "system_disk_read_bytes_total": ("read_bytes", 1),
    "system_disk_written_bytes_total": ("write_bytes", 1),
    "system_disk_reads_total": ("read_count", 1),
    "system_disk_writes_total": ("write_count", 1),
    "system_disk_busy_seconds_total": ("busy_time", 1000),  # psutil has milliseconds
}
_NETWORK_FIELDS = {
    "system_network_receive_bytes_total": ("bytes_recv", 1),
    "system_network_transmit_bytes_total": ("bytes_sent", 1),
    "system_network_receive_packets_total": ("packets_recv", 1),
    "system_network_transmit_packets_total": ("packets_sent", 1),
    "system_network_receive_errors_total": ("errin", 1),
    "system_network_transmit_errors_total": ("errout", 1),
    "system_network_receive_drops_total": ("dropin", 1),
    "system_network_transmit_drops_total": ("dropout", 1),
}


class CpuUsage:
    """CPU usage since the previous reading, whose CPU times this object remembers."""

    def __init__(self) -> None:
        self._before: Any = None
        self._cores_before: Sequence[Any] = ()

    def read(self, guard: Guard) -> Iterator[Point]:
        """Yield the usage of all cores together, the usage of each, and the number of cores."""
        with guard("cpu_usage"):
            now = psutil.cpu_times()
            before, self._before = self._before, now
            yield "system_cpu_usage_percent", {"core": "all"}, _busy_percent(before, now)
        with guard("cpu_usage_by_core"):
            cores = psutil.cpu_times(percpu=True)
            # psutil numbers the cores that are online. If a core has come or gone, a number may
            # stand for another core than before.
            known = len(cores) == len(self._cores_before)
            previous = self._cores_before if known else [None] * len(cores)
            self._cores_before = cores
            for core, (before, now) in enumerate(zip(previous, cores, strict=True)):
                yield "system_cpu_usage_percent", {"core": str(core)}, _busy_percent(before, now)
        with guard("cpu_count"):
            yield "system_cpu_cores", {}, psutil.cpu_count()


def _busy_percent(before: Any, now: Any) -> float | None:
    """Return how busy the CPU was between two `cpu_times()`, in percent; None if no time passed."""
    if before is None:
        return None
    # A field can go backwards, as iowait does. It then counts as unchanged, as in top.
    deltas = {
        field: max(0.0, new - old) for field, old, new in zip(now._fields, before, now, strict=True)
    }
    # The kernel has counted a guest's time in "user" and "nice" already. And iowait is idle time.
    total = sum(deltas.values()) - deltas.get("guest", 0.0) - deltas.get("guest_nice", 0.0)
    idle = deltas["idle"] + deltas.get("iowait", 0.0)
    return min(100.0, max(0.0, 100.0 * (total - idle) / total)) if total > 0 else None


def read_load(guard: Guard) -> Iterator[Point]:
    """Yield the load averages.

    They are read from `os`: if the platform has none, psutil would make some up.
    """
    with guard("load"):
        for window, average in zip(("1m", "5m", "15m"), os.getloadavg(), strict=True):
            yield "system_load_average", {"window": window}, average


def read_memory(guard: Guard) -> Iterator[Point]:
    """Yield the host's memory."""
    with guard("memory"):
        memory = psutil.virtual_memory()
        yield "system_memory_total_bytes", {}, memory.total
        yield "system_memory_available_bytes", {}, memory.available
        yield "system_memory_used_bytes", {}, memory.used
        unavailable = memory.total - memory.available
        yield "system_memory_usage_percent", {}, _percent(unavailable, memory.total)


def read_swap(guard: Guard) -> Iterator[Point]:
    """Yield the host's swap space, and how many bytes were swapped in and out."""
    with guard("swap"):
        swap = psutil.swap_memory()
        yield "system_swap_total_bytes", {}, swap.total
        yield "system_swap_available_bytes", {}, swap.free
        yield "system_swap_used_bytes", {}, swap.used
        yield "system_swap_usage_percent", {}, _percent(swap.used, swap.total)
        with guard("swap_activity"):
            if _has_swap_activity():
                yield "system_swap_in_bytes_total", {}, swap.sin
                yield "system_swap_out_bytes_total", {}, swap.sout


def _has_swap_activity() -> bool:
    """Return whether psutil knows how much was swapped; if it does not, it reports 0."""
    if psutil.LINUX:
        return "pswpin " in Path(psutil.PROCFS_PATH, "vmstat").read_text(encoding="utf-8")
    return not psutil.WINDOWS


def read_disks(guard: Guard) -> Iterator[Point]:
    """Yield each disk's I/O."""
    with guard("disk"):
        # With nowrap, psutil would add to the counters from a cache that the whole process shares.
        disks = psutil.disk_io_counters(perdisk=True, nowrap=False) or {}
        for device, counters in disks.items():
            if not _NO_DISK.fullmatch(device):
                yield from _counted(_DISK_FIELDS, {"device": device}, counters)


def read_network(guard: Guard) -> Iterator[Point]:
    """Yield each interface's traffic."""
    with guard("network"):
        interfaces = psutil.net_io_counters(pernic=True, nowrap=False) or {}
        for interface, counters in interfaces.items():
            yield from _counted(_NETWORK_FIELDS, {"interface": interface}, counters)


def _counted(
    fields: Mapping[str, tuple[str, int]], labels: Mapping[str, str], counters: Any
) -> Iterator[Point]:
    for name, (field, per_unit) in fields.items():
        value = getattr(counters, field, None)  # not every platform has every field
        yield name, labels, None if value is None else value / per_unit


def read_filesystems(guard: Guard) -> Iterator[Point]:
    """Yield the space of each physical file system, once."""
    with guard("filesystem"):
        # If several file systems are mounted on a directory, the last one hides the others.
        mounts = {mount.mountpoint: mount for mount in psutil.disk_partitions(all=False)}
        devices: set[str] = set()
        # A bind mount shows the same file system again. The shortest path stands for all of them.
        for mountpoint in sorted(mounts, key=lambda path: (len(path), path)):
            mount = mounts[mountpoint]
            if mount.device in devices:
                continue
            with guard("filesystem_usage"):
                usage = psutil.disk_usage(mountpoint)
                devices.add(mount.device)
                labels = {
                    "mountpoint": mountpoint,
                    "device": mount.device,
                    "fstype": mount.fstype,
                }
                yield "system_filesystem_size_bytes", labels, usage.total
                yield "system_filesystem_available_bytes", labels, usage.free
                yield "system_filesystem_used_bytes", labels, usage.used
                # As in df, space that only root can write to counts neither as used nor as free.
                percent = _percent(usage.used, usage.used + usage.free)
                yield "system_filesystem_usage_percent", labels, percent


def _percent(part: float, whole: float) -> float | None:
    return 100.0 * part / whole if whole > 0 else None
