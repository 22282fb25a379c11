"""The cgroup readings, from trees of files as the kernel lays them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from noetl_metrics_sdk.system.cgroups import (
    ProcessCgroups,
    parse_cpu_max,
    parse_flat_keyed,
    parse_memberships,
    parse_mounts,
    parse_number,
)

if TYPE_CHECKING:
    from pathlib import Path

V1_UNLIMITED = "9223372036854771712\n"
FIGURES = (
    "cpu_limit_cores",
    "cpu_usage_seconds",
    "cpu_throttled_seconds",
    "memory_limit_bytes",
    "memory_usage_bytes",
    "memory_usage_percent",
)


class Machine:
    """A /sys/fs/cgroup and a /proc/self below a temporary directory."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path / "sys fs" / "cgroup"
        self.proc_self = tmp_path / "proc"
        self.root.mkdir(parents=True)
        self.proc_self.mkdir()

    def cgroup(self, path: str, files: dict[str, str]) -> None:
        directory = self.root / path
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (directory / name).write_text(text)

    def member_of(self, *lines: str) -> None:
        (self.proc_self / "cgroup").write_text("".join(f"{line}\n" for line in lines))

    def mounts(self, *mounts: tuple[str, str, str, str]) -> None:
        """Write mountinfo: each mount, its folder below the root, its type and its options."""
        lines = ["22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw"]
        for number, (mounted, where, fstype, options) in enumerate(mounts, start=31):
            point = str(self.root / where).replace(" ", "\\040")
            lines.append(
                f"{number} 22 0:{number} {mounted} {point} rw,nosuid shared:{number} master:1"
                f" - {fstype} {fstype} rw,{options}"
            )
        (self.proc_self / "mountinfo").write_text("\n".join(lines) + "\n")

    def figures(self) -> dict[str, float]:
        cgroups = ProcessCgroups(self.root, self.proc_self)
        read = {figure: getattr(cgroups, figure)() for figure in FIGURES}
        return {figure: value for figure, value in read.items() if value is not None}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def v2(
    cpu_max: str | None = "max 100000\n",
    memory_max: str | None = "max\n",
    memory_current: str = "1000000\n",
    throttled: int = 0,
) -> dict[str, str]:
    files = {
        "cgroup.events": "populated 1\nfrozen 0\n",
        "cpu.stat": f"usage_usec 2500000\nuser_usec 1\nthrottled_usec {throttled}\n",
        "memory.current": memory_current,
        "cpu.max": cpu_max,
        "memory.max": memory_max,
    }
    return {name: text for name, text in files.items() if text is not None}


def test_v2_namespaced_container(machine: Machine) -> None:
    """A container whose own cgroup is `/` reports its limits and its usage."""
    machine.mounts(("/", ".", "cgroup2", "nsdelegate"))
    machine.member_of("0::/")
    machine.cgroup(".", v2("150000 100000\n", "4000000\n", throttled=750_000))
    expected = {
        "cpu_limit_cores": 1.5,
        "cpu_usage_seconds": 2.5,
        "cpu_throttled_seconds": 0.75,
        "memory_limit_bytes": 4_000_000,
        "memory_usage_bytes": 1_000_000,
        "memory_usage_percent": 25.0,
    }
    assert expected == machine.figures()


def test_no_limit_omits_the_limit(machine: Machine) -> None:
    """Without limits the reading has the usage, but no limit and no share of one."""
    machine.mounts(("/", ".", "cgroup2", "nsdelegate"))
    machine.member_of("0::/")
    machine.cgroup(".", v2())
    expected = {
        "cpu_usage_seconds": 2.5,
        "cpu_throttled_seconds": 0.0,
        "memory_usage_bytes": 1_000_000,
    }
    assert expected == machine.figures()


