"""Ports for programs that cannot choose a free one themselves."""

from __future__ import annotations

import itertools
import os
import random
import socket

FIRST = 10_000
COUNT = 2_000
"""How many ports each process of the tests has. The kernel gives others away, from 32768 on."""

_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
_ports = itertools.count(random.randrange(COUNT))


def free_port() -> int:
    """Return a port on which no process listens, and which none but this process's programs takes.

    A port that the kernel gives away is another program's, now and then, before the program that
    it is for has started.
    """
    for number in _ports:
        port = FIRST + COUNT * _process + number % COUNT
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("unreachable: the count has no end")
