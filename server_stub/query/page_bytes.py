"""How many bytes of rows one answer has, so that no answer takes the server's memory.

A row may have labels of a quarter of a megabyte. PostgreSQL adds the texts up, and sends only what
fits.

Why so: docs/decisions/queries.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString, NamedTuple

from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGE_BYTES_MAX = 8 * 1024 * 1024
"""How many bytes the rows of a page of samples have. If they are more, the page ends before its
limit. Ten thousand rows of common labels are less."""


class RowSize(NamedTuple):
    """What a row takes: `row_bytes`, and its labels, help text and unit `copies` times."""

    row_bytes: int
    copies: int

    def size(self, *texts: str | None) -> int:
        """Return what a row counts that has these texts."""
        return self.row_bytes + self.copies * sum(len(text or "") for text in texts)

    def size_bytes(self, *texts: str | None) -> int:
        """Return the same as PostgreSQL reckons it, which knows how many bytes a text has."""
        return self.row_bytes + self.copies * sum(len((text or "").encode()) for text in texts)


SAMPLE_ROW = RowSize(300, 1)
"""A sample, as its answer shows it."""

SERIES_ROW = RowSize(2_400, 8)
"""A series on a page for Prometheus, with all that the server makes for it meanwhile."""


def bounded_page_query(query: LiteralString) -> LiteralString:
    """Return a query of a page's rows, bounded in bytes.

    It needs the parameters of `bounds()`, and has two more columns: `has_next` and
    `bytes_before`. The query's column `labels` is a text.

    Args:
        query: the query, with its order.
    """
    return read_sql("query/page_begin.sql") + query + read_sql("query/page_end.sql")


def bounded_latest_query(query: LiteralString) -> LiteralString:
    """Return a query of the latest samples, bounded in bytes.

    It needs the parameters of `bounds()`. Its first column is the number of all series; the others
    are those of `SeriesOfName` (query/latest.py).

    Args:
        query: the query.
    """
    return read_sql("query/latest_begin.sql") + query + read_sql("query/latest_end.sql")


def bounds(bytes_max: int, row: RowSize) -> Mapping[str, int]:
    """Return the parameters of a bounded query.

    Args:
        bytes_max: how many bytes of rows there may be.
        row: what a row counts.
    """
    return {"page_bytes_max": bytes_max, **row._asdict()}
