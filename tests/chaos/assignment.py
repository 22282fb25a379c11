"""The order that tells a worker process of the chaos suite what to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Assignment:
    """An order to a worker process; it travels as JSON on the command line.

    Args:
        server_url: the URL to which the worker delivers.
        ledger: the file in which it writes down what it records; a forked child appends its
            number to this name.
        first: the number of its first sample.
        at_least: how many samples it records at least, over all of its threads.
        at_most: how many at most: from `at_least` on it ends once it is released, which is when
            its standard input is closed. The same as `at_least` unless given.
        threads: how many threads record.
        settings: further settings of the client.
        instruments: whether it uses a counter, a gauge and a histogram as well.
        pending_max: with more samples pending than this it waits before it records more; 0 never
            waits.
        pace_seconds: how long it rests after every 200 samples.
        flush_after: flush after so many samples, and write down what is safe then; 0 never does.
        flush_seconds: how long such a flush may take.
        first_flush_is_repeated: whether it flushes again until the first samples are safe.
        forks: how many children it forks meanwhile; each records `at_least` samples of its own.
        clock_jumps: whether the wall clock jumps by hours.
        own_times: whether each sample has the time that belongs to its number, not the clock's.
        shutdown_seconds: how long the last delivery may take; None leaves that to the end of the
            process.
        file_bytes_max: how large a file of the worker may become; 0 for no limit.
        seed: the seed of the randomness in the worker.
    """

    server_url: str
    ledger: str
    first: int
    at_least: int
    at_most: int = 0
    threads: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    instruments: bool = True
    pending_max: int = 20_000
    pace_seconds: float = 0.0
    flush_after: int = 0
    flush_seconds: float = 10.0
    first_flush_is_repeated: bool = False
    forks: int = 0
    clock_jumps: bool = False
    own_times: bool = True
    shutdown_seconds: float | None = 60.0
    file_bytes_max: int = 0
    seed: int = 0

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Assignment:
        return cls(**json.loads(text))
