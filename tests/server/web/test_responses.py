"""A request that is not valid is told what is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.server.application import Api

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/api/metrics?metric=foo",
         "there is no query parameter 'metric': did you mean metric_type or metric_name?"),
        ("/api/metrics/series?metric_name=a&groupby=b",
         "there is no query parameter 'groupby': did you mean group_by?"),
        ("/metrics?component=a",
         "there is no query parameter 'component': did you mean component_name?"),
        ("/metrics?q=a",
         "there is no query parameter 'q': there are component_name, runtime_id"),
    ],
)  # fmt: skip
def test_a_query_parameter_that_there_is_not(
    embedded_api_shared: Api, path: str, detail: str
) -> None:
    """The answer names the one that was probably meant, or those that there are."""
    answer = embedded_api_shared.get(path)
    assert (422, detail) == (answer.status_code, answer.json()["detail"])


@pytest.mark.parametrize(
    "path",
    [
        "/metrics", "/api/metrics", "/api/metrics/series?metric_name=a",
        "/api/metrics/labels?metric_name=a",
    ],
)  # fmt: skip
def test_a_query_parameter_is_given_once(embedded_api_shared: Api, path: str) -> None:
    """The server takes no value of several for the one that was meant."""
    once = f"{path}{'&' if '?' in path else '?'}component_name=a"
    detail = "query.component_name is ['a', 'b']: it is given 2 times: give it once"
    answer = embedded_api_shared.get(f"{once}&component_name=b")
    assert (422, detail) == (answer.status_code, answer.json()["detail"])
    assert 200 == embedded_api_shared.get(once).status_code


def test_a_number_in_a_query_is_given_once(embedded_api_shared: Api) -> None:
    """A parameter of its own counts as one of several do."""
    answer = embedded_api_shared.post("/api/metrics/partitions/create?days_ahead=1&days_ahead=1")
    assert 422 == answer.status_code
    assert "query.days_ahead is ['1', '1']" in answer.json()["detail"]
