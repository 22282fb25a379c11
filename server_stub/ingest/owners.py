"""The components that a batch names, which the server locks while it inserts the batch.

Why so: docs/decisions/ingest.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.components.runtime_id import parse_runtime_id
from server_stub.errors import ComponentNotFoundError, ForbiddenError, ParameterInvalidError
from server_stub.postgresql.sql_files import read_sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import AsyncConnection

    from server_stub.auth.tokens import BoundComponent
    from server_stub.ingest.body import ParsedBody

_OWNER_MISSING = (
    "runtime_id is missing: give the sample or the body one, "
    "as answered by POST /api/worker/pool/register"
)


class Owners(NamedTuple):
    """The components of a batch.

    `by_value` has an entry for each `runtime_id` of a sample, and for None if a sample has none:
    the component's id, or the reason why the sample is rejected. `shared` is the component of the
    whole batch, if there is only one. `components` has the name and the type of each id.
    """

    by_value: Mapping[str | float | None, int | str]
    shared: int | None
    components: Mapping[int, tuple[str, str]]


async def find_owners(
    connection: AsyncConnection[Any], parsed: ParsedBody, bound_to: BoundComponent | None = None
) -> Owners:
    """Find the components of a batch, and lock them until the transaction ends.

    Args:
        connection: in the transaction that inserts the batch.
        parsed: the batch.
        bound_to: the only component that the batch may be for, or None for any.

    If the batch may be for one component only, all others are as if they were not registered: a
    sender does not learn which there are.

    Raises:
        ComponentNotFoundError: the component that the envelope names is not registered, or none of
            the components that the samples name is.
        ForbiddenError: the envelope gives another name than that of `bound_to`.
        ParameterInvalidError: several components have the name that the envelope gives.
    """
    by_value: dict[str | float | None, int | str] = {}
    for value in {sample.runtime_id for sample in parsed.samples} - {None}:
        assert value is not None
        try:
            by_value[value] = parse_runtime_id(value)
        except ValueError as error:
            by_value[value] = str(error)
    wanted = {found for found in by_value.values() if isinstance(found, int)}
    if parsed.runtime_id is not None:
        wanted.add(parsed.runtime_id)
    name = parsed.component_name if parsed.runtime_id is None else None
    if bound_to is not None and name not in {None, bound_to.name}:
        raise ForbiddenError(_not_allowed(name, bound_to))
    cursor = await connection.execute(
        read_sql("ingest/hold_components.sql"), {"runtime_ids": list(wanted), "name": name}
    )
    held = _visible(await cursor.fetchall(), bound_to)
    known = {runtime_id for runtime_id, _, _ in held}
    if parsed.runtime_id is not None and parsed.runtime_id not in known:
        raise ComponentNotFoundError(_not_registered(parsed.runtime_id, bound_to))
    envelope_owner = parsed.runtime_id if name is None else _named(name, held)
    if wanted and not wanted & known:
        raise ComponentNotFoundError(_not_registered(min(wanted), bound_to))
    for value, found in by_value.items():
        if isinstance(found, int) and found not in known:
            by_value[value] = _not_registered(found, bound_to)
    by_value[None] = _OWNER_MISSING if envelope_owner is None else envelope_owner
    shared = _only(wanted & known) if envelope_owner is None else envelope_owner
    return Owners(
        by_value, shared, {number: (name, component_type) for number, name, component_type in held}
    )


def _named(name: str, held: list[tuple[int, str, str]]) -> int:
    found = [
        (runtime_id, component_type)
        for runtime_id, held_name, component_type in held
        if held_name == name
    ]
    if not found:
        raise ComponentNotFoundError(
            f"no component named {name[:200]!r} is registered: "
            "register it by POST /api/worker/pool/register"
        )
    if len(found) > 1:
        types = " and a ".join(sorted(component_type for _, component_type in found))
        raise ParameterInvalidError(
            f"component_name {name[:200]!r} is the name of a {types}: use the runtime_id"
        )
    return found[0][0]


def _visible(
    held: list[tuple[int, str, str]], bound_to: BoundComponent | None
) -> list[tuple[int, str, str]]:
    if bound_to is None:
        return held
    own = (bound_to.name, bound_to.component_type)
    return [component for component in held if component[1:] == own]


def _only(runtime_ids: set[int]) -> int | None:
    return next(iter(runtime_ids)) if len(runtime_ids) == 1 else None


def _not_registered(runtime_id: int, bound_to: BoundComponent | None) -> str:
    whose = "" if bound_to is None else f" for this token, which is bound to {_shown(bound_to)}"
    return (
        f"no runtime {runtime_id} is registered{whose}: register it by "
        "POST /api/worker/pool/register"
    )


def _not_allowed(name: object, bound_to: BoundComponent) -> str:
    return (
        f"component_name {str(name)[:200]!r} is not this token's, which is bound to "
        f"{_shown(bound_to)}: use the token of that component"
    )


def _shown(bound_to: BoundComponent) -> str:
    return repr(str(bound_to)[:200])
