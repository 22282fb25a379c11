"""The id of the request that is being served, which its log lines and its answer have."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

_request_id: ContextVar[str] = ContextVar("request_id", default="")
_VALID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def begin_request(presented: str | None) -> str:
    """Give the request that is served from here on an id, and return it.

    The id holds to the end of the task, and each request has a task of its own. No middleware takes
    the id back: the handler of unforeseen exceptions answers and logs after every middleware.

    Args:
        presented: the request's `X-Request-ID`, which the server takes if it can stand in a log.
    """
    is_valid = presented is not None and _VALID.fullmatch(presented) is not None
    request_id = presented if is_valid and presented is not None else secrets.token_hex(16)
    _request_id.set(request_id)
    return request_id


def current_request_id() -> str:
    """Return the id of the request that is being served, or "" outside of one."""
    return _request_id.get()
