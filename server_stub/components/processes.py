"""The processes behind the components, which the server keeps in `noetl.runtime_process`.

The transaction of a heartbeat locks the component first and then its process. So the number of
processes is right when the server looks whether there is room for one more.

Why so: docs/decisions/processes.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from server_stub.postgresql.database import scalars_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import AsyncConnection

INTERVALS_UNTIL_LOST = 3
"""After how many of its heartbeat intervals a process that is silent counts as lost."""

HEARTBEAT_INTERVAL_SECONDS = 15.0
"""The interval of a process, and of a component, that does not tell its own."""

PROCESSES_PER_COMPONENT_MAX = 10_000
"""The most processes of a component that the server records."""

FORGOTTEN_AT_ONCE = 100
"""How many processes that no longer run make room when a component has the most."""

PATIENCE: Mapping[str, float] = {
    "intervals_until_lost": INTERVALS_UNTIL_LOST,
    "default_interval": HEARTBEAT_INTERVAL_SECONDS,
}
"""The parameters of the queries that say who is alive."""


async def note_process(
    connection: AsyncConnection[Any], runtime_id: int, process: Mapping[str, Any]
) -> bool:
    """Note that a process runs.

    Args:
        connection: in a transaction that has locked the component.
        runtime_id: the component's id.
        process: what the process says of itself, from `ProcessDetails.of_process()`.

    Returns:
        False if the process is not recorded, because the component has the most that run.
    """
    if await _note(connection, runtime_id, process, ends=False):
        return True
    room = {"runtime_id": runtime_id, "rows": FORGOTTEN_AT_ONCE}
    await scalars_in(connection, "components/make_room_for_processes.sql", room)
    return await _note(connection, runtime_id, process, ends=False)


async def note_end(
    connection: AsyncConnection[Any], runtime_id: int, process: Mapping[str, Any]
) -> None:
    """Note that a process ends in order; the arguments are those of `note_process`."""
    await _note(connection, runtime_id, process, ends=True)


async def _note(
    connection: AsyncConnection[Any], runtime_id: int, process: Mapping[str, Any], *, ends: bool
) -> bool:
    parameters = {
        **process,
        **PATIENCE,
        "runtime_id": runtime_id,
        "processes_max": PROCESSES_PER_COMPONENT_MAX,
        "ends": ends,
    }
    return bool(await scalars_in(connection, "components/note_process.sql", parameters))
