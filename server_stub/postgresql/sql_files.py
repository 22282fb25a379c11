"""The SQL of this package, which all lives in `.sql` files."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import LiteralString

_ROOT = files("server_stub") / "sql"


@cache
def read_sql(path: str) -> LiteralString:
    """Return the text of a file below `sql/`.

    The file is part of the package and holds nothing of a request. So its text counts as a literal,
    which psycopg's types ask of a query.

    Args:
        path: `components/heartbeat.sql` for example.
    """
    return (_ROOT / path).read_text(encoding="utf-8")  # pyright: ignore[reportReturnType] - see above


def migration_names() -> list[str]:
    """Return the names of the migrations, in the order in which they are applied."""
    folder = _ROOT / "migrations"
    return sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
