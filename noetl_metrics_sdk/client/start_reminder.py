"""Tell of a client that was never started: nothing of what was counted is sent.

A program may rightly never start the client that a module of it makes: a command that counts
nothing, or the parent of a pool. So the log has a word of it only if something was counted or
recorded.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

import atexit
import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from noetl_metrics_sdk.jobs.collector import instruments_of
from noetl_metrics_sdk.model.metric import MetricType

if TYPE_CHECKING:
    from noetl_metrics_sdk.registry import Registry

_logger = logging.getLogger("noetl_metrics_sdk")


class StartReminder:
    """Logs, once, that a client was not started before it was needed.

    Args:
        registry: the registry whose collectors the client reports.
        component: the name or the id of the client's component, for the message.
    """

    def __init__(self, registry: Registry, component: str | None) -> None:
        self._component = component
        self._has_recorded = False
        self._is_needless = False
        # The client may be gone by the process's end, so the reminder outlives it.
        if registry not in _reported:
            _reminders[registry] = self

    def note_start(self, registry: Registry) -> None:
        """Note that the client has been started, which reports all that the registry has."""
        self._is_needless = True
        _reminders.pop(registry, None)
        _reported.add(registry)

    def note_recorded(self) -> None:
        """Note that the client has got a sample that only it can send."""
        self._has_recorded = True

    def remind(self) -> None:
        """Log that the client is not started, unless the log has that already."""
        if self._is_needless:
            return
        self._is_needless = True
        _logger.warning(
            "the client of %r was not started, so nothing is sent: call start(), or use the client "
            "in a with block",
            self._component,
        )

    def remind_if_counted(self, registry: Registry) -> None:
        """Log that the client is not started, if something was counted or recorded."""
        if not self._is_needless and (self._has_recorded or _has_counted(registry)):
            self.remind()


_reminders: WeakKeyDictionary[Registry, StartReminder] = WeakKeyDictionary()
"""The last client of each registry that no started client reports."""
_reported: WeakSet[Registry] = WeakSet()
"""The registries that a client reports, or has reported."""


def _has_counted(registry: Registry) -> bool:
    """Return whether an instrument of the registry has counted; no other collector is asked."""
    return any(
        value
        for collector in registry.collectors()
        for instrument in instruments_of(collector) or ()
        # A gauge may call a function of the worker.
        if instrument.definition.type is not MetricType.GAUGE
        for holder in instrument.holders()
        for value in holder.values()
    )


def _remind_at_exit() -> None:
    for registry, reminder in list(_reminders.items()):
        reminder.remind_if_counted(registry)


atexit.register(_remind_at_exit)
