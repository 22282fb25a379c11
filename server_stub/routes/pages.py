"""The pages for browsers. They have no data: what they show, they ask the other routes for."""

# FastAPI reads the annotations of a route at run time, so their types are imported at run time.
# ruff: noqa: TC001

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from server_stub.routes.resources import Server

router = APIRouter(include_in_schema=False)

_DOCS = "docs/index.html"


@router.get("/")
@router.get("/ui")
async def lead_to_page(request: Request) -> Response:
    """Lead a browser to the page, by a way that holds behind a proxy with a prefix."""
    query = request.url.query
    return _redirection(f"ui/?{query}" if query else "ui/")


@router.get("/docs")
async def show_docs(
    server: Server, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Answer with the page that shows the description of the API."""
    answer = server.page_files.answer(_DOCS, if_none_match)
    assert answer is not None
    return answer


@router.get("/ui/{path:path}")
async def show_file(
    path: str, server: Server, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Answer with a file of the page; the page itself is the one without a name."""
    if path == _DOCS:
        return _redirection("../../docs")  # the addresses in it are relative to that
    answer = server.page_files.answer(path or "index.html", if_none_match)
    if answer is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return answer


def _redirection(location: str) -> Response:
    return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": location})