def test_tightest_ancestor_wins(machine: Machine) -> None:
    """A limit above the process's cgroup holds when it is the tightest; siblings count as used."""
    machine.mounts(("/", ".", "cgroup2", "nsdelegate"))
    machine.member_of("0::/workers.slice/pool.service")
    machine.cgroup(".", {"cgroup.controllers": "cpu memory\n"})
    machine.cgroup("workers.slice", v2("50000 100000\n", "2000000\n", "1800000\n", 9_000_000))
    machine.cgroup("workers.slice/pool.service", v2("200000 100000\n", "3000000\n"))
    expected = {
        "cpu_limit_cores": 0.5,
        "cpu_usage_seconds": 2.5,
        "cpu_throttled_seconds": 9.0,
        "memory_limit_bytes": 2_000_000,
        "memory_usage_bytes": 1_000_000,
        "memory_usage_percent": 90.0,
    }
    assert expected == machine.figures()


def test_equal_limits_count_for_the_outermost(machine: Machine) -> None:
    """Of equal limits the outermost counts: more processes share it, so it fills first."""
    machine.mounts(("/", ".", "cgroup2", "nsdelegate"))
    machine.member_of("0::/a/b")
    machine.cgroup("a", v2(memory_max="4000000\n", memory_current="3000000\n"))
    machine.cgroup("a/b", v2(memory_max="4000000\n"))
    expected = 75.0
    assert expected == machine.figures()["memory_usage_percent"]


def test_own_limit_wins_when_it_is_the_tightest(machine: Machine) -> None:
    """A wider limit above the process's cgroup changes nothing."""
    machine.mounts(("/", ".", "cgroup2", "nsdelegate"))
    machine.member_of("0::/a/b")
    machine.cgroup("a", v2("400000 100000\n", "9000000\n"))
    machine.cgroup("a/b", v2("100000 100000\n", "2000000\n"))
    figures = machine.figures()
    expected = {
        "cpu_limit_cores": 1.0,
        "memory_limit_bytes": 2_000_000,
        "memory_usage_percent": 50.0,
    }
    assert expected == {name: figures[name] for name in expected}


def test_controller_that_is_off_is_accounted_above(machine: Machine) -> None:
    """For a cgroup without a memory controller, the nearest one above that has it counts."""
    machine.mounts(("/", ".", "cgroup2", "nsdelegate"))
    machine.member_of("0::/a/init")
    machine.cgroup("a", v2(memory_max="4000000\n"))
    machine.cgroup("a/init", {"cpu.stat": "usage_usec 1000000\n", "cgroup.events": ""})
    figures = machine.figures()
    expected = {
        "cpu_usage_seconds": 1.0,
        "memory_usage_bytes": 1_000_000,
        "memory_usage_percent": 25.0,
    }
    assert expected == {name: figures[name] for name in expected}


def test_root_of_the_machine_is_no_container(machine: Machine) -> None:
    """A process in the machine's root cgroup has no container figures, in v1 and in v2."""
    machine.mounts(("/", "unified", "cgroup2", "rw"), ("/", "memory", "cgroup", "memory"))
    machine.member_of("3:memory:/", "0::/")
    machine.cgroup("unified", {"cpu.stat": "usage_usec 5\n", "cgroup.controllers": ""})
    machine.cgroup("memory", {"memory.usage_in_bytes": "7\n", "release_agent": ""})
    expected: dict[str, float] = {}
    assert expected == machine.figures()


def v1_memory(limit: str, usage: str) -> dict[str, str]:
    return {"memory.limit_in_bytes": limit, "memory.usage_in_bytes": usage}


def v1_cpu(quota: str) -> dict[str, str]:
    return {
        "cpu.cfs_quota_us": quota,
        "cpu.cfs_period_us": "100000\n",
        "cpu.stat": "nr_periods 4\nnr_throttled 2\nthrottled_time 1500000000\n",
        "cpuacct.usage": "3250000000\n",
    }


