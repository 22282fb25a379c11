"""Components and their processes: registering, heartbeats, goodbyes, listing, deleting."""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001, TC002

from __future__ import annotations

import asyncio
import json
import re
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from noetl_metrics_sdk.model.component_types import ComponentType
from server_stub.auth.rule import Authenticated
from server_stub.components.registration import (
    ComponentBody,
    Goodbye,
    HeartbeatBody,
    RegistrationBody,
)
from server_stub.components.runtime_id import RUNTIME_ID_PATTERN, parse_runtime_id
from server_stub.errors import ParameterInvalidError
from server_stub.routes.json_route import JsonRoute
from server_stub.routes.resources import Server
from server_stub.web.responses import json_response, problems

router = APIRouter(tags=["components"], route_class=JsonRoute)

_BODY_PROBLEMS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
)


_DOCUMENTS = ("labels", "capabilities", "runtime", "processes")
_LONG_NUMBER = re.compile(r"(?<![0-9])[0-9]{4000}")
NESTING_MAX = 500
"""Documents of fewer brackets are nested less deep than any reader's bound."""


class RegistrationAnswer(BaseModel):
    """The component as registered."""

    status: Literal["ok"]
    name: str
    runtime_id: str = Field(description="64 bits are more than a JavaScript number holds")
    kind: ComponentType
    runtime: str | dict[str, Any] | None = Field(description="As it was sent")


class ComponentAnswer(BaseModel):
    """The component that was meant."""

    status: Literal["ok"]
    name: str
    runtime_id: str
    kind: ComponentType


class Process(BaseModel):
    """A process of a component; times are in UTC."""

    worker_id: str
    hostname: str | None
    pid: int | None
    sdk_version: str | None
    started_at: str | None
    last_heard_at: str
    ended_at: str | None = Field(description="When it said that it ends")
    heartbeat_interval: float | None = Field(description="In seconds, as it was told")
    state: Literal["running", "ended", "lost"] = Field(
        description="ended: in order; lost: silent for three of its intervals"
    )


class ProcessCounts(BaseModel):
    """How many processes of a component are in each state."""

    running: int
    ended: int
    lost: int


class ListedComponent(BaseModel):
    """A registered component; times are in UTC."""

    runtime_id: str
    name: str
    kind: str
    component_type: str
    base_url: str | None
    status: str = Field(description="ready, busy, offline, or deleting")
    labels: dict[str, Any] | list[Any] | None
    capabilities: dict[str, Any] | list[Any] | None
    capacity: int | None
    runtime: dict[str, Any] | None
    last_heartbeat: str | None
    created_at: str | None
    updated_at: str | None
    alive: bool
    process_counts: ProcessCounts
    processes: list[Process] = Field(
        description="Those that run first, then those that were heard of last; a hundred at most"
    )


class ComponentList(BaseModel):
    """The registered components."""

    components: list[ListedComponent]
    notes: list[str] = Field(description="What is left out, because the answer has no room for it")


class DeletionAnswer(ComponentAnswer):
    """The component that is gone."""

    metrics_deleted: int = Field(description="How many rows of metrics went with it")


@router.post(
    "/api/worker/pool/register",
    summary="Register a component",
    response_model=RegistrationAnswer,
    responses=problems(*_BODY_PROBLEMS),
)
@router.post("/api/runtime/register", response_model=RegistrationAnswer, include_in_schema=False)
async def register(
    registration: RegistrationBody, server: Server, caller: Authenticated
) -> Response:
    """Register a component, or update it: the same name of the same kind keeps its id."""
    caller.check_component(registration.component_type, registration.name)
    runtime_id = await server.components.register(registration.columns(), registration.process())
    named = _named(registration.name, registration.component_type, runtime_id)
    return json_response(named | {"runtime": registration.runtime})


@router.post(
    "/api/worker/pool/heartbeat",
    summary="Say that a component is alive",
    response_model=ComponentAnswer,
    responses=problems(HTTPStatus.NOT_FOUND, *_BODY_PROBLEMS),
)
async def heartbeat(component: HeartbeatBody, server: Server, caller: Authenticated) -> Response:
    """Note that a component is alive and ready, and which of its processes says so."""
    caller.check_component(component.component_type, component.name)
    runtime_id = await server.components.heartbeat(
        component.component_type, component.name, component.process()
    )
    return json_response(_named(component.name, component.component_type, runtime_id))


