"""What a server's answer other than 2xx means: whether it is about the batch, and what to do.

A proxy, an ingress or some other web server may answer in place of the metrics server. A metrics
server's error is a JSON object with a `detail`. Only such an answer can cost a batch.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

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


def error_of_answer(
    status: int, content: bytes, request: str, retry_after: float | None
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
    """
    detail = _detail(content)
    shown = content[:200].decode(errors="replace") if detail is None else detail
    message = f"{request}: {status}: {shown[:_DETAIL_CHARACTERS_MAX]}"
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
        return str(json.loads(content)["detail"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
