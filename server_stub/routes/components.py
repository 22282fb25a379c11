"""Components: registering, heartbeats, deregistering, listing."""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001, TC002

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from noetl_metrics_sdk.model.component_types import ComponentType
from server_stub.auth.rule import Authenticated
from server_stub.components.registration import ComponentBody, RegistrationBody
from server_stub.routes.resources import Server
from server_stub.web.responses import json_response, problems

router = APIRouter(tags=["components"])


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


class ComponentList(BaseModel):
    """The registered components."""

    components: list[dict[str, Any]]


@router.post(
    "/api/worker/pool/register",
    summary="Register a component",
    response_model=RegistrationAnswer,
    responses=problems(HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_TIMEOUT),
)
@router.post("/api/runtime/register", response_model=RegistrationAnswer, include_in_schema=False)
async def register(
    registration: RegistrationBody, server: Server, caller: Authenticated
) -> Response:
    """Register a component, or update it: the same name of the same kind keeps its id."""
    caller.check_component(registration.component_type, registration.name)
    runtime_id = await server.components.register(registration.columns())
    return json_response(_named(registration, runtime_id) | {"runtime": registration.runtime})


@router.post(
    "/api/worker/pool/heartbeat",
    summary="Say that a component is alive",
    response_model=ComponentAnswer,
    responses=problems(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_TIMEOUT),
)
async def heartbeat(component: ComponentBody, server: Server, caller: Authenticated) -> Response:
    """Note that a component is alive and ready."""
    caller.check_component(component.component_type, component.name)
    runtime_id = await server.components.heartbeat(component.component_type, component.name)
    return json_response(_named(component, runtime_id))


@router.post(
    "/api/worker/pool/deregister",
    summary="Mark a component offline",
    response_model=ComponentAnswer,
    responses=problems(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_TIMEOUT),
)
@router.delete(
    "/api/worker/pool/deregister",
    summary="Mark a component offline",
    response_model=ComponentAnswer,
    responses=problems(HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_TIMEOUT),
)
@router.post("/api/runtime/deregister", include_in_schema=False)
@router.delete("/api/runtime/deregister", include_in_schema=False)
async def deregister(component: ComponentBody, server: Server, caller: Authenticated) -> Response:
    """Mark a component offline; its metrics stay until they expire."""
    caller.check_component(component.component_type, component.name)
    runtime_id = await server.components.deregister(component.component_type, component.name)
    return json_response(_named(component, runtime_id))


@router.get(
    "/api/runtime",
    summary="List the components",
    response_model=ComponentList,
    responses=problems(),
)
@router.get("/api/metrics/components", include_in_schema=False)
async def list_components(server: Server) -> Response:
    """Return the registered components, by kind and name."""
    return json_response({"components": await server.components.list_registered()})


def _named(component: ComponentBody, runtime_id: int) -> dict[str, Any]:
    return {
        "status": "ok",
        "name": component.name,
        "runtime_id": str(runtime_id),
        "kind": component.component_type,
    }
