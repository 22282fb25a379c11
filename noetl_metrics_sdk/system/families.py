"""The table of all system metrics: the group, name, unit, labels and meaning of each.

`SystemCollector` makes its families from this table, so it cannot report a metric that is not here.
A test compares the table with docs/system-metrics.md. A metric whose name ends in `_total` is a
counter, and every other metric is a gauge.
"""

from __future__ import annotations

from typing import NamedTuple

from noetl_metrics_sdk.model.metric import MetricFamily, MetricType

_COUNTER_SUFFIX = "_total"

_ON_FILESYSTEM = ("mountpoint", "device", "fstype")

# group: {sample name: (unit, labels, help text)}
_TABLE: dict[str, dict[str, tuple[str, tuple[str, ...], str]]] = {
    "cpu": {
        "system_cpu_usage_percent": (
            "percent",
            ("core",),
            "Share of the time since the previous reading that the host's CPUs were busy",
        ),
        "system_cpu_cores": ("cores", (), "Logical CPUs of the host that are online"),
    },
    "load": {
        "system_load_average": (
            "tasks",
            ("window",),
            "Tasks that ran or waited to run on the host, averaged over the window",
        ),
    },
    "memory": {
        "system_memory_total_bytes": ("bytes", (), "Physical memory of the host"),
        "system_memory_available_bytes": ("bytes", (), "Memory to be had without swapping"),
        "system_memory_used_bytes": ("bytes", (), "Memory in use, without caches"),
        "system_memory_usage_percent": ("percent", (), "Share of memory that is not available"),
    },
    "swap": {
        "system_swap_total_bytes": ("bytes", (), "Swap space of the host"),
        "system_swap_available_bytes": ("bytes", (), "Swap space that is free"),
        "system_swap_used_bytes": ("bytes", (), "Swap space in use"),
        "system_swap_usage_percent": ("percent", (), "Share of the swap space in use"),
        "system_swap_in_bytes_total": ("bytes", (), "Memory swapped in since boot"),
        "system_swap_out_bytes_total": ("bytes", (), "Memory swapped out since boot"),
    },
    "disk": {
        "system_disk_read_bytes_total": ("bytes", ("device",), "Bytes read from the device"),
        "system_disk_written_bytes_total": ("bytes", ("device",), "Bytes written to the device"),
        "system_disk_reads_total": ("reads", ("device",), "Reads that the device completed"),
        "system_disk_writes_total": ("writes", ("device",), "Writes that the device completed"),
        "system_disk_busy_seconds_total": ("seconds", ("device",), "Time with I/O in progress"),
    },
    "network": {
        "system_network_receive_bytes_total": ("bytes", ("interface",), "Bytes received"),
        "system_network_transmit_bytes_total": ("bytes", ("interface",), "Bytes sent"),
        "system_network_receive_packets_total": ("packets", ("interface",), "Packets received"),
        "system_network_transmit_packets_total": ("packets", ("interface",), "Packets sent"),
        "system_network_receive_errors_total": ("errors", ("interface",), "Errors in receiving"),
        "system_network_transmit_errors_total": ("errors", ("interface",), "Errors in sending"),
        "system_network_receive_drops_total": (
            "packets",
            ("interface",),
            "Incoming packets that were dropped",
        ),
        "system_network_transmit_drops_total": (
            "packets",
            ("interface",),
            "Outgoing packets that were dropped",
        ),
    },
    "filesystem": {
        "system_filesystem_size_bytes": ("bytes", _ON_FILESYSTEM, "Size of the file system"),
        "system_filesystem_available_bytes": (
            "bytes",
            _ON_FILESYSTEM,
            "Free space that a user without privileges can write to",
        ),
        "system_filesystem_used_bytes": ("bytes", _ON_FILESYSTEM, "Space in use"),
        "system_filesystem_usage_percent": (
            "percent",
            _ON_FILESYSTEM,
            "Space in use as a share of what a user without privileges could fill",
        ),
    },
    "process": {
        "process_cpu_seconds_total": ("seconds", (), "User and system CPU time of the process"),
        "process_cpu_usage_percent": (
            "percent",
            (),
            "CPU time per time since the previous reading; 100 is one core kept busy",
        ),
        "process_resident_memory_bytes": ("bytes", (), "Resident memory of the process"),
        "process_virtual_memory_bytes": ("bytes", (), "Virtual memory of the process"),
        "process_open_fds": ("fds", (), "Open file descriptors of the process"),
        "process_max_fds": ("fds", (), "Open file descriptors that the process may have"),
        "process_threads": ("threads", (), "Threads of the process"),
        "process_start_time_seconds": (
            "seconds",
            (),
            "When the process started, in seconds since the epoch",
        ),
        "process_context_switches_total": (
            "switches",
            ("kind",),
            "Times the process gave up the CPU (voluntary) or lost it (involuntary)",
        ),
    },
    "garbage_collector": {
        "python_gc_objects_collected_total": (
            "objects",
            ("generation",),
            "Objects that the garbage collector freed",
        ),
        "python_gc_objects_uncollectable_total": (
            "objects",
            ("generation",),
            "Objects that the garbage collector found unreachable and could not free",
        ),
        "python_gc_collections_total": (
            "collections",
            ("generation",),
            "Times that the garbage collector looked at this generation",
        ),
    },
    "cgroup": {
        "container_cpu_limit_cores": ("cores", (), "CPU time that the cgroup may use per time"),
        "container_cpu_usage_seconds_total": ("seconds", (), "CPU time that the cgroup used"),
        "container_cpu_throttled_seconds_total": (
            "seconds",
            (),
            "Time that the cgroup was held back by its CPU limit",
        ),
        "container_memory_limit_bytes": ("bytes", (), "Memory that the cgroup may use"),
        "container_memory_usage_bytes": ("bytes", (), "Memory in use, with the page cache"),
        "container_memory_usage_percent": (
            "percent",
            (),
            "How full the cgroup that sets the memory limit is",
        ),
    },
}

SYSTEM_METRIC_GROUPS: tuple[str, ...] = tuple(_TABLE)
"""The groups of system metrics. Each can be left out."""


class FamilyDefinition(NamedTuple):
    """The description of one system metric."""

    group: str
    unit: str
    labels: tuple[str, ...]
    help_text: str


FAMILY_DEFINITIONS: dict[str, FamilyDefinition] = {
    name: FamilyDefinition(group, *described)
    for group, families in _TABLE.items()
    for name, described in families.items()
}
"""The definition of every metric that a `SystemCollector` can report, by sample name."""


def sample_suffix(name: str) -> str:
    """Return the suffix of a sample's name: `_total` for a counter, and an empty text otherwise."""
    return _COUNTER_SUFFIX if name.endswith(_COUNTER_SUFFIX) else ""


def empty_family(name: str) -> MetricFamily:
    """Return the family of the samples called `name`, without samples yet."""
    defined = FAMILY_DEFINITIONS[name]
    suffix = sample_suffix(name)
    return MetricFamily(
        name.removesuffix(suffix),
        defined.help_text,
        MetricType.COUNTER if suffix else MetricType.GAUGE,
        defined.unit,
    )
