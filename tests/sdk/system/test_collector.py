"""The system collector, on a made-up host, on this host, and across a fork."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
import time
import warnings
from collections import namedtuple
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from noetl_metrics_sdk.errors import ConfigurationError
from noetl_metrics_sdk.system.collector import SYSTEM_METRIC_GROUPS, SystemCollector
from noetl_metrics_sdk.system.families import FAMILY_DEFINITIONS
from noetl_metrics_sdk.system.process import ProcessMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from noetl_metrics_sdk.model.metric import MetricFamily

MIB = 1 << 20
BOOTED_AT = 1_690_000_000.5
PROCESS_STARTED_AT = 1_700_000_000.25

Times = namedtuple("Times", "user system idle iowait guest")  # noqa: PYI024 - psutil's shape
Memory = namedtuple("Memory", "total available used")  # noqa: PYI024
Swap = namedtuple("Swap", "total used free sin sout")  # noqa: PYI024
Disk = namedtuple("Disk", "read_bytes write_bytes read_count write_count busy_time")  # noqa: PYI024
DiskWithoutBusy = namedtuple(  # noqa: PYI024
    "DiskWithoutBusy", "read_bytes write_bytes read_count write_count"
)
Net = namedtuple(  # noqa: PYI024
    "Net", "bytes_sent bytes_recv packets_sent packets_recv errin errout dropin dropout"
)
Mount = namedtuple("Mount", "device mountpoint fstype opts")  # noqa: PYI024
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024
Resident = namedtuple("Resident", "rss vms")  # noqa: PYI024
Switches = namedtuple("Switches", "voluntary involuntary")  # noqa: PYI024


class FakeProcess:
    """The answers of psutil.Process for a made-up process."""

    def oneshot(self) -> nullcontext[None]:
        return nullcontext()

    def memory_info(self) -> Resident:
        return Resident(64 * MIB, 256 * MIB)

    def num_fds(self) -> int:
        return 17

    def rlimit(self, _resource: int) -> tuple[int, int]:
        return 1024, 4096

    def num_threads(self) -> int:
        return 5

    def create_time(self) -> float:
        return PROCESS_STARTED_AT

    def num_ctx_switches(self) -> Switches:
        return Switches(31, 7)


class Host:
    """A made-up host; a test changes its answers, or makes them fail."""

    def __init__(self, patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.patch = patch
        self.now = 1000.0
        self.times = Times(100.0, 50.0, 800.0, 50.0, 20.0)
        self.core_times = [Times(50.0, 25.0, 400.0, 25.0, 10.0) for _ in range(2)]
        self.disks: dict[str, Any] = {"vda": Disk(4096, 8192, 3, 4, 1500)}
        self.mounts = [Mount("/dev/vda1", "/", "ext4", "rw")]
        self.usage = {"/": Usage(1000, 300, 600)}
        (tmp_path / "vmstat").write_text("pgpgin 1\npswpin 2\npswpout 4\n")
        (tmp_path / "cgroup").write_text("0::/\n")
        (tmp_path / "cgroup.events").write_text("populated 1\n")
        (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
        (tmp_path / "cpu.max").write_text("150000 100000\n")
        (tmp_path / "cpu.stat").write_text("usage_usec 2500000\nthrottled_usec 500000\n")
        (tmp_path / "memory.max").write_text("4000000\n")
        (tmp_path / "memory.current").write_text("1000000\n")
        self.tmp_path = tmp_path
        net = {"eth0": Net(10, 20, 1, 2, 3, 4, 5, 6)}
        fakes: dict[str, Any] = {
            "cpu_times": lambda percpu=False: self.core_times if percpu else self.times,
            "cpu_count": lambda: 2,
            "virtual_memory": lambda: Memory(1000 * MIB, 250 * MIB, 600 * MIB),
            "swap_memory": lambda: Swap(100 * MIB, 25 * MIB, 75 * MIB, 8192, 16384),
            # nowrap adds counts that other callers have seen, from a cache of psutil's own.
            "disk_io_counters": lambda perdisk, nowrap: {} if nowrap else self.disks,
            "net_io_counters": lambda pernic, nowrap: {} if nowrap else net,
            "disk_partitions": lambda all: self.mounts,  # noqa: A006 - psutil's word
            "disk_usage": self.disk_usage,
            "Process": FakeProcess,
            "boot_time": lambda: BOOTED_AT,
            "PROCFS_PATH": str(tmp_path),
            "LINUX": True,
        }
        for name, fake in fakes.items():
            patch.setattr(psutil, name, fake)
        patch.setattr(os, "getloadavg", lambda: (0.5, 0.25, 0.125))

    def disk_usage(self, mountpoint: str) -> Usage:
        return self.usage[mountpoint]

    def collector(self, *groups: str) -> SystemCollector:
        return SystemCollector(
            groups or SYSTEM_METRIC_GROUPS,
            monotonic=lambda: self.now,
            cgroup_root=self.tmp_path,
            proc_self=self.tmp_path,
        )

    def advance(self) -> None:
        """Advance the clock by ten seconds, in which each core was busy for two and a half."""
        self.now += 10.0
        self.times = self.later(self.times, 2.0)
        self.core_times = [self.later(times, 1.0) for times in self.core_times]

    @staticmethod
    def later(times: Times, cores: float) -> Times:
        return Times(
            times.user + 1.5 * cores,
            times.system + 1.0 * cores,
            times.idle + 6.0 * cores,
            times.iowait + 1.5 * cores,
            times.guest + 0.5 * cores,
        )


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Host:
    return Host(monkeypatch, tmp_path)


def values(families: Iterable[MetricFamily]) -> dict[str, float]:
    """Return the value of each series; a repeated series is an error."""
    samples = [sample for family in families for sample in family.samples]
    found = {str(sample.series): sample.value for sample in samples}
    assert len(found) == len(samples)
    return found


def names(families: Iterable[MetricFamily]) -> set[str]:
    return {sample.name for family in families for sample in family.samples}


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_args: object, **_kwargs: object) -> Any:
        raise error

    return fail


def test_every_defined_metric_is_collected(host: Host) -> None:
    """From the second collect on, a host with everything reports every metric of the table."""
    collector = host.collector()
    collector.collect()
    host.advance()
    assert set(FAMILY_DEFINITIONS) == names(collector.collect())
    assert {} == dict(collector.failures)


def test_first_collect_omits_usage_and_nothing_else(host: Host) -> None:
    """The first collect omits what needs an earlier reading; it does not report 0."""
    expected = set(FAMILY_DEFINITIONS) - {"system_cpu_usage_percent", "process_cpu_usage_percent"}
    assert expected == names(host.collector().collect())


def test_values_of_a_host(host: Host) -> None:
    """Each value is the platform's, in the unit that the name says."""
    expected = {
        "system_cpu_cores{}": 2,
        'system_load_average{window="1m"}': 0.5,
        'system_load_average{window="5m"}': 0.25,
        'system_load_average{window="15m"}': 0.125,
        "system_memory_total_bytes{}": 1000 * MIB,
        "system_memory_available_bytes{}": 250 * MIB,
        "system_memory_used_bytes{}": 600 * MIB,
        "system_memory_usage_percent{}": 75.0,
        "system_swap_total_bytes{}": 100 * MIB,
        "system_swap_available_bytes{}": 75 * MIB,
        "system_swap_used_bytes{}": 25 * MIB,
        "system_swap_usage_percent{}": 25.0,
        "system_swap_in_bytes_total{}": 8192,
        "system_swap_out_bytes_total{}": 16384,
        'system_disk_read_bytes_total{device="vda"}': 4096,
        'system_disk_written_bytes_total{device="vda"}': 8192,
        'system_disk_reads_total{device="vda"}': 3,
        'system_disk_writes_total{device="vda"}': 4,
        'system_disk_busy_seconds_total{device="vda"}': 1.5,
        'system_network_receive_bytes_total{interface="eth0"}': 20,
        'system_network_transmit_bytes_total{interface="eth0"}': 10,
        'system_network_receive_packets_total{interface="eth0"}': 2,
        'system_network_transmit_packets_total{interface="eth0"}': 1,
        'system_network_receive_errors_total{interface="eth0"}': 3,
        'system_network_transmit_errors_total{interface="eth0"}': 4,
        'system_network_receive_drops_total{interface="eth0"}': 5,
        'system_network_transmit_drops_total{interface="eth0"}': 6,
        "container_cpu_limit_cores{}": 1.5,
        "container_cpu_usage_seconds_total{}": 2.5,
        "container_cpu_throttled_seconds_total{}": 0.5,
        "container_memory_limit_bytes{}": 4_000_000,
        "container_memory_usage_bytes{}": 1_000_000,
        "container_memory_usage_percent{}": 25.0,
    }
    groups = ("cpu", "load", "memory", "swap", "disk", "network", "cgroup")
    assert expected == values(host.collector(*groups).collect())


