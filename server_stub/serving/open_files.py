"""How many files, and so connections, the system lets this process have open.

Most systems start a process with 1,024, and let it have more if it asks.

Why so: docs/decisions/security.md.
"""

from __future__ import annotations

import logging
import resource

OTHER_FILES = 256
"""What a process has open beside its clients' connections: to databases, the log, modules."""

_logger = logging.getLogger(__name__)


def room_for_connections(connections_max: int) -> int:
    """Have the system let this process, and those that it starts, have the connections open.

    Args:
        connections_max: how many connections of clients there may be.

    Returns:
        As many of them as the system allows. If these are fewer, the log has how to allow more.
    """
    needed = connections_max + OTHER_FILES
    allowed, allowed_max = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = needed if allowed_max == resource.RLIM_INFINITY else min(needed, allowed_max)
    if allowed != resource.RLIM_INFINITY and allowed < possible:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, allowed_max))
    if possible == needed:
        return connections_max
    room = max(possible - OTHER_FILES, 1)
    _logger.warning(
        "the system lets a process have %d open files, which is room for %d connections and not "
        "for %d: allow %d (LimitNOFILE= in a unit of systemd, ulimit -Hn in a shell), or set "
        "--connections-max",
        possible, room, connections_max, needed,
    )  # fmt: skip
    return room
