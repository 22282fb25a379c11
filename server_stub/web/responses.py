"""Answers: JSON that PostgreSQL and JavaScript agree on, and the table from error to status."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from server_stub.errors import (
    BodyMalformedError,
    BodyTooLargeError,
    ComponentNotFoundError,
    EncodingUnknownError,
    ForbiddenError,
    ParameterInvalidError,
    ServerError,
    StoreUnavailableError,
    TokenInvalidError,
)
from server_stub.serving.request_id import current_request_id
from server_stub.web.near_names import said_instead

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastapi import FastAPI, Request
    from starlette.routing import BaseRoute

_STATUS_BY_ERROR: Mapping[type[ServerError], HTTPStatus] = {
    BodyMalformedError: HTTPStatus.BAD_REQUEST,
    ParameterInvalidError: HTTPStatus.BAD_REQUEST,
    ComponentNotFoundError: HTTPStatus.NOT_FOUND,
    TokenInvalidError: HTTPStatus.UNAUTHORIZED,
    ForbiddenError: HTTPStatus.FORBIDDEN,
    BodyTooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    EncodingUnknownError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    StoreUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
_QUOTED_LENGTH_MAX = 100


class Problem(BaseModel):
    """The body of every answer that is an error."""

    detail: str = Field(description="What is wrong, and what to change")


class Source(BaseModel):
    """Which part of an answer came from where."""

    source: Literal["postgresql", "history"] = Field(
        description="history is the time-series database, for what is older than the retention"
    )
    start_time: str | None = Field(description="Samples taken from then on, in UTC")
    end_time: str | None = Field(description="Until before then; null for no end")


def problems(*statuses: HTTPStatus) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for OpenAPI: these, and the ones that every route has."""
    always = (HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
    return {
        int(status): {"model": Problem, "description": status.phrase}
        for status in sorted({*statuses, *always})
    }


def json_response(content: object, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Return an answer in JSON; the caller has already made a NaN or infinity a string."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


def install_error_answers(app: FastAPI, routes: Sequence[BaseRoute]) -> None:
    """Make every error of an application an answer of the form `{"detail": …}`.

    Args:
        app: the application.
        routes: its routes. An answer of 405 names every method of the path (RFC 9110, section
            10.2.1), for which Starlette would name only those of the first route.
    """
    app.state.routes = routes
    app.add_exception_handler(ServerError, _answer_server_error)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(ClientDisconnect, _answer_nobody)
    app.add_exception_handler(Exception, _answer_unforeseen_error)


async def _answer_server_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, ServerError)
    return error_response(error)


def error_response(error: ServerError) -> Response:
    """Return the answer for one of the server's own errors."""
    headers: dict[str, str] = {}
    if isinstance(error, StoreUnavailableError):
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, TokenInvalidError):
        headers["WWW-Authenticate"] = "Bearer"
    status = next(
        (status for kind, status in _STATUS_BY_ERROR.items() if isinstance(error, kind)),
        HTTPStatus.INTERNAL_SERVER_ERROR,
    )
    return _problem(status, str(error), headers)


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    parameters = parameters_of(request)
    return _problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "; ".join(_describe(problem, parameters) for problem in error.errors()),
    )


def parameters_of(request: Request) -> list[str]:
    """Return the names of the query parameters of a request's route.

    Args:
        request: the request; the route is found already.
    """
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return []
    names: list[str] = []
    for parameter in route.dependant.query_params:
        model = parameter.field_info.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            names += model.model_fields
        else:
            names.append(parameter.alias)
    return names


def _describe(problem: Mapping[str, Any], parameters: Sequence[str]) -> str:
    """Return what pydantic says of one value: its place, the value, and what is right.

    Args:
        problem: an error of pydantic's.
        parameters: the names of the query parameters that there are.
    """
    if problem["type"] == "extra_forbidden" and problem["loc"][0] == "query" and parameters:
        name = str(problem["loc"][-1])[:_QUOTED_LENGTH_MAX]
        return f"there is no query parameter {name!r}: {said_instead(name, parameters)}"
    where = ".".join(str(part) for part in problem["loc"])
    value = problem.get("input")
    if problem["type"] in {"missing", "json_invalid"} or value is None:
        return f"{where}: {problem['msg']}"
    shown = repr(value)
    if len(shown) > _QUOTED_LENGTH_MAX:
        shown = shown[:_QUOTED_LENGTH_MAX] + "…"
    return f"{where} is {shown}: {problem['msg']}"


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    method, path = request.method[:_QUOTED_LENGTH_MAX], request.url.path[:_QUOTED_LENGTH_MAX]
    route = f"{method} {path}"
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            detail = f"there is no route {route}: see /docs for those that there are"
        case HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = _methods_of(request)
            detail = f"there is no {route}: this path takes {headers['Allow']}"
        case _:
            detail = str(error.detail)
    return _problem(HTTPStatus(error.status_code), detail, headers)


def _methods_of(request: Request) -> str:
    methods: set[str] = set()
    for route in request.app.state.routes:
        if isinstance(route, Route) and route.path_regex.match(request.url.path):
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")  # `web.head` answers it
    return ", ".join(sorted(methods))


async def _answer_nobody(request: Request, error: Exception) -> Response:
    # If a client breaks off its request, the server has not failed, and logs no traceback. Only the
    # statistics get this answer.
    del request, error
    return _problem(HTTPStatus.BAD_REQUEST, "the connection ended before the body did")


async def _answer_unforeseen_error(request: Request, error: Exception) -> Response:
    del request, error  # the server's log has the traceback; a stranger must not have it
    request_id = current_request_id()
    # Unlike every other answer, this one does not pass the middleware that sets the header.
    return _problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"the server failed; its log says why, under the request id {request_id}. Try again later",
        {"X-Request-ID": request_id} if request_id else None,
    )


def _problem(status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    # A client's text may hold half of a surrogate pair, which UTF-8 cannot encode.
    storable = detail.encode("utf-8", "backslashreplace").decode()
    return JSONResponse({"detail": storable}, int(status), dict(headers or {}))