def test_cpu_usage_is_of_the_time_between_two_collects(host: Host) -> None:
    """Usage is busy time over all time; iowait is idle, and a guest's time is counted once."""
    collector = host.collector("cpu")
    collector.collect()
    host.advance()
    expected = {
        'system_cpu_usage_percent{core="all"}': 25.0,
        'system_cpu_usage_percent{core="0"}': 25.0,
        'system_cpu_usage_percent{core="1"}': 25.0,
        "system_cpu_cores{}": 2,
    }
    assert pytest.approx(expected) == values(collector.collect())


def test_two_collectors_do_not_disturb_each_other(host: Host) -> None:
    """A collector computes usage from its own earlier reading, whichever others read between."""
    first, second = host.collector("cpu"), host.collector("cpu")
    first.collect()
    host.advance()
    second.collect()
    series = 'system_cpu_usage_percent{core="all"}'
    assert series not in values(host.collector("cpu").collect())
    assert series in values(first.collect())
    assert series not in values(second.collect())


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (Times(110.0, 50.0, 800.0, 40.0, 20.0), 100.0),
        (Times(90.0, 40.0, 810.0, 50.0, 20.0), 0.0),
        (Times(101.0, 50.0, 803.0, 50.0, 30.0), 25.0),
        (Times(1.0, 1.0, 1.0, 1.0, 1.0), None),
        (Times(100.0, 50.0, 800.0, 50.0, 20.0), None),
    ],
    ids=["iowait-back", "busy-back", "more-guest-than-user", "all-back", "no-time-passed"],
)
def test_cpu_times_that_go_backwards(host: Host, later: Times, expected: float | None) -> None:
    """CPU times that go backwards give a usage within 0 to 100, or none at all."""
    collector = host.collector("cpu")
    collector.collect()
    host.times = later
    assert expected == values(collector.collect()).get('system_cpu_usage_percent{core="all"}')


