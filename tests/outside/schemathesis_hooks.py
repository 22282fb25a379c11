"""What schemathesis must not send as wrong: in a URL, a list of one text is the text itself."""

from __future__ import annotations

from typing import Any

import schemathesis
from schemathesis import HookContext


@schemathesis.hook
def filter_query(context: HookContext, query: dict[str, Any] | None) -> bool:
    """Leave out a query with such a list, but where a parameter is a list.

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
        isinstance(value, list) and len(value) == 1 and name not in lists
        for name, value in (query or {}).items()
    )