def test_v1_container_without_a_namespace(machine: Machine) -> None:
    """A v1 container sees its sub-tree at the top, and the host's paths in /proc."""
    machine.mounts(
        ("/docker/abc", "cpu,cpuacct", "cgroup", "cpu,cpuacct"),
        ("/docker/abc", "memory", "cgroup", "memory"),
    )
    machine.member_of("5:memory:/docker/abc", "4:cpu,cpuacct:/docker/abc", "1:name=systemd:/")
    machine.cgroup("cpu,cpuacct", v1_cpu("250000\n"))
    machine.cgroup("memory", v1_memory("8000000\n", "2000000\n"))
    expected = {
        "cpu_limit_cores": 2.5,
        "cpu_usage_seconds": 3.25,
        "cpu_throttled_seconds": 1.5,
        "memory_limit_bytes": 8_000_000,
        "memory_usage_bytes": 2_000_000,
        "memory_usage_percent": 25.0,
    }
    assert expected == machine.figures()


def test_v1_unlimited_values_are_no_limits(machine: Machine) -> None:
    """In v1 a quota of -1 and a huge memory limit mean that there is no limit."""
    machine.mounts(("/", "cpu", "cgroup", "cpu"), ("/", "memory", "cgroup", "memory"))
    machine.member_of("5:memory:/a", "4:cpu:/a")
    machine.cgroup("cpu/a", v1_cpu("-1\n"))
    machine.cgroup("memory/a", v1_memory(V1_UNLIMITED, "2000000\n"))
    expected = {"cpu_throttled_seconds": 1.5, "memory_usage_bytes": 2_000_000}
    assert expected == machine.figures()


def test_v1_tightest_ancestor(machine: Machine) -> None:
    """In v1, too, the tightest limit on the way up wins; the root's limit is not read."""
    machine.mounts(("/", "memory", "cgroup", "memory"))
    machine.member_of("5:memory:/pod/container")
    machine.cgroup("memory", {"release_agent": "", **v1_memory("1\n", "1\n")})
    machine.cgroup("memory/pod", v1_memory("4000000\n", "3000000\n"))
    machine.cgroup("memory/pod/container", v1_memory(V1_UNLIMITED, "500000\n"))
    expected = {
        "memory_limit_bytes": 4_000_000,
        "memory_usage_bytes": 500_000,
        "memory_usage_percent": 75.0,
    }
    assert expected == machine.figures()


def test_hybrid_takes_each_controller_from_where_it_is(machine: Machine) -> None:
    """With v1 memory and v2 for the rest, each figure comes from its own hierarchy."""
    machine.mounts(("/", "unified", "cgroup2", "rw"), ("/", "memory", "cgroup", "memory"))
    machine.member_of("5:memory:/a", "0::/b")
    machine.cgroup("memory/a", v1_memory("4000000\n", "2000000\n"))
    machine.cgroup("unified", {"cgroup.controllers": "cpu\n"})
    machine.cgroup("unified/b", v2("300000 100000\n", "1\n"))
    expected = {
        "cpu_limit_cores": 3.0,
        "cpu_usage_seconds": 2.5,
        "cpu_throttled_seconds": 0.0,
        "memory_limit_bytes": 4_000_000,
        "memory_usage_bytes": 2_000_000,
        "memory_usage_percent": 50.0,
    }
    assert expected == machine.figures()


@pytest.mark.parametrize("mountinfo", [None, "", "nonsense\n"])
def test_conventional_places_without_mountinfo(machine: Machine, mountinfo: str | None) -> None:
    """Without a useful mountinfo, the readings look for the hierarchies in their usual places."""
    if mountinfo is not None:
        (machine.proc_self / "mountinfo").write_text(mountinfo)
    machine.member_of("5:memory:/a", "0::/b")
    machine.cgroup("memory/a", v1_memory("4000000\n", "2000000\n"))
    machine.cgroup("unified", {"cgroup.controllers": "cpu\n"})
    machine.cgroup("unified/b", v2("300000 100000\n"))
    figures = machine.figures()
    expected = {"cpu_limit_cores": 3.0, "memory_usage_percent": 50.0}
    assert expected == {name: figures[name] for name in expected}


