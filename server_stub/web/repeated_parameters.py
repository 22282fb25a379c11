"""Refuses a query parameter that is given several times, of which FastAPI would take the last."""

# FastAPI reads the annotations of a dependency at run time, so their types are imported then.
# ruff: noqa: TC002

from __future__ import annotations

from collections import Counter

from fastapi import Request
from fastapi.exceptions import RequestValidationError

from server_stub.web.responses import parameters_of


async def refuse_repeated_parameters(request: Request) -> None:
    """Refuse a request that gives one of its route's parameters more than once.

    A client that asks for two components by two parameters of one name would get one of them, and
    not know.

    Args:
        request: the request.

    Raises:
        RequestValidationError: a parameter is given several times.
    """
    given = request.query_params.multi_items()
    if len(given) == len(request.query_params):
        return
    times = Counter(name for name, _ in given)
    repeated = [name for name in parameters_of(request) if times[name] > 1]
    if repeated:
        raise RequestValidationError([
            {
                "type": "repeated",
                "loc": ("query", name),
                "msg": f"it is given {times[name]} times: give it once",
                "input": request.query_params.getlist(name),
            }
            for name in repeated
        ])  # fmt: skip
