"""`POST /api/metrics`: the bulk insert."""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001, TC002

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from server_stub.auth.rule import caller_of
from server_stub.components.runtime_id import RUNTIME_ID_PATTERN
from server_stub.ingest.admission import Room
from server_stub.ingest.batch_key import parse_batch_key
from server_stub.ingest.body import ERRORS_MAX
from server_stub.routes.resources import resources_of
from server_stub.web.responses import json_response, problems

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class _DescribedRoute(APIRoute):
    """A route whose function gets the request as it is; FastAPI only describes it.

    To find the parameters of a function takes FastAPI as long as to read a batch.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's function."""
        handle: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handle


router = APIRouter(tags=["metrics"], route_class=_DescribedRoute)

_RUNTIME_ID: dict[str, Any] = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": 2**53},
        {"type": "string", "pattern": RUNTIME_ID_PATTERN},
        {"type": "null"},
    ],
    "description": "as answered by the registration: a string, as 64 bits exceed many a number",
}
_SAMPLE: dict[str, Any] = {
    "type": "object",
    "required": ["metric_name", "metric_type", "metric_value"],
    "properties": {
        "metric_name": {"type": "string", "example": "noetl_jobs_processed_total"},
        "metric_type": {"enum": ["counter", "gauge", "histogram", "summary"]},
        "metric_value": {"anyOf": [{"type": "number"}, {"enum": ["NaN", "+Inf", "-Inf"]}]},
        "runtime_id": _RUNTIME_ID,
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "help_text": {"type": "string"},
        "unit": {"type": "string"},
        "timestamp": {
            "anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}],
            "description": "ISO 8601 with an offset, or epoch seconds; else the time of arrival",
        },
    },
}
# The server takes a body whatever its samples are like: it accepts or rejects each on its own.
_SAMPLES: dict[str, Any] = {
    "type": "array",
    "items": {"anyOf": [_SAMPLE, {"description": "anything else is rejected on its own"}]},
}
_ENVELOPE: dict[str, Any] = {
    "type": "object",
    "required": ["metrics"],
    "properties": {
        "runtime_id": _RUNTIME_ID,
        "component_name": {
            "anyOf": [{"type": "string", "pattern": "^[^\\x00]*$"}, {"type": "null"}]
        },
        "metrics": _SAMPLES,
    },
}
_ONE_SAMPLE: dict[str, Any] = {
    "type": "object",
    "required": ["metric_name"],
    "not": {"required": ["metrics"]},
    "properties": {"metric_name": {}},
    "description": "one sample, as in an array",
}
_REQUEST: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "`boot id:sequence`, which names the batch; a repeat inserts nothing",
            "schema": {"type": "string", "pattern": "^[!-~]{1,200}:[0-9]{1,18}$"},
            "example": "4f1f0c1a:1",
        }
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"anyOf": [_ENVELOPE, _SAMPLES, _ONE_SAMPLE]}}},
    },
}


class RejectedSample(BaseModel):
    """A sample that was not stored."""

    index: int = Field(description="Its place in the request, from 0")
    reason: str = Field(description="What is wrong with it, and what is right")


class IngestAnswer(BaseModel):
    """What became of a batch: every sample is either inserted or rejected."""

    status: str = Field(description="ok, or duplicate for a batch that was there already")
    runtime_id: str | None = Field(description="Null where the samples are of several runtimes")
    metrics_inserted: int
    metrics_rejected: int
    errors: list[RejectedSample] = Field(
        description=f"The first {ERRORS_MAX} rejected samples; metrics_rejected counts all"
    )


@router.post(
    "/api/metrics",
    summary="Insert samples",
    response_model=IngestAnswer,
    responses=problems(
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    ),
    openapi_extra=_REQUEST,
)
@router.post("/api/metrics/report", include_in_schema=False)
async def insert_metrics(request: Request) -> Response:
    """Insert a batch in one transaction. A body may have `Content-Encoding: gzip`.

    A sample that cannot be stored is rejected on its own, and the first 500 of them are named in
    the answer. With an
    `Idempotency-Key`, a batch that was there already gets its first answer with the status
    `duplicate`. If a later batch of the same process has come since, the answer counts the samples
    just sent. If the token is bound to a component, the server refuses a batch for another
    component, and rejects each sample that names another component itself.
    """
    server, caller = await resources_of(request), await caller_of(request)
    # Before the body: to read and decompress what is refused takes the time of what is not.
    server.database.check_room()
    idempotency_key = request.headers.get("idempotency-key")
    key = None if idempotency_key is None else parse_batch_key(idempotency_key)
    content_encoding = request.headers.get("content-encoding", "")
    announced = _bytes_announced(request, server.settings.body_bytes_max)
    with server.admission.room(announced) as room:
        body = await _read(request, room)
        answer: dict[str, Any] = await server.intake.take(
            body, content_encoding, key, room, caller.bound_to
        )
    return json_response(answer)


def _bytes_announced(request: Request, bytes_max: int) -> int:
    """Return how large the body will be; 0 if the client does not say, or it will be refused."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and len(announced) <= len(str(bytes_max)):
        return int(announced)
    return 0


async def _read(request: Request, room: Room) -> bytes:
    parts: list[bytes] = []
    async for part in request.stream():
        room.take(len(part))
        parts.append(part)
    return b"".join(parts)
