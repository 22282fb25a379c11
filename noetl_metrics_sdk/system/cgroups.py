"""Read from files what the process's cgroup may use, and what it uses.

In a container the host's figures do not say when the kernel will throttle or kill the process. The
cgroup's figures do. Three layouts occur: v2, v1, and both ("hybrid"), with each controller in one
of the two. The limits of the cgroups above a cgroup hold for it as well, so the tightest limit
counts. A container often sees only a part of the hierarchy: its own cgroup as `/` (a cgroup
namespace), or one sub-tree.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC_SELF = Path("/proc/self")

_UNLIMITED_MIN = 1 << 60
"""A memory limit from which on there is no limit, in bytes.

v1 writes "no limit" as the largest multiple of the page size below 2**63, and page sizes differ.
"""

_V1_CONTROLLERS = frozenset({"cpu", "cpuacct", "memory"})
_NUMBER = re.compile(r"-?[0-9]{1,19}")
_OCTAL = re.compile(r"\\([0-3][0-7]{2})")


class CgroupMount(NamedTuple):
    """A mounted cgroup hierarchy.

    `controllers` is empty for v2. `root` is the path of the cgroup that is mounted at `point`.
    """

    controllers: frozenset[str]
    root: str
    point: Path


class CgroupChain(NamedTuple):
    """The process's cgroup in one hierarchy, then each visible cgroup above it."""

    version: int
    directories: tuple[Path, ...]


def parse_number(text: str | None) -> int | None:
    """Return `text` as a whole number, or None if it is anything else."""
    stripped = (text or "").strip(" \t\n")
    return int(stripped) if _NUMBER.fullmatch(stripped) else None


def parse_cpu_max(text: str | None) -> float | None:
    """Return the cores of a v2 `cpu.max` ("quota period"), or None for no limit."""
    fields = (text or "").split()
    return _cores(*fields) if len(fields) == 2 else None  # noqa: PLR2004 - quota and period


def parse_flat_keyed(text: str | None) -> dict[str, int]:
    """Return number by key, from the lines "key number" of a `cpu.stat`, without other lines."""
    pairs = (line.partition(" ") for line in (text or "").splitlines())
    numbers = ((key, parse_number(value)) for key, _, value in pairs)
    return {key: number for key, number in numbers if number is not None}


def parse_memberships(text: str) -> dict[str, str]:
    """Return cgroup path by controller, from `/proc/self/cgroup`; the controller of v2 is ""."""
    memberships: dict[str, str] = {}
    for line in text.split("\n"):
        hierarchy, _, rest = line.partition(":")
        controllers, found, path = rest.partition(":")
        if found and (controllers or hierarchy == "0"):
            memberships.update(dict.fromkeys(controllers.split(","), path))
    return memberships


def parse_mounts(text: str) -> Iterator[CgroupMount]:
    """Yield the cgroup hierarchies of `/proc/self/mountinfo`."""
    for line in text.split("\n"):
        mounted, _, superblock = line.partition(" - ")
        place, described = mounted.split(" "), superblock.split(" ")
        if len(place) < 5 or len(described) < 3:  # noqa: PLR2004 - up to the fields used here
            continue
        controllers = _V1_CONTROLLERS.intersection(described[2].split(","))
        if described[0] == "cgroup2" or (described[0] == "cgroup" and controllers):
            # The kernel writes blanks and backslashes in a path as octal numbers.
            root, point = (_OCTAL.sub(lambda found: chr(int(found[1], 8)), p) for p in place[3:5])
            yield CgroupMount(controllers, root, Path(point))


def _cores(quota_text: str | None, period_text: str | None) -> float | None:
    quota, period = parse_number(quota_text), parse_number(period_text)
    # v1 writes "no limit" as -1, v2 as the word "max".
    return quota / period if quota and period and quota > 0 and period > 0 else None


def _text(path: Path) -> str | None:
    """Return the file's text, or None if there is no such file.

    Raises:
        OSError: the system refuses to read the file, which the caller counts.
    """
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError, ValueError):
        # ValueError is raised for a path that no file can have, with a NUL for example.
        return None


def _number(path: Path) -> int | None:
    return parse_number(_text(path))


def _conventional_mounts(root: Path) -> Iterator[CgroupMount]:
    """Yield the hierarchies at their conventional places, used if mountinfo does not name them."""
    for point in (root, root / "unified"):
        if (point / "cgroup.controllers").exists():
            yield CgroupMount(frozenset(), "/", point)
    for point in sorted(root.iterdir()) if root.is_dir() else ():
        controllers = _V1_CONTROLLERS.intersection(point.name.split(","))
        if controllers:
            yield CgroupMount(controllers, "/", point)


def _parts_below(mount: CgroupMount, path: str) -> tuple[str, ...] | None:
    """Return the folders from the mount to the cgroup `path`, or None if `path` is not below it."""
    try:
        parts = PurePosixPath(path).relative_to(mount.root).parts
    except ValueError:
        return None
    return None if ".." in parts else parts  # "..": outside of the cgroup namespace


def _is_of_the_machine(version: int, mount: CgroupMount) -> bool:
    """Return whether the mount's top is the root cgroup of the machine, and of no container."""
    # In v2 every cgroup except the root has the file `cgroup.events`. In v1 only the root has
    # `release_agent`. A cgroup namespace changes neither.
    if version == 1:
        return (mount.point / "release_agent").exists()
    return not (mount.point / "cgroup.events").exists()


def _find(what: str, memberships: Mapping[str, str], mounts: list[CgroupMount]) -> CgroupChain:
    # In a hybrid layout each controller is in v1 or in v2. Those in v1 have a name.
    for version, name in ((1, what), (2, "")):
        own = [m for m in mounts if (name in m.controllers if name else not m.controllers)]
        if own and name in memberships:
            return _chain(version, own, memberships[name])
    return CgroupChain(2, ())


