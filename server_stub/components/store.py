"""What the server keeps and finds in the table `noetl.runtime`: the registered components.

Every method raises `StoreUnavailableError` when the database is away or busy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.rows import dict_row

from server_stub.errors import RuntimeNotFoundError
from server_stub.postgresql.database import adapted
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from server_stub.postgresql.database import Database

RUNTIMES_LISTED_MAX = 10_000
"""The most components that a listing shows."""


class ComponentStore:
    """Reads and writes `noetl.runtime`.

    Args:
        database: the pool of connections; the schema must be there.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find_runtime_ids(self, runtime_ids: Collection[int]) -> set[int]:
        """Return those of the ids that are registered."""
        parameters = {"runtime_ids": list(runtime_ids)}
        return set(await self._database.scalars("find_runtimes_by_id", parameters))

    async def register(self, registration: Mapping[str, Any]) -> int:
        """Register a component, or update it; return its id."""
        (runtime_id,) = await self._database.scalars("register_runtime", adapted(registration))
        return int(runtime_id)

    async def heartbeat(self, component_type: str, name: str) -> int:
        """Note that a component is alive; return its id.

        Raises:
            RuntimeNotFoundError: it is not registered.
        """
        return await self._update_runtime("heartbeat", component_type, name)

    async def deregister(self, component_type: str, name: str) -> int:
        """Mark a component offline; its metrics stay. Return its id.

        Raises:
            RuntimeNotFoundError: it is not registered.
        """
        return await self._update_runtime("deregister_runtime", component_type, name)

    async def _update_runtime(self, query: str, component_type: str, name: str) -> int:
        parameters = {"component_type": component_type, "name": name}
        found = await self._database.scalars(query, parameters)
        if not found:
            raise RuntimeNotFoundError(
                f"no {component_type} named {name[:200]!r} is registered: register it first"
            )
        return int(found[0])

    async def list_runtimes(self) -> list[dict[str, Any]]:
        """Return the registered components."""
        async with self._database.transaction() as connection:
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(
                read_sql("queries/list_runtimes.sql"), {"limit": RUNTIMES_LISTED_MAX}
            )
            return await cursor.fetchall()
