"""A real nginx that gives the server's paths a prefix, from Debian's package `nginx-light`."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.peer_program import PeerProgram
from tests.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

PROGRAM = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_nginx = pytest.mark.skipif(
    PROGRAM is None, reason="nginx is not installed: Debian has a package nginx-light"
)

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location {prefix}/ {{ proxy_pass {url}/; proxy_redirect off; }}
        location = / {{ return 204; }}
    }}
}}
"""


@contextmanager
def prefixed(folder: Path, prefix: str, url: str) -> Generator[str]:
    """Run an nginx; yield the URL of a server through it.

    Args:
        folder: the folder of its configuration and its log.
        prefix: what comes before the server's paths, and is taken off on the way to it.
        url: the URL of the server.
    """
    assert PROGRAM is not None
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, prefix=prefix, url=url))
    program = PeerProgram([PROGRAM, "-c", str(configuration)], port, folder / "nginx.log")
    program.start()
    try:
        yield program.url + prefix
    finally:
        program.stop()
