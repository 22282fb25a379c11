"""What is known of the series of the last pages, within a bound in bytes.

A page is of one kind of request: of all components, or of those of a filter. What the last page of
each filter had is kept. The bound holds for all filters together.

Why so: docs/decisions/exposition.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server_stub.exposition.known_series import KnownName

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT_SHARE = 2
"""The series of a page may take so many times the bytes that are kept between pages. A kept series
of common labels takes a third of what it may take while its page is made."""

KnownPage = dict[str, KnownName]
"""What is known of the series of a page, by their names."""

_Filters = tuple[tuple[str, object], ...]


class KnownPages:
    """Keeps what is known of pages. Not for threads: only the event loop calls it.

    Args:
        bytes_max: how many bytes may be kept.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._pages: dict[_Filters, KnownPage] = {}
        """The page that was made last comes last."""

    @property
    def size_bytes(self) -> int:
        """How many bytes are kept now."""
        return sum(map(_size_of, self._pages.values()))

    def get(self, filters: Mapping[str, object]) -> KnownPage:
        """Return what is known of the last page of a filter, or nothing.

        Args:
            filters: what chose the page's components.
        """
        return self._pages.get(_key_of(filters), {})

    def keep(self, filters: Mapping[str, object], page: KnownPage) -> list[KnownName]:
        """Keep what is known of a page, and forget the pages that were made longest ago.

        Args:
            filters: what chose the page's components.
            page: what is known. Of more than the bound the names that fit are kept.

        Returns:
            What is no longer kept, for `let_go`.
        """
        fitting: KnownPage = {}
        size_bytes = 0
        for name, known in page.items():
            if size_bytes + known.size_bytes <= self._bytes_max:
                fitting[name] = known
                size_bytes += known.size_bytes
        key = _key_of(filters)
        forgotten = [self._pages.pop(key, {}), page]
        size_bytes += self.size_bytes
        while size_bytes > self._bytes_max:
            forgotten.append(self._pages.pop(next(iter(self._pages))))
            size_bytes -= _size_of(forgotten[-1])
        if fitting:
            self._pages[key] = fitting
        return [
            known
            for one in forgotten
            for name, known in one.items()
            if fitting.get(name) is not known
        ]


def let_go(names: list[KnownName]) -> None:
    """Free what is no longer kept, series by series. It takes long, and is for a thread.

    No other thread runs while a dictionary frees all that it has: 33,000 series take 25 ms.

    Args:
        names: what is no longer kept; the list is empty afterwards.
    """
    while names:
        series = names.pop().series
        rows, values = list(series), list(series.values())
        del series
        while rows:
            rows.pop()
            values.pop()


def _key_of(filters: Mapping[str, object]) -> _Filters:
    return tuple(sorted(filters.items()))


def _size_of(page: KnownPage) -> int:
    return sum([known.size_bytes for known in page.values()])
