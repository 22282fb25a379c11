"""What only the extra `server` brings, as PostgreSQL's driver: loaded, or missed in one line."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from noetl_metrics_cli.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def server_extra() -> Generator[None]:
    """Import parts of the server in the block, which not every installation has all of.

    Raises:
        CommandError: a package is missing that the extra `server` brings.
    """
    try:
        yield
    except ImportError as error:
        raise CommandError(f"{error}: pip install 'noetl-metrics-sdk[server]'") from error
