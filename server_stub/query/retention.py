"""How long readers see the metrics of a name. Pure: no I/O, no clock.

Why so: docs/decisions/partitions.md.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server_stub.settings import Settings

ANY_ENDING = "*"
"""The end of a pattern that stands for all names with this beginning."""


class Retention:
    """The retention of every name, as `noetl.metric_retention_of()` returns it.

    Args:
        settings: how long metrics are kept, and which of them are kept longer.
    """

    def __init__(self, settings: Settings) -> None:
        self.unless_named = timedelta(days=settings.retention_days)
        # The first pattern that matches is the longest one. A whole name comes before the same text
        # as the beginning of names.
        self.by_pattern = {
            pattern: max(timedelta(days=days), self.unless_named)
            for pattern, days in sorted(
                settings.metric_retention_days.items(),
                key=lambda rule: (len(rule[0].rstrip(ANY_ENDING)), rule[0][-1] != ANY_ENDING),
                reverse=True,
            )
        }
        self.longest = max(self.unless_named, *self.by_pattern.values(), timedelta(0))

    def by_name(self, metric_name: str) -> timedelta | None:
        """Return a name's own retention; None for a name that has the retention of all.

        Args:
            metric_name: any text.
        """
        for pattern, retention in self.by_pattern.items():
            if pattern == metric_name or (
                pattern.endswith(ANY_ENDING) and metric_name.startswith(pattern[:-1])
            ):
                return retention
        return None
