"""What schemathesis must not send as wrong: in a URL, what has one text is that text."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import HookContext


@schemathesis.hook
def filter_query(context: HookContext, query: dict[str, Any] | None) -> bool:
    """Leave out a query with a list or an object that is sent as one text, or not at all.

    A list of one text is sent as the text, and an object as its names: one name is a text, and no
    name an empty one.

    Args:
        context: has the operation, whose parameters the API's description names.
        query: the parameters of the query, if it has any.
    """
    operation = context.operation
    assert operation is not None
    lists = {
        parameter.name
        for parameter in operation.query
        if "'array'" in str(parameter.definition["schema"])
    }
    return not any(
        len(value) <= 1
        for name, value in (query or {}).items()
        if isinstance(value, dict) or (isinstance(value, list) and name not in lists)
    )
