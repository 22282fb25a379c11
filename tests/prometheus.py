"""The real Prometheus, from Debian's package `prometheus`."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.peer_program import PeerProgram
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from pathlib import Path

PROGRAM = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(
    PROGRAM is None, reason="prometheus is not installed: Debian has a package of this name"
)


class Prometheus(PeerProgram):
    """A Prometheus with a folder and a port of its own; it takes remote write."""

    health_path = "/-/ready"
    # Whether `increase()` extrapolates to the ends of its range.
    extrapolates = True
    relative_precision = 0.0
    extreme_values = (0.1, math.nan, math.inf, -1e300, 5e-324)

    @property
    def write_url(self) -> str:
        """Return the address that takes remote write."""
        return f"{self.url}/api/v1/write"


@contextmanager
def running_prometheus(
    folder: Path,
    *,
    scrape_configs: Sequence[Mapping[str, Any]] = (),
    out_of_order_time_window: str = "0s",
    extra_flags: Sequence[str] = (),
) -> Generator[Prometheus]:
    """Run a Prometheus while the block runs, unless a test kills it meanwhile.

    Args:
        folder: the folder of its data and its log.
        scrape_configs: what it scrapes, each second unless a configuration says otherwise.
        out_of_order_time_window: how much older than the newest sample of its series a sample may
            be.
        extra_flags: further flags of its command line.
    """
    assert PROGRAM is not None
    port = free_port()
    # Its configuration is YAML, and JSON is a part of YAML.
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": list(scrape_configs),
        "storage": {"tsdb": {"out_of_order_time_window": out_of_order_time_window}},
    }
    (folder / "prometheus.yml").write_text(json.dumps(configuration))
    command = [
        PROGRAM,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
        "--storage.tsdb.retention.time=10y",
        *extra_flags,
    ]
    program = Prometheus(command, port, folder / "prometheus.log")
    program.start()
    try:
        yield program
    finally:
        program.stop()
