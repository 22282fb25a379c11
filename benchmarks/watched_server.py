"""This project's server, with a beat on its event loop that notes how long the loop was blocked.

Usage: python benchmarks/watched_server.py FILE [arguments of server_stub]

The beat is due every millisecond. FILE gets the process's id, and then three numbers, the most
since that id was last set to zero. The first is the seconds between two beats beyond that
millisecond. The second is the processor time that the whole process took between two beats, and
the third is the part of it that the loop's own thread took. Another thread that keeps the
interpreter to itself shows in the second number, and other programs show in the first.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import sys
import time
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING

from server_stub import __main__ as server
from server_stub.serving import server as serving
from server_stub.serving.connection import ConnectionLimits, loop_factory

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

BEAT_SECONDS = 0.001
PROCESS_ID = Struct("q")
BLOCKED = Struct("ddd")
FILE_BYTES = PROCESS_ID.size + BLOCKED.size


class Beat:
    """Beats on a loop, and notes into shared memory how long a beat was kept waiting.

    Args:
        loop: the loop.
        shared: the memory.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: mmap.mmap) -> None:
        self._loop = loop
        self._shared = shared
        self._trim = ctypes.CDLL(None).malloc_trim
        self._last = self._now()
        PROCESS_ID.pack_into(shared, 0, os.getpid())
        loop.call_soon(self._beat)

    def _begin_anew(self) -> None:
        """Give back what memory the requests before have left free, and be ready for the next."""
        gc.collect()
        self._trim(0)
        BLOCKED.pack_into(self._shared, PROCESS_ID.size, 0.0, 0.0, 0.0)
        PROCESS_ID.pack_into(self._shared, 0, os.getpid())

    @staticmethod
    def _now() -> tuple[float, float, float]:
        return time.monotonic(), time.process_time(), time.thread_time()

    def _beat(self) -> None:
        if not PROCESS_ID.unpack_from(self._shared)[0]:
            self._begin_anew()
            self._last = self._now()
        now = self._now()
        wall, process, thread = (
            after - before for after, before in zip(now, self._last, strict=True)
        )
        longest = BLOCKED.unpack_from(self._shared, PROCESS_ID.size)
        found = (wall - BEAT_SECONDS, process, thread)
        BLOCKED.pack_into(self._shared, PROCESS_ID.size, *map(max, longest, found))
        self._last = self._now()
        self._loop.call_later(BEAT_SECONDS, self._beat)


def main() -> int:
    """Run the server as `python -m server_stub` does."""
    path = Path(sys.argv.pop(1))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), FILE_BYTES) as shared:

        def watched(limits: ConnectionLimits) -> Callable[[], asyncio.AbstractEventLoop]:
            make_loop = loop_factory(limits)

            def make() -> asyncio.AbstractEventLoop:
                loop = make_loop()
                Beat(loop, shared)
                return loop

            return make

        setattr(serving, "loop_factory", watched)  # noqa: B010 - the module does not export it
        return server.main()


if __name__ == "__main__":
    sys.exit(main())
