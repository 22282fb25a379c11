"""What a server's answer other than 2xx means: whether it is about the batch, and what to do.

A proxy, an ingress or some other web server may answer in place of the metrics server. A metrics
server's error is a JSON object with a `detail`. Only such an answer can cost a batch.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, cast

from noetl_metrics_sdk.errors import (
    PayloadTooLargeError,
    RecoverableError,
    RejectedError,
    RouteMissingError,
    UnauthorizedError,
    UnknownRuntimeError,
)

if TYPE_CHECKING:
    from noetl_metrics_sdk.errors import DeliveryError

UNSUPPORTED_MEDIA_TYPE = 415
_NO_ROUTE: Final = ("Not Found", "there is no route ")
"""How the `detail` of a 404 begins if the route is missing: FastAPI's own word, which a NoETL
server answers, and the reference server's."""
_DETAIL_CHARACTERS_MAX = 500
_SHOWN_CHARACTERS_MAX = 80
_READ_BYTES_MAX = 4_096
_PAGE = re.compile(r"\s*<(!doctype html|html|head|body|\?xml)\b", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title", re.IGNORECASE | re.DOTALL)


def error_of_answer(
    status: int, content: bytes, request: str, retry_after: float | None, sender: str = ""
) -> DeliveryError:
    """Return the error for an answer with a status other than 2xx.

    | answer | error |
    |---|---|
    | 401, 403 | `UnauthorizedError` |
    | 404 from a metrics server, about the component | `UnknownRuntimeError` |
    | any other 404, 405 | `RouteMissingError` |
    | 413 | `PayloadTooLargeError` |
    | 400, 422 from a metrics server | `RejectedError` |
    | every other status | `RecoverableError` |

    Args:
        status: the status of the answer.
        content: the body of the answer.
        request: the method and the URL of the request, for the message.
        retry_after: how many seconds the server asks the client to wait, or None.
        sender: what the answer says of the server, in its header `Server`.
    """
    detail = _detail(content)
    shown = _shown(content, sender) if detail is None else detail[:_DETAIL_CHARACTERS_MAX]
    message = f"{request}: {status}: {shown}"
    if status in {401, 403}:
        return UnauthorizedError(message, status, retry_after)
    if status == 404 and detail is not None and not detail.startswith(_NO_ROUTE):  # noqa: PLR2004
        return UnknownRuntimeError(message, status)
    if status in {404, 405}:
        return RouteMissingError(
            f"{message}: no metrics server has this route; is server_url its address?", status
        )
    if status == 413:  # noqa: PLR2004 - the table above
        return PayloadTooLargeError(message, status)
    if status in {400, 422} and detail is not None:
        return RejectedError(message, status)
    if status == 407:  # noqa: PLR2004
        message += ": the proxy wants credentials; give them in its URL, http://name:password@host"
    return RecoverableError(message, status, retry_after)


def _detail(content: bytes) -> str | None:
    """Return what a metrics server says in an error's body; None if no metrics server says it."""
    try:
        return in_one_line(str(json.loads(content)["detail"]))
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None


def object_of_answer(content: bytes, request: str, sender: str = "") -> dict[str, Any]:
    """Return the JSON object of an answer with a status of 2xx.

    Args:
        content: the body of the answer.
        request: the method and the URL of the request, for the message.
        sender: what the answer says of the server, in its header `Server`.

    Raises:
        RecoverableError: it is something else, and so not from a metrics server.
    """
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise RecoverableError(
            f"{request}: the answer is not JSON as a metrics server sends it, but "
            f"{_shown(content, sender)}; is server_url its address?"
        )
    return cast("dict[str, Any]", answer)


def in_one_line(text: str) -> str:
    """Return a text of a server for one line of the log.

    It has a blank for each run of white space, and no control characters.
    """
    return "".join([one if one.isprintable() else "?" for one in " ".join(text.split())])


def _shown(content: bytes, sender: str) -> str:
    """Return in one line what has answered, if that is no metrics server's JSON."""
    text = content[:_READ_BYTES_MAX].decode(errors="replace")
    by = f" of {in_one_line(sender)[:_SHOWN_CHARACTERS_MAX]}" if sender.strip() else ""
    if not _PAGE.match(text):
        start = in_one_line(text)[:_SHOWN_CHARACTERS_MAX]
        return f"{start!r}{by}" if start else f"an empty answer{by}"
    title = _TITLE.search(text)
    shown = in_one_line(title[1] if title else text)[:_SHOWN_CHARACTERS_MAX]
    return f"a page{by} ({shown!r}), and no answer of a metrics server"