def test_cores_that_come_and_go(host: Host) -> None:
    """After the number of cores has changed, one collect has no usage by core."""
    collector = host.collector("cpu")
    collector.collect()
    seen = []
    for cores in (2, 1, 1, 2):
        host.advance()
        host.core_times = [host.core_times[0]] * cores
        usage = values(collector.collect())
        seen.append([series for series in usage if re.search(r'core="\d', series)])
    by_core = ['system_cpu_usage_percent{core="0"}', 'system_cpu_usage_percent{core="1"}']
    expected: list[list[str]] = [by_core, [], by_core[:1], []]
    assert expected == seen


def test_host_without_swap_or_disks(host: Host) -> None:
    """Without swap there is no share of it, without disks no disk metric, and no failure."""
    host.patch.setattr(psutil, "swap_memory", lambda: Swap(0, 0, 0, 0, 0))
    host.disks = {}
    collector = host.collector("swap", "disk")
    expected = {
        "system_swap_total_bytes",
        "system_swap_available_bytes",
        "system_swap_used_bytes",
        "system_swap_in_bytes_total",
        "system_swap_out_bytes_total",
    }
    assert expected == names(collector.collect())
    assert {} == dict(collector.failures)


def test_swap_activity_that_psutil_would_make_up(host: Host) -> None:
    """Where the kernel does not count swapping, the collector does not report psutil's 0."""
    (host.tmp_path / "vmstat").write_text("pgpgin 1\n")
    reported = names(host.collector("swap").collect())
    assert {"system_swap_total_bytes"} == reported & {
        "system_swap_total_bytes",
        "system_swap_in_bytes_total",
        "system_swap_out_bytes_total",
    }


