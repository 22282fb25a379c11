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


@router.get("/")
@router.get("/ui")
async def lead_to_page(request: Request) -> Response:
    """Lead a browser to the page, by a way that holds behind a proxy with a prefix."""
    query = request.url.query
    location = f"ui/?{query}" if query else "ui/"
    return Response(status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": location})


@router.get("/ui/{path:path}")
async def show_file(
    path: str, server: Server, if_none_match: Annotated[str | None, Header()] = None
) -> Response:
    """Answer with a file of the page; the page itself is the one without a name."""
    answer = server.page_files.answer(path or "index.html", if_none_match)
    if answer is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return answer
