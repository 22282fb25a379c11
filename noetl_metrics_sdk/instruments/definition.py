"""The name and the description of an instrument, and the state that it shares with its children.

Why so: docs/decisions/hot-path.md.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, final

from noetl_metrics_sdk.errors import InvalidMetricError
from noetl_metrics_sdk.instruments.locking import NEEDS_LOCK
from noetl_metrics_sdk.model.metric import MetricType
from noetl_metrics_sdk.model.names import check_label_name, check_metric_name, check_text
from noetl_metrics_sdk.model.stamped_sample import SampleForm
from noetl_metrics_sdk.process.fork import ForkHandle  # noqa: TC001 - compiled, its type is looked up

if TYPE_CHECKING:
    from collections.abc import Iterable


@final
class Definition:
    """The description and the state that an instrument and all of its children share.

    Args:
        name: the family's name, without the suffixes of its samples.
        type: the family's type.
        documentation: what the instrument measures.
        unit: the unit of its values.
        label_names: the names of its labels.
        max_series: how many label sets are kept apart.
    """

    __slots__ = (
        "amounts_left_out",
        "documentation",
        "fork_handle",
        "forms",
        "generation",
        "label_names",
        "label_values_replaced",
        "lock",
        "max_series",
        "name",
        "overflowed",
        "reported_until",
        "type",
        "unit",
        "updates_directly",
    )

    def __init__(
        self,
        name: str,
        type: MetricType,  # noqa: A002 - the field's word
        documentation: str,
        unit: str,
        label_names: tuple[str, ...],
        max_series: int,
    ) -> None:
        self.name = name
        self.type = type
        self.documentation = documentation
        self.unit = unit
        self.label_names = label_names
        self.max_series = max_series
        # Guards the dictionary of children. It also guards the values of the instrument and of all
        # children, unless they are changed directly. Re-entrant, because a signal handler or a
        # finalizer may use an instrument while its own thread holds the lock. No other lock is
        # taken while it is held.
        self.lock = threading.RLock()
        self.updates_directly = not NEEDS_LOCK
        # Counts the changes of the dictionary of children, for the instrument's trackers.
        self.generation = 0
        self.overflowed = 0
        # Which values a client has reported, by the client's identity: all that began until this
        # time, by `MEASURING_CLOCK.perf_counter`. It outlives the client: if the process makes
        # another one with the same identity, the series go on, and do not begin anew.
        self.reported_until: dict[object, float] = {}
        self.amounts_left_out = 0
        self.label_values_replaced = 0
        self.forms: list[SampleForm] = []
        self.fork_handle: ForkHandle | None = None

    def form(self, suffix: str, own_label: tuple[str, str] | None = None) -> SampleForm:
        """Return the form of the samples that have this suffix and this label of their own."""
        return SampleForm(
            self.name + suffix,
            self.type,
            self.documentation,
            self.unit,
            self.label_names,
            own_label,
        )


def full_name(metric_type: MetricType, namespace: str, subsystem: str, name: str) -> str:
    """Return the name of a family: its parts joined by `_`, without the empty ones.

    Raises:
        InvalidMetricError: a part is not valid.
    """
    check_metric_name(name)
    prefixes = [check_text("namespace or subsystem", p) for p in (namespace, subsystem) if p]
    full_name = "_".join([*prefixes, name])
    if metric_type is MetricType.COUNTER:
        full_name = full_name.removesuffix("_total")
    return check_metric_name(full_name)


def check_label_names(
    label_names: Iterable[Any], reserved_names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return the names of an instrument's labels if they are valid.

    Args:
        label_names: the names that the instrument's maker gave.
        reserved_names: the names of labels that the instrument's samples have themselves.

    Raises:
        InvalidMetricError: a name is not valid, or is given twice.
    """
    if isinstance(label_names, str):
        raise InvalidMetricError(
            f"labelnames is the string {label_names!r}: give a list, like [{label_names!r}]"
        )
    checked = tuple([check_label_name(name, reserved_names) for name in label_names])
    if len(set(checked)) < len(checked):
        raise InvalidMetricError(f"labelnames {list(checked)} names a label twice: once is enough")
    return checked