def test_disks_without_a_medium_and_without_a_field(host: Host) -> None:
    """Loop and memory devices are left out; a missing field costs only itself."""
    counters = DiskWithoutBusy(1, 2, 3, 4)
    host.disks = dict.fromkeys(("loop0", "ram1", "zram0", "sda"), counters)
    expected = {
        'system_disk_read_bytes_total{device="sda"}': 1,
        'system_disk_written_bytes_total{device="sda"}': 2,
        'system_disk_reads_total{device="sda"}': 3,
        'system_disk_writes_total{device="sda"}': 4,
    }
    assert expected == values(host.collector("disk").collect())


def test_file_systems_once_and_each_by_itself(host: Host) -> None:
    """A bind mount is not repeated, a hidden mount not shown; a failing mount costs only itself."""
    host.mounts = [
        Mount("/dev/sda1", "/etc/hosts", "ext4", "rw"),
        Mount("/dev/sda1", "/data", "ext4", "rw"),
        Mount("/dev/old", "/over", "ext4", "rw"),
        Mount("/dev/new", "/over", "xfs", "rw"),
        Mount("/dev/sdb1", "/broken", "ext4", "rw"),
        Mount("/dev/sdc1", "/odd\udcff", "ext4", "rw"),
    ]
    host.usage = dict.fromkeys(
        ["/etc/hosts", "/data", "/over", "/odd\udcff"], Usage(1000, 300, 600)
    )
    collector = host.collector("filesystem")
    labels = [
        sample.labels
        for family in collector.collect()
        if family.name == "system_filesystem_usage_percent"
        for sample in family.samples
    ]
    expected = [
        {"mountpoint": "/data", "device": "/dev/sda1", "fstype": "ext4"},
        {"mountpoint": "/odd\\udcff", "device": "/dev/sdc1", "fstype": "ext4"},
        {"mountpoint": "/over", "device": "/dev/new", "fstype": "xfs"},
    ]
    assert expected == labels
    assert {"filesystem_usage": 1} == dict(collector.failures)


def test_file_system_figures(host: Host) -> None:
    """The share in use is df's: the used part of what a user without privileges could fill."""
    labels = '{mountpoint="/",device="/dev/vda1",fstype="ext4"}'
    expected = {
        f"system_filesystem_size_bytes{labels}": 1000,
        f"system_filesystem_available_bytes{labels}": 600,
        f"system_filesystem_used_bytes{labels}": 300,
        f"system_filesystem_usage_percent{labels}": 100 * 300 / 900,
    }
    assert pytest.approx(expected) == values(host.collector("filesystem").collect())


def no_guard(_reading: str) -> nullcontext[None]:
    return nullcontext()


def test_process_figures(host: Host) -> None:
    """Process CPU usage is CPU time over monotonic time: two cores kept busy are 200."""
    cpu_seconds = iter([5.0, 25.0])
    process = ProcessMetrics(lambda: host.now, lambda: next(cpu_seconds))
    list(process.read(no_guard))
    host.advance()
    expected = {
        ("process_cpu_seconds_total", ""): 25.0,
        ("process_cpu_usage_percent", ""): 200.0,
        ("process_resident_memory_bytes", ""): 64 * MIB,
        ("process_virtual_memory_bytes", ""): 256 * MIB,
        ("process_open_fds", ""): 17,
        ("process_max_fds", ""): 1024,
        ("process_threads", ""): 5,
        ("process_start_time_seconds", ""): PROCESS_STARTED_AT,
        ("process_context_switches_total", "voluntary"): 31,
        ("process_context_switches_total", "involuntary"): 7,
    }
    assert expected == {
        (name, labels.get("kind", "")): value for name, labels, value in process.read(no_guard)
    }