@pytest.mark.parametrize("path", ["/../sibling", "/docker/abc", "/gone (deleted)", "relative"])
def test_path_that_is_not_there_falls_back_to_what_is_visible(machine: Machine, path: str) -> None:
    """A path outside of the namespace, or a deleted one, gives the visible container's figures."""
    machine.mounts(("/", ".", "cgroup2", "nsdelegate"))
    machine.member_of(f"0::{path}")
    machine.cgroup(".", v2("100000 100000\n"))
    machine.cgroup("../sibling", v2("50000 100000\n"))
    expected = 1.0
    assert expected == machine.figures()["cpu_limit_cores"]


def test_system_without_cgroups_raises_what_the_collector_counts(tmp_path: Path) -> None:
    """Without a cgroup file of the process, the reading raises the error of a missing file."""
    with pytest.raises(FileNotFoundError):
        ProcessCgroups(tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("max 100000\n", None),
        ("50000 100000\n", 0.5),
        ("50000\n", None),
        ("0 100000", None),
        ("50000 0", None),
        ("-5 100000", None),
        ("", None),
        (None, None),
    ],
)
def test_cpu_max(text: str | None, cores: float | None) -> None:
    """`cpu.max` is a quota and a period, and anything else is no limit."""
    assert cores == parse_cpu_max(text)


def test_memberships_keep_colons_in_paths() -> None:
    """Only the first two colons of a line separate fields."""
    expected = {"cpu": "/a:b", "cpuacct": "/a:b", "name=systemd": "/", "": "/c"}
    assert expected == parse_memberships("4:cpu,cpuacct:/a:b\n1:name=systemd:/\n0::/c\n\nx\n9::/d")


@given(st.text() | st.none())
@example("0\x1f")
def test_figures_of_any_text(text: str | None) -> None:
    """No text makes a parser of figures raise, and a number is what int() reads."""
    parse_cpu_max(text)
    assert all(isinstance(value, int) for value in parse_flat_keyed(text).values())
    number = parse_number(text)
    assert number is None or (text is not None and int(text) == number)


_LINE_PARTS = st.sampled_from([
    "0", "4", ":", "::", "/", "/..", "/a", " ", " - ", "cgroup", "cgroup2", "cpu,memory", "memory",
    "\\040", "\\777", "\n", "\0", "\ud800", "\u2028", "rw", "%ROOT%",
])  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    cgroup=st.lists(_LINE_PARTS | st.text(max_size=8), max_size=12).map("".join),
    mountinfo=st.lists(_LINE_PARTS | st.text(max_size=8), max_size=20).map("".join),
)
def test_any_proc_text(machine: Machine, cgroup: str, mountinfo: str) -> None:
    """No text in /proc/self/cgroup or mountinfo makes the readings raise."""
    listed = mountinfo.replace("%ROOT%", str(machine.root).replace(" ", "\\040"))
    for name, text in (("cgroup", cgroup), ("mountinfo", listed)):
        path = machine.proc_self / name
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        assert list(parse_mounts(text)) is not None
    assert set(FIGURES) >= set(machine.figures())


@given(st.sampled_from(["cpu.max", "cpu.stat", "memory.max", "memory.current"]), st.binary())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_in_a_cgroup_file(machine: Machine, name: str, content: bytes) -> None:
    """Whatever a cgroup file holds, the readings do not raise, and other figures remain."""
    machine.mounts(("/", ".", "cgroup2", "nsdelegate"))
    machine.member_of("0::/")
    machine.cgroup(".", v2("100000 100000\n", "4000000\n"))
    (machine.root / name).write_bytes(content)
    kept = {"cpu_usage_seconds"} if name != "cpu.stat" else {"cpu_limit_cores"}
    assert kept <= set(machine.figures())