def _chain(version: int, mounts: Sequence[CgroupMount], path: str) -> CgroupChain:
    found = ((mount, _parts_below(mount, path)) for mount in mounts)
    # The path may be below none of the mounts, as in a container without a cgroup namespace of its
    # own. A mount still shows the container's cgroup at its top.
    mount, parts = next((pair for pair in found if pair[1] is not None), (mounts[0], ()))
    own = mount.point.joinpath(*(parts or ()))
    chain = (own, *own.parents)[: len(parts or ()) + 1]
    return CgroupChain(version, chain[:-1] if _is_of_the_machine(version, mount) else chain)


class ProcessCgroups:
    """The cgroups that the process is in when the object is made.

    Each method reads its files anew. It returns None if there is no such figure: if there is no
    limit, or no such controller, or if the process is only in the machine's root cgroup.

    Args:
        root: the directory where the cgroup hierarchies are mounted.
        proc_self: the directory with the process's `cgroup` and `mountinfo`.

    Raises:
        OSError: the system has no cgroups, or does not let the process read its own.
    """

    def __init__(self, root: Path = CGROUP_ROOT, proc_self: Path = PROC_SELF) -> None:
        text = (proc_self / "cgroup").read_text(encoding="utf-8", errors="surrogateescape")
        memberships = parse_memberships(text)
        listed = parse_mounts(_text(proc_self / "mountinfo") or "")
        mounts = [mount for mount in listed if mount.point.is_relative_to(root)]
        mounts = mounts or list(_conventional_mounts(root))
        self._cpu = _find("cpu", memberships, mounts)
        self._cpuacct = _find("cpuacct", memberships, mounts)
        self._memory = _find("memory", memberships, mounts)

    def cpu_limit_cores(self) -> float | None:
        """Return the tightest CPU limit, as a number of cores."""
        return _tightest(self._cpu, _cpu_limit_cores)[0]

    def cpu_usage_seconds(self) -> float | None:
        """Return the CPU time that the process's cgroup has used, in seconds."""
        if self._cpuacct.version == 1:
            nanoseconds = _nearest(self._cpuacct, lambda at: _number(at / "cpuacct.usage"))
            return None if nanoseconds is None else nanoseconds / 1e9
        return _nearest(self._cpuacct, lambda at: _cpu_stat_seconds(at, "usage_usec", 1e6))

    def cpu_throttled_seconds(self) -> float | None:
        """Return for how many seconds the tightest CPU limit has held its cgroup back."""
        _, limiting = _tightest(self._cpu, _cpu_limit_cores)
        # The kernel counts this time in the cgroup that has the limit, and not in the cgroups below
        # it that are slowed down.
        chain = self._cpu._replace(directories=(limiting,)) if limiting else self._cpu
        key, per_second = ("throttled_time", 1e9) if chain.version == 1 else ("throttled_usec", 1e6)
        return _nearest(chain, lambda at: _cpu_stat_seconds(at, key, per_second))

    def memory_limit_bytes(self) -> float | None:
        """Return the tightest memory limit, in bytes."""
        return _tightest(self._memory, _memory_limit_bytes)[0]

    def memory_usage_bytes(self) -> float | None:
        """Return the memory that the process's cgroup uses, with the page cache, in bytes."""
        return _nearest(self._memory, lambda at: _memory_usage_bytes(self._memory.version, at))

    def memory_usage_percent(self) -> float | None:
        """Return how full the cgroup with the tightest memory limit is, in percent."""
        limit, limiting = _tightest(self._memory, _memory_limit_bytes)
        if not limit or limiting is None:
            return None
        # Sibling cgroups fill the same limit. The usage of the process's cgroup alone could be low
        # while the limit is reached.
        usage = _memory_usage_bytes(self._memory.version, limiting)
        return None if usage is None else 100.0 * usage / limit


def _cpu_limit_cores(version: int, directory: Path) -> float | None:
    if version == 1:
        quota, period = directory / "cpu.cfs_quota_us", directory / "cpu.cfs_period_us"
        return _cores(_text(quota), _text(period))
    return parse_cpu_max(_text(directory / "cpu.max"))


def _memory_limit_bytes(version: int, directory: Path) -> float | None:
    limit = _number(directory / ("memory.limit_in_bytes" if version == 1 else "memory.max"))
    return limit if limit is not None and 0 <= limit < _UNLIMITED_MIN else None


def _memory_usage_bytes(version: int, directory: Path) -> int | None:
    return _number(directory / ("memory.usage_in_bytes" if version == 1 else "memory.current"))


def _cpu_stat_seconds(directory: Path, key: str, per_second: float) -> float | None:
    counted = parse_flat_keyed(_text(directory / "cpu.stat")).get(key)
    return None if counted is None else counted / per_second


def _tightest(
    chain: CgroupChain, limit_of: Callable[[int, Path], float | None]
) -> tuple[float | None, Path | None]:
    """Return the smallest limit and its cgroup; of equal limits, that of the outermost cgroup."""
    limits = ((limit_of(chain.version, at), at) for at in reversed(chain.directories))
    found = ((limit, at) for limit, at in limits if limit is not None)
    return min(found, key=lambda pair: pair[0], default=(None, None))


def _nearest(chain: CgroupChain, figure_of: Callable[[Path], float | None]) -> float | None:
    """Return the figure of the nearest cgroup that has it, where the kernel counts it."""
    figures = (figure_of(at) for at in chain.directories)
    return next((figure for figure in figures if figure is not None), None)