def test_process_usage_without_time_passing(host: Host) -> None:
    """Two collects at one moment of the clock give no usage."""
    collector = host.collector("process")
    collector.collect()
    assert "process_cpu_usage_percent" not in names(collector.collect())


def test_no_limit_of_file_descriptors(host: Host) -> None:
    """If a process may have any number of file descriptors, no maximum is reported."""
    unlimited = (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY)
    host.patch.setattr(FakeProcess, "rlimit", lambda _self, _resource: unlimited)
    assert "process_max_fds" not in names(host.collector("process").collect())


PROCESS_BY_PSUTIL = {
    name
    for name, defined in FAMILY_DEFINITIONS.items()
    if defined.group == "process" and "cpu" not in name
}


@pytest.mark.parametrize(
    ("place", "attribute", "error", "failures", "lost"),
    [
        (psutil, "cpu_count", OSError("no"), {"cpu_count"}, {"system_cpu_cores"}),
        (
            psutil,
            "cpu_times",
            ValueError("no"),
            {"cpu_usage", "cpu_usage_by_core"},
            {"system_cpu_usage_percent"},
        ),
        (os, "getloadavg", OSError("no"), {"load"}, {"load"}),
        (psutil, "virtual_memory", RuntimeWarning("no"), {"memory"}, {"memory"}),
        (psutil, "swap_memory", RuntimeError("no"), {"swap"}, {"swap"}),
        (psutil, "disk_io_counters", NotImplementedError("no"), {"disk"}, {"disk"}),
        (psutil, "net_io_counters", PermissionError("no"), {"network"}, {"network"}),
        (psutil, "disk_partitions", FileNotFoundError("no"), {"filesystem"}, {"filesystem"}),
        (psutil, "disk_usage", OSError("no"), {"filesystem_usage"}, {"filesystem"}),
        (
            psutil,
            "Process",
            psutil.AccessDenied(),
            {"process", "process_beginning", "garbage_collector_beginning"},
            PROCESS_BY_PSUTIL,
        ),
        (
            psutil,
            "boot_time",
            OSError("no"),
            {"swap_beginning", "disk_beginning", "network_beginning"},
            set(),
        ),
        (
            FakeProcess,
            "num_fds",
            psutil.AccessDenied(),
            {"process_open_fds"},
            {"process_open_fds"},
        ),
        (gc, "get_stats", RuntimeError("no"), {"garbage_collector"}, {"garbage_collector"}),
    ],
)
def test_failing_reading_is_omitted_alone(
    host: Host,
    place: Any,
    attribute: str,
    error: Exception,
    failures: set[str],
    lost: set[str],
) -> None:
    """A failing reading is omitted and counted; every other metric is reported."""
    host.patch.setattr(place, attribute, raising(error))
    collector = host.collector()
    collector.collect()
    host.advance()
    expected = {
        name
        for name, defined in FAMILY_DEFINITIONS.items()
        if name not in lost and defined.group not in lost
    }
    assert expected == names(collector.collect())
    assert dict.fromkeys(failures, 2) == dict(collector.failures)


def beginnings(families: Iterable[MetricFamily]) -> dict[str, float | None]:
    """Return the time at which each series was 0, as its sample tells it."""
    samples = [sample for family in families for sample in family.samples]
    return {str(sample.series): sample.created_at for sample in samples}


def expected_beginnings(booted_at: float | None) -> dict[str, float | None]:
    """Return the time at which the counters of each group were 0."""
    return {
        "swap": booted_at,
        "disk": booted_at,
        "network": booted_at,
        "process": PROCESS_STARTED_AT,
        "garbage_collector": PROCESS_STARTED_AT,
        "cgroup": None,
    }


@pytest.mark.parametrize("booted_at", [BOOTED_AT, None])
def test_counters_tell_when_they_were_zero(host: Host, booted_at: float | None) -> None:
    """The host's count from its boot, if that can be read, and the process's from its start.

    The kernel does not tell when it made a cgroup, and gauges do not count.
    """
    if booted_at is None:
        host.patch.setattr(psutil, "boot_time", raising(OSError("no")))
    collector = host.collector()
    collector.collect()
    host.advance()
    told = beginnings(collector.collect())
    by_group = expected_beginnings(booted_at)
    expected = {
        series: by_group[FAMILY_DEFINITIONS[name].group] if name.endswith("_total") else None
        for series, name in ((series, series.partition("{")[0]) for series in told)
    }
    assert set(FAMILY_DEFINITIONS) == {series.partition("{")[0] for series in told}
    assert expected == told


