"""The registered components, which the server keeps in the table `noetl.runtime`, and who is alive.

Every method raises `StoreUnavailableError` if the database is away or busy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from server_stub.components.processes import PATIENCE, note_end, note_process
from server_stub.errors import ComponentNotFoundError
from server_stub.postgresql.database import adapted, fetch_all, scalars_in
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg import AsyncConnection

    from server_stub.postgresql.database import Database
    from server_stub.statistics import Statistics

COMPONENTS_LISTED_MAX = 10_000
"""The most components that a listing shows."""

PROCESSES_LISTED_MAX = 10_000
"""The most processes that a listing shows; what it leaves out is counted in it."""

PROCESSES_OF_A_COMPONENT_LISTED_MAX = 100
"""The most processes of one component that a listing shows."""

DOCUMENTS_LISTED_BYTES_MAX = 8 * 1024 * 1024
"""How many bytes of what components say of themselves a listing shows. Each may say a quarter of a
megabyte; those that come later in the listing are shown without it."""

PROCESSES_LISTED_BYTES_MAX = 4 * 1024 * 1024
"""How many bytes of processes a listing shows."""

PROCESS_OVERHEAD_BYTES = 300
"""What a process takes in a listing besides its texts."""


class Components:
    """Reads and writes `noetl.runtime` and `noetl.runtime_process`.

    Args:
        database: the pool of connections; the schema must be there.
        statistics: counts the processes that are not recorded.
    """

    def __init__(self, database: Database, statistics: Statistics) -> None:
        self._database = database
        self._statistics = statistics

    async def find_registered(self, runtime_ids: Collection[int]) -> set[int]:
        """Return the ids that are registered."""
        parameters = {"runtime_ids": list(runtime_ids)}
        async with self._database.query() as connection:
            return set(await scalars_in(connection, "components/find_by_id.sql", parameters))

    async def register(
        self, registration: Mapping[str, Any], process: Mapping[str, Any] | None = None
    ) -> int:
        """Register a component, or update it; return its id.

        Args:
            registration: the row of the component.
            process: what the process that registers says of itself, if it does.
        """
        async with self._database.transaction() as connection:
            (runtime_id,) = await scalars_in(
                connection, "components/register.sql", adapted(registration)
            )
            await self._note_process(connection, runtime_id, process)
        return int(runtime_id)

    async def heartbeat(
        self, component_type: str, name: str, process: Mapping[str, Any] | None = None
    ) -> int:
        """Note that a component is alive, and the process that says so; return the component's id.

        Raises:
            ComponentNotFoundError: it is not registered.
        """
        async with self._database.transaction() as connection:
            runtime_id = await _found(connection, "components/heartbeat.sql", component_type, name)
            await self._note_process(connection, runtime_id, process)
        return runtime_id

    async def goodbye(self, component_type: str, name: str, process: Mapping[str, Any]) -> int:
        """Note that a process of a component ends in order; return the component's id.

        Raises:
            ComponentNotFoundError: the component is not registered.
        """
        async with self._database.transaction() as connection:
            runtime_id = await _found(
                connection, "components/hold_by_name.sql", component_type, name
            )
            await note_end(connection, runtime_id, process)
        return runtime_id

    async def _note_process(
        self, connection: AsyncConnection[Any], runtime_id: int, process: Mapping[str, Any] | None
    ) -> None:
        if process is not None and not await note_process(connection, runtime_id, process):
            self._statistics.components.processes_unrecorded.inc()

    async def deregister(self, component_type: str, name: str) -> int:
        """Mark a component offline; its metrics stay. Return its id.

        Raises:
            ComponentNotFoundError: it is not registered.
        """
        async with self._database.transaction() as connection:
            return await _found(connection, "components/deregister.sql", component_type, name)

    async def list_registered(self) -> list[dict[str, Any]]:
        """Return the registered components, each with its processes.

        `labels`, `capabilities`, `runtime` and `processes` are texts in JSON. `is_whole` says
        whether the component is shown with all that it says of itself.
        """
        bounds = {
            "components": COMPONENTS_LISTED_MAX,
            "processes": PROCESSES_LISTED_MAX,
            "processes_per_component": PROCESSES_OF_A_COMPONENT_LISTED_MAX,
            "documents_bytes": DOCUMENTS_LISTED_BYTES_MAX,
            "processes_bytes": PROCESSES_LISTED_BYTES_MAX,
            "process_bytes": PROCESS_OVERHEAD_BYTES,
        }
        async with self._database.query() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(read_sql("components/list.sql"), {**bounds, **PATIENCE})
            return await fetch_all(cursor)


async def _found(
    connection: AsyncConnection[Any], query: str, component_type: str, name: str
) -> int:
    parameters = {"component_type": component_type, "name": name}
    found = await scalars_in(connection, query, parameters)
    if not found:
        raise ComponentNotFoundError(
            f"no {component_type} named {name[:200]!r} is registered: register it first"
        )
    return int(found[0])


async def with_component_id(
    connection: AsyncConnection[Any], filters: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return filters with a component's name replaced by its id, if only one has that name.

    The indexes have the id, and the planner can estimate how many rows it has.

    Args:
        connection: in a transaction.
        filters: the value of each filter, by its name in `sql/filters/`.
    """
    if "component_name" not in filters or "runtime_id" in filters:
        return filters
    wanted = {"component_name": filters["component_name"]}
    named = await connection.execute(read_sql("components/find_by_name.sql"), wanted)
    found = await named.fetchall()
    if len(found) != 1:
        return filters
    others = {name: value for name, value in filters.items() if name != "component_name"}
    return others | {"runtime_id": found[0][0]}
