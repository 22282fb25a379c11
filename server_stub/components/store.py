"""The registered components, which the server keeps in the table `noetl.runtime`.

Every method raises `StoreUnavailableError` if the database is away or busy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from server_stub.errors import ComponentNotFoundError
from server_stub.postgresql.database import adapted
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from psycopg import AsyncConnection

    from server_stub.postgresql.database import Database

COMPONENTS_LISTED_MAX = 10_000
"""The most components that a listing shows."""


class Components:
    """Reads and writes `noetl.runtime`.

    Args:
        database: the pool of connections; the schema must be there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_registered(self, runtime_ids: Collection[int]) -> set[int]:
        """Return the ids that are registered."""
        parameters = {"runtime_ids": list(runtime_ids)}
        return set(await self._database.scalars("components/find_by_id.sql", parameters))

    async def register(self, registration: Mapping[str, Any]) -> int:
        """Register a component, or update it; return its id."""
        (runtime_id,) = await self._database.scalars(
            "components/register.sql", adapted(registration)
        )
        return int(runtime_id)

    async def heartbeat(self, component_type: str, name: str) -> int:
        """Note that a component is alive; return its id.

        Raises:
            ComponentNotFoundError: it is not registered.
        """
        return await self._update("components/heartbeat.sql", component_type, name)

    async def deregister(self, component_type: str, name: str) -> int:
        """Mark a component offline; its metrics stay. Return its id.

        Raises:
            ComponentNotFoundError: it is not registered.
        """
        return await self._update("components/deregister.sql", component_type, name)

    async def _update(self, query: str, component_type: str, name: str) -> int:
        parameters = {"component_type": component_type, "name": name}
        found = await self._database.scalars(query, parameters)
        if not found:
            raise ComponentNotFoundError(
                f"no {component_type} named {name[:200]!r} is registered: register it first"
            )
        return int(found[0])

    async def list_registered(self) -> list[dict[str, Any]]:
        """Return the registered components."""
        async with self._database.transaction() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(read_sql("components/list.sql"), {"limit": COMPONENTS_LISTED_MAX})
            return await cursor.fetchall()


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