def test_platform_without_a_function(host: Host) -> None:
    """A function that psutil lacks on this platform costs only its own metric."""
    host.patch.delattr(psutil, "virtual_memory")
    collector = host.collector("memory", "load")
    assert {"system_load_average"} == names(collector.collect())
    assert {"memory": 1} == dict(collector.failures)


def test_cgroup_that_cannot_be_read(host: Host) -> None:
    """A system without cgroups has no container metrics, and all others."""
    (host.tmp_path / "cgroup").unlink()
    collector = host.collector("cgroup", "load")
    assert {"system_load_average"} == names(collector.collect())
    assert {"cgroup": 1} == dict(collector.failures)


def test_one_cgroup_file_that_cannot_be_read(host: Host) -> None:
    """A cgroup file that cannot be read costs the figures that need it."""
    (host.tmp_path / "memory.max").unlink()
    (host.tmp_path / "memory.max").mkdir()  # root cannot read this either
    collector = host.collector("cgroup")
    expected = {
        "container_cpu_limit_cores",
        "container_cpu_usage_seconds_total",
        "container_cpu_throttled_seconds_total",
        "container_memory_usage_bytes",
    }
    assert expected == names(collector.collect())
    assert {
        "container_memory_limit_bytes": 1,
        "container_memory_usage_percent": 1,
    } == dict(collector.failures)


