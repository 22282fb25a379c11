"""What a component and its processes say of themselves, and the id that a component gets.

The wire calls a component's type `kind`, and the component itself a runtime; routes and token files
do the same. The code says `component_type` and component. Both say `runtime_id`, as the table does.
A registration's own field `runtime` is something else: what the component runs on.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    Field,
    WithJsonSchema,
)

from noetl_metrics_sdk.model.component_types import ComponentType  # noqa: TC001 - pydantic reads it
from noetl_metrics_sdk.model.names import check_text

CAPACITY_MAX = 2**31 - 1
PROCESS_ID_MAX = 2**32 - 1
DOCUMENT_CHARACTERS_MAX = 64 * 1024
WORKER_ID_CHARACTERS_MAX = 512
HEARTBEAT_INTERVAL_SECONDS_MAX = 86_400.0

# JSON escapes a NUL as \u0000. After an even number of backslashes, "u0000" is text instead.
_NUL_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _check_name(name: str) -> str:
    if not name.strip():
        raise ValueError("a name must not be blank")
    return check_text("a name", name)


def _refuse_boolean(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")  # noqa: TRY004 - what pydantic reports
    return value


def _check_document(document: Any) -> Any:
    """Refuse what a JSONB column cannot hold."""
    try:
        encoded = json.dumps(document, allow_nan=False, ensure_ascii=False)
    except (ValueError, RecursionError):
        raise ValueError("must be plain JSON, without NaN or Infinity") from None
    if len(encoded) > DOCUMENT_CHARACTERS_MAX:
        raise ValueError(f"must have at most {DOCUMENT_CHARACTERS_MAX} characters as JSON")
    check_text("the value", encoded)
    if _NUL_ESCAPE.search(encoded):
        raise ValueError("has a NUL, which PostgreSQL cannot store")
    return document


Capacity = Annotated[int, Field(ge=0, le=CAPACITY_MAX), BeforeValidator(_refuse_boolean)]
ProcessId = Annotated[int, Field(ge=0, le=PROCESS_ID_MAX), BeforeValidator(_refuse_boolean)]
# The pattern is for the OpenAPI description. The validator checks, with a better message.
_NOT_BLANK: dict[str, Any] = {"pattern": r"^[^\x00]*[^\s\x00][^\x00]*$"}
Name = Annotated[
    str,
    Field(min_length=1, max_length=255, json_schema_extra=_NOT_BLANK),
    AfterValidator(_check_name),
]
_TIME: dict[str, Any] = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "number"}]}
Text = Annotated[
    str, Field(max_length=2048), AfterValidator(lambda text: check_text("the value", text))
]
WorkerId = Annotated[
    str,
    Field(min_length=1, max_length=WORKER_ID_CHARACTERS_MAX),
    AfterValidator(lambda text: check_text("worker_id", text)),
]
Document = Annotated[dict[str, Any], AfterValidator(_check_document)]
Documents = Annotated[dict[str, Any] | list[Any], AfterValidator(_check_document)]


class ComponentBody(BaseModel):
    """Which component is meant: names are unique within a kind."""

    name: Name
    component_type: ComponentType = Field(
        "worker_pool", validation_alias=AliasChoices("kind", "component_type")
    )


class ProcessDetails(BaseModel):
    """What a process of a component says of itself, besides its `worker_id`."""

    hostname: Text | None = None
    pid: ProcessId | None = None
    started_at: Annotated[AwareDatetime, WithJsonSchema(_TIME)] | None = Field(
        None, description="ISO 8601 with an offset, or seconds since the epoch"
    )
    heartbeat_interval: float | None = Field(
        None,
        gt=0,
        le=HEARTBEAT_INTERVAL_SECONDS_MAX,
        description="Seconds between two heartbeats of this process; after three it is lost",
    )
    sdk_version: Annotated[Text, Field(max_length=100)] | None = None

    def of_process(self, worker_id: str) -> dict[str, Any]:
        """Return what is recorded of the process that has this `worker_id`."""
        details = {name: getattr(self, name) for name in ProcessDetails.model_fields}
        return {"worker_id": worker_id, **details}


class HeartbeatBody(ComponentBody, ProcessDetails):
    """That a component is alive, and which of its processes says so."""

    worker_id: WorkerId | None = Field(
        None,
        description="What tells the processes of a component apart; without it none is recorded",
    )

    def process(self) -> dict[str, Any] | None:
        """Return what is recorded of the process, or None if it has no `worker_id`."""
        return None if self.worker_id is None else self.of_process(self.worker_id)


class Goodbye(ProcessDetails):
    """Which process of a component ends; the parameters of the request, which has no body."""

    name: Name
    kind: ComponentType = "worker_pool"
    worker_id: WorkerId


class RegistrationBody(HeartbeatBody):
    """What a component says of itself; what it leaves out stays as it was."""

    runtime: Text | Document | None = Field(None, description="What it runs on, or its type")
    uri: Text | None = Field(None, validation_alias=AliasChoices("uri", "base_url"))
    status: Literal["ready", "busy", "offline"] = "ready"
    capacity: Capacity | None = Field(None, description="Most jobs at a time")
    labels: Documents | None = None
    capabilities: Documents | None = None
    meta: Document | None = None

    def _runtime_document(self) -> dict[str, Any] | None:
        # The table has no columns for what a process is and where it runs.
        document: dict[str, Any] = {}
        if isinstance(self.runtime, dict):
            document |= self.runtime
        elif self.runtime:
            document["type"] = self.runtime
        own = {"pid": self.pid, "hostname": self.hostname, "meta": self.meta}
        document |= {name: value for name, value in own.items() if value is not None}
        return document or None

    def columns(self) -> dict[str, Any]:
        """Return the row of `noetl.runtime`, with an id in case the component is new."""
        return {
            "runtime_id": new_runtime_id(),
            "name": self.name,
            "component_type": self.component_type,
            "base_url": self.uri,
            "status": self.status,
            "labels": self.labels,
            "capabilities": self.capabilities,
            "capacity": self.capacity,
            "runtime": self._runtime_document(),
        }


def new_runtime_id() -> int:
    """Return an id for a new component.

    A NoETL server on the same database numbers its components by snowflake ids: milliseconds
    since 2024, shifted. Those stay below 2**62 until 2058. The ids of this function are random
    and above that. So the two never meet, and they need no sequence in common.
    """
    return 2**62 + secrets.randbits(62)