@router.post(
    "/api/worker/pool/goodbye",
    summary="Say that a process ends",
    response_model=ComponentAnswer,
    responses=problems(HTTPStatus.NOT_FOUND),
)
async def goodbye(
    ending: Annotated[Goodbye, Query()], server: Server, caller: Authenticated
) -> Response:
    """Note that a process of a component ends in order.

    All of the request is in its first line: the sender need not wait for an answer, and may end its
    connection.
    """
    caller.check_component(ending.kind, ending.name)
    process = ending.of_process(ending.worker_id)
    runtime_id = await server.components.goodbye(ending.kind, ending.name, process)
    return json_response(_named(ending.name, ending.kind, runtime_id))


@router.post(
    "/api/worker/pool/deregister",
    summary="Mark a component offline",
    response_model=ComponentAnswer,
    responses=problems(HTTPStatus.NOT_FOUND, *_BODY_PROBLEMS),
)
@router.delete(
    "/api/worker/pool/deregister",
    summary="Mark a component offline",
    response_model=ComponentAnswer,
    responses=problems(HTTPStatus.NOT_FOUND, *_BODY_PROBLEMS),
)
@router.post("/api/runtime/deregister", include_in_schema=False)
@router.delete("/api/runtime/deregister", include_in_schema=False)
async def deregister(component: ComponentBody, server: Server, caller: Authenticated) -> Response:
    """Mark a component offline; its metrics stay until they expire."""
    caller.check_component(component.component_type, component.name)
    runtime_id = await server.components.deregister(component.component_type, component.name)
    return json_response(_named(component.name, component.component_type, runtime_id))


@router.get(
    "/api/runtime",
    summary="List the components",
    response_model=ComponentList,
    responses=problems(),
)
@router.get("/api/metrics/components", include_in_schema=False)
async def list_components(server: Server) -> Response:
    """Return the registered components, by kind and name, and the processes behind them."""
    return await asyncio.to_thread(_listing, await server.components.list_registered())


@router.delete(
    "/api/runtime/{runtime_id}",
    summary="Delete a component and its metrics",
    response_model=DeletionAnswer,
    responses=problems(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND),
)
async def delete(
    runtime_id: Annotated[str, Path(json_schema_extra={"pattern": RUNTIME_ID_PATTERN})],
    server: Server,
) -> Response:
    """Delete a component, its processes and its metrics; answer when all of it is gone.

    A client that still reports gets 404 for its next batch, and registers the component anew. If
    the deletion breaks off, the same request goes on with it.
    """
    try:
        number = parse_runtime_id(runtime_id)
    except ValueError as error:
        raise ParameterInvalidError(str(error)) from error
    deleted = await server.deletions.delete(number)
    named = _named(deleted.name, deleted.component_type, number)
    return json_response(named | {"metrics_deleted": deleted.metrics})


def _listing(components: list[dict[str, Any]]) -> Response:
    shortened = 0
    for component in components:
        shortened += not component.pop("is_whole")
        for name in _DOCUMENTS:
            component[name] = _readable(component[name])
    notes: list[str] = []
    if shortened:
        notes.append(
            f"{shortened} components are shown without base_url, labels, capabilities and runtime, "
            "which are too large together: register components with smaller ones"
        )
    return json_response({"components": components, "notes": notes})


def _readable(document: str | None) -> msgspec.Raw | str | None:
    """Return a document in JSON as it is; as a text, if a usual reader of JSON fails at it."""
    if document is None:
        return None
    if _LONG_NUMBER.search(document) or document.count("[") + document.count("{") > NESTING_MAX:
        try:
            json.loads(document)
        except (ValueError, RecursionError):
            return document
    return msgspec.Raw(document.encode())


def _named(name: str, component_type: str, runtime_id: int) -> dict[str, Any]:
    return {
        "status": "ok",
        "name": name,
        "runtime_id": str(runtime_id),
        "kind": component_type,
    }