def test_failure_is_logged_once(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """A reading's first failure is logged: a refusal warns, a platform's lack does not."""
    host.patch.setattr(psutil, "virtual_memory", raising(PermissionError("denied")))
    host.patch.setattr(psutil, "swap_memory", raising(NotImplementedError("absent")))
    collector = host.collector("memory", "swap")
    with caplog.at_level(logging.DEBUG, "noetl_metrics_sdk"):
        for _ in range(3):
            collector.collect()
    left_out = "system metrics: the reading {} is left out for as long as it fails: {}"
    expected = [
        ("WARNING", left_out.format("memory", "PermissionError: denied")),
        ("DEBUG", left_out.format("swap", "NotImplementedError: absent")),
    ]
    assert expected == [(record.levelname, record.getMessage()) for record in caplog.records]
    assert {"memory": 3, "swap": 3} == dict(collector.failures)


def test_series_are_bounded(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """With any number of devices, a host gives only as many series as the bound, and counts it."""
    monkeypatch.setattr("noetl_metrics_sdk.system.collector.SERIES_PER_FAMILY_MAX", 3)
    host.disks = {f"sd{number}": DiskWithoutBusy(1, 2, 3, 4) for number in range(5)}
    collector = host.collector("disk")
    assert {3} == {len(family.samples) for family in collector.collect()}
    assert 2 == collector.failures["system_disk_reads_total"]


@pytest.mark.parametrize("group", SYSTEM_METRIC_GROUPS)
def test_each_group_can_be_left_out(host: Host, group: str) -> None:
    """Without a group, none of its metrics is reported, and all metrics of the others are."""
    collector = host.collector(*(other for other in SYSTEM_METRIC_GROUPS if other != group))
    collector.collect()
    host.advance()
    expected = {name for name, defined in FAMILY_DEFINITIONS.items() if defined.group != group}
    assert expected == names(collector.collect())
    described = {family.name for family in collector.describe()}
    assert {name.removesuffix("_total") for name in expected} == described


@pytest.mark.parametrize("groups", [["cpu", "gpu"], "gpu"])
def test_unknown_group_is_refused(groups: Any) -> None:
    """The error names a group that does not exist, and lists those that do."""
    with pytest.raises(ConfigurationError, match=r"'gpu'.*cpu, load, memory.*cgroup"):
        SystemCollector(groups)


def test_families_describe_themselves(host: Host) -> None:
    """Every family has help, a unit and a type; a counter's family has no `_total`."""
    for family in host.collector().collect():
        counts = {sample.name == f"{family.name}_total" for sample in family.samples}
        assert {family.type == "counter"} == counts
        assert family.documentation
        assert family.unit
        assert all(
            tuple(sample.labels) == FAMILY_DEFINITIONS[sample.name].labels
            for sample in family.samples
        )


def test_this_host() -> None:
    """On the host that runs the tests, two real collects give figures that can be true."""
    collector = SystemCollector()
    collector.collect()
    busy_until = time.process_time() + 0.05
    while time.process_time() < busy_until:
        pass
    found = values(collector.collect())
    assert 0 <= found['system_cpu_usage_percent{core="all"}'] <= 100
    assert found["process_cpu_usage_percent{}"] > 0
    started = pytest.approx(psutil.Process().create_time(), abs=2)  # an operator may set the clock
    assert started == found["process_start_time_seconds{}"]
    assert 0 < found["process_resident_memory_bytes{}"] < found["system_memory_total_bytes{}"]
    assert found["process_cpu_seconds_total{}"] > 0


def _in_a_child(report: Callable[[], Any]) -> Any:
    """Return what `report` returns in a forked child."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn about threads
        child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(report()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text)


def test_forked_child_reports_itself() -> None:
    """A forked child's collector starts from zero, and reports the child, not its parent."""
    collector = SystemCollector(["cpu", "process", "garbage_collector"])
    gc.collect()
    parent = values(collector.collect())
    collector.collect()

    def report() -> dict[str, Any]:
        first = values(collector.collect())
        return {"first": first, "failures": dict(collector.failures)}

    child = _in_a_child(report)["first"]
    assert not [series for series in child if "usage_percent" in series]
    assert child["process_cpu_seconds_total{}"] < parent["process_cpu_seconds_total{}"]
    assert child["process_start_time_seconds{}"] > parent["process_start_time_seconds{}"]
    assert 0 == child['python_gc_collections_total{generation="2"}']
    assert parent['python_gc_collections_total{generation="2"}'] > 0


def test_child_that_was_not_reset_has_no_usage_of_its_parent() -> None:
    """Even without the reset, a parent's CPU reading is never a child's baseline."""
    ticks = iter([10.0, 20.0, 30.0])
    process = ProcessMetrics(lambda: next(ticks), lambda: 5.0)
    list(process.read(no_guard))
    child = _in_a_child(
        lambda: [name for name, _, value in process.read(no_guard) if value is not None]
    )
    assert "process_cpu_seconds_total" in child
    assert "process_cpu_usage_percent" not in child
    usage = {name: value for name, _, value in process.read(no_guard)}
    assert 0.0 == usage["process_cpu_usage_percent"]


def test_reset_after_fork_forgets(host: Host) -> None:
    """After the reset, the next collect is a first one, and the collector knows no failure."""
    host.patch.setattr(psutil, "virtual_memory", raising(OSError("no")))
    collector = host.collector("cpu", "memory")
    collector.collect()
    collector._reset_after_fork()
    assert {} == dict(collector.failures)
    host.advance()
    assert {"system_cpu_cores"} == names(collector.collect())


def test_documentation_has_every_metric() -> None:
    """The table in docs/system-metrics.md is the same as the table in the code."""
    page = Path(__file__).parents[3] / "docs" / "system-metrics.md"
    rows = [
        [cell.strip() for cell in line.strip("|\n ").split("|")]
        for line in page.read_text(encoding="utf-8").splitlines()
        if re.match(r"\| `(system|process|python|container)_", line)
    ]
    documented = {row[0].strip("`"): tuple(row[1:5]) for row in rows}
    defined = {
        name: (
            "counter" if name.endswith("_total") else "gauge",
            definition.unit,
            ", ".join(f"`{label}`" for label in definition.labels) or "–",  # noqa: RUF001
            definition.group,
        )
        for name, definition in FAMILY_DEFINITIONS.items()
    }
    assert defined == documented
    assert len(rows) == len(documented)
