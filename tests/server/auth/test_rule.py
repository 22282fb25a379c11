"""Which token may do what, and what the server answers to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from fastapi.routing import APIRoute

from server_stub.app import create_app
from server_stub.auth.rule import OPEN_FOLDER, OPEN_PATHS, required_scope
from server_stub.auth.tokens import BoundComponent, Scope, hash_token, make_token
from server_stub.settings import Settings
from tests.server.application import running_api, sample

if TYPE_CHECKING:
    from collections.abc import Generator

    import httpx

    from tests.postgresql import Cluster
    from tests.server.application import Api

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once

SECRETS = {name: f"{name}-secret" for name in ("writer", "reader", "admin", "bound", "both")}
TOKENS = [
    make_token("writer", ["write"], hash_token(SECRETS["writer"])),
    make_token("reader", ["read"], hash_token(SECRETS["reader"])),
    make_token("admin", ["admin"], hash_token(SECRETS["admin"])),
    make_token("both", ["read", "write"], hash_token(SECRETS["both"])),
    make_token(
        "bound", ["write"], hash_token(SECRETS["bound"]), BoundComponent("worker_pool", "mine")
    ),
]

WRITING = [
    ("POST", "/api/metrics"),
    ("POST", "/api/metrics/report"),
    ("POST", "/api/worker/pool/register"),
    ("POST", "/api/runtime/register"),
    ("POST", "/api/worker/pool/heartbeat"),
    ("POST", "/api/worker/pool/goodbye"),
    ("POST", "/api/worker/pool/deregister"),
    ("DELETE", "/api/worker/pool/deregister"),
    ("POST", "/api/runtime/deregister"),
    ("DELETE", "/api/runtime/deregister"),
]
ADMINISTRATING = [
    ("POST", "/api/metrics/cleanup"),
    ("POST", "/api/metrics/partitions/create"),
    ("DELETE", "/api/runtime/1"),
]
READING = [
    ("GET", "/api/metrics"),
    ("GET", "/api/metrics/query"),
    ("GET", "/api/runtime/1/metrics"),
    ("GET", "/metrics"),
    ("GET", "/api/metrics/prometheus"),
    ("GET", "/api/runtime"),
    ("GET", "/api/metrics/components"),
    ("GET", "/api/metrics/names"),
    ("GET", "/api/metrics/labels"),
    ("GET", "/api/metrics/labels/{label_name}/values"),
    ("GET", "/api/metrics/partitions"),
    ("GET", "/api/metrics/export"),
    ("GET", "/api/version"),
]
OPEN = [("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/docs"), ("GET", "/openapi.json")]


@pytest.fixture(scope="module")
def closed(postgresql: Cluster) -> Generator[Api]:
    """An application with a token of each kind."""
    lines = ";".join(token.line() for token in TOKENS)
    with postgresql.database() as url, running_api(url, tokens=lines) as running:
        yield running


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRETS[name]}"}


def call(api: Api, method: str, path: str, name: str, body: object = None) -> httpx.Response:
    return api.request(method, path, json=body, headers=bearer(name))


def register(api: Api, name: str, component: str) -> str:
    answer = call(api, "POST", "/api/runtime/register", name, {"name": component})
    assert 200 == answer.status_code, answer.text
    runtime_id: str = answer.json()["runtime_id"]
    return runtime_id


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *((*route, {"writer", "both", "admin", "bound"}) for route in WRITING),
        *((*route, {"reader", "both", "admin"}) for route in READING),
        *((*route, {"admin"}) for route in ADMINISTRATING),
        ("POST", "/api/metrics/new", {"admin"}),
        ("GET", "/api/new", {"reader", "both", "admin"}),
    ],
)
def test_a_token_is_let_in_where_its_scope_is(
    closed: Api, method: str, path: str, allowed: set[str]
) -> None:
    """A token with the scope passes, and no other one does; `admin` passes everywhere."""
    let_in = {name for name in SECRETS if 403 != call(closed, method, path, name).status_code}
    assert allowed == let_in
    for name in SECRETS.keys() - allowed:
        detail = call(closed, method, path, name).json()["detail"]
        assert f"the token '{name}' has the scope" in detail
        assert "use a token that has it" in detail


def served_routes() -> set[tuple[str, str]]:
    """Return method and path of every route, also of the aliases that are not described."""
    routes: list[Any] = []
    for route in create_app("postgresql:///never", Settings()).routes:
        included = getattr(route, "original_router", None)
        routes += [route] if included is None else included.routes
    return {(method, route.path) for route in routes for method in route.methods - {"HEAD"}}


def test_every_route_has_a_scope_or_is_open() -> None:
    """The tests below cover every route; a new route reads, or is for an admin only."""
    tested = {
        (method, path.replace("/runtime/1", "/runtime/{runtime_id}"))
        for method, path in [*WRITING, *READING, *ADMINISTRATING, *OPEN]
    }
    served = served_routes()
    assert set() == tested - served
    for method, path in served - tested:
        if path.startswith(OPEN_FOLDER) or path in OPEN_PATHS:
            continue
        assert required_scope(method, path) == (Scope.READ if method == "GET" else Scope.ADMIN)
    for method, path in served:
        is_open = path in OPEN_PATHS or path.startswith(OPEN_FOLDER)
        assert (required_scope(method, path) is None) == is_open
    assert {path for _, path in served} >= OPEN_PATHS


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_an_open_route_needs_no_token(closed: Api, method: str, path: str) -> None:
    """Probes and the description are open to all callers, even with a wrong token."""
    assert 200 == closed.request(method, path).status_code
    wrong = {"Authorization": "Bearer wrong"}
    assert 200 == closed.request(method, path, headers=wrong).status_code


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ([], "a token is needed: send it as 'Authorization: Bearer TOKEN'"),
        ([("Authorization", "Bearer wrong")], "this token is not known"),
        ([("Authorization", "Bearer")], "the Authorization header is not valid"),
        ([("Authorization", "Basic d3JpdGVyOng=")], "the Authorization header is not valid"),
        ([("Authorization", f"Bearer {SECRETS['admin']}")] * 2, "send one"),
        ([("Authorization", f"Bearer {hash_token(SECRETS['admin']).hex()}")], "is not known"),
    ],
)
def test_a_stranger_is_told_what_is_missing(
    closed: Api, headers: list[tuple[str, str]], detail: str
) -> None:
    """The answer is 401 with the scheme, whatever the route and body, even for an unknown route."""
    for method, path in [*WRITING, *READING, *ADMINISTRATING, ("GET", "/no/such/route")]:
        answer = closed.request(method, path, headers=headers, content=b"no JSON")
        assert 401 == answer.status_code
        assert "Bearer" == answer.headers["WWW-Authenticate"]
        assert detail in answer.json()["detail"]
        assert "wrong" not in answer.text


def test_the_scheme_is_written_in_any_case(closed: Api) -> None:
    """`bearer` is as good as `Bearer`."""
    headers = {"Authorization": f"bearer  {SECRETS['reader']}"}
    assert 200 == closed.get("/api/runtime", headers=headers).status_code


def test_a_bound_token_registers_only_its_component(closed: Api) -> None:
    """It sends no heartbeat for another one and does not deregister it, even of the same name."""
    register(closed, "admin", "other")
    register(closed, "bound", "mine")
    for path in ("register", "heartbeat", "deregister"):
        for body in ({"name": "other"}, {"name": "mine", "kind": "broker"}):
            answer = call(closed, "POST", f"/api/worker/pool/{path}", "bound", body)
            assert 403 == answer.status_code
            assert "is bound to 'worker_pool/mine'" in answer.json()["detail"]
        answer = call(closed, "POST", f"/api/worker/pool/{path}", "bound", {"name": "mine"})
        assert 200 == answer.status_code
    for name, status in (("other", 403), ("mine", 200)):
        path = f"/api/worker/pool/goodbye?worker_id=w&name={name}"
        assert status == call(closed, "POST", path, "bound").status_code


def test_a_bound_token_writes_only_for_its_component(closed: Api) -> None:
    """A batch for another component is refused whole, by id and by name; nothing is stored. The
    answer is the same for a component that there is not."""
    other = register(closed, "admin", "victim")
    mine = register(closed, "bound", "mine")
    name = "bound_batches_total"
    for field, there, missing, status in (
        ("runtime_id", other, "17", 404),
        ("component_name", "victim", "nobody", 403),
    ):
        answers = []
        for named in (there, missing):
            body = {field: named, "metrics": [sample(metric_name=name)]}
            answer = call(closed, "POST", "/api/metrics", "bound", body)
            assert "this token" in answer.json()["detail"]
            answers.append((answer.status_code, answer.text.replace(named, "…")))
        assert [(status, answers[0][1])] * 2 == answers
    for whose in ({"runtime_id": mine}, {"component_name": "mine"}):
        body = {**whose, "metrics": [sample(metric_name=name)]}
        answer = call(closed, "POST", "/api/metrics", "bound", body)
        assert (200, 1) == (answer.status_code, answer.json()["metrics_inserted"])
    assert [mine, mine] == [row[0] for row in stored_of(closed, name)]


def test_a_bound_token_has_single_samples_of_others_rejected(closed: Api) -> None:
    """Samples of its own component are stored, whether or not the envelope names the component."""
    other = register(closed, "admin", "victim")
    mine = register(closed, "bound", "mine")
    name = "bound_samples_total"
    metrics = [sample(metric_name=name, runtime_id=whose) for whose in (other, "17", mine)]
    for body in (metrics, {"runtime_id": mine, "metrics": metrics}):
        answer = call(closed, "POST", "/api/metrics", "bound", body).json()
        assert (1, 2) == (answer["metrics_inserted"], answer["metrics_rejected"])
        assert [0, 1] == [error["index"] for error in answer["errors"]]
        reasons = [error["reason"] for error in answer["errors"]]
        assert f"no runtime {other} is registered for this token" in reasons[0]
        assert reasons[0] == reasons[1].replace(" 17 ", f" {other} ")
        assert mine == answer["runtime_id"]
    assert [mine, mine] == [row[0] for row in stored_of(closed, name)]


def test_a_bound_token_takes_no_name_of_others(closed: Api) -> None:
    """A key that it sends is its own: the batch of another sender under the same key is stored, and
    neither gets the other's answer. Its own repeat is a duplicate."""
    other = register(closed, "admin", "victim")
    mine = register(closed, "bound", "mine")
    name = "named_batches_total"

    def send(token: str, whose: str, key: str) -> dict[str, Any]:
        answer = closed.post(
            "/api/metrics",
            json={"runtime_id": whose, "metrics": [sample(metric_name=name)]},
            headers={**bearer(token), "Idempotency-Key": key},
        )
        assert 200 == answer.status_code, answer.text
        return {"status": answer.json()["status"], "whose": answer.json()["runtime_id"]}

    # The thief comes first, with a number that the victim reaches much later, or after it.
    assert {"status": "ok", "whose": mine} == send("bound", mine, "boot-of-victim:900")
    assert {"status": "ok", "whose": other} == send("writer", other, "boot-of-victim:1")
    assert {"status": "duplicate", "whose": other} == send("admin", other, "boot-of-victim:1")
    assert {"status": "ok", "whose": mine} == send("bound", mine, "worker_pool/mine:1")
    assert {"status": "duplicate", "whose": mine} == send("bound", mine, "boot-of-victim:900")
    assert [mine, other, mine] == [row[0] for row in stored_of(closed, name)]


def test_a_bound_token_needs_its_component_registered(postgresql: Cluster) -> None:
    """404 makes the client register, as it does without a token."""
    lines = ";".join(token.line() for token in TOKENS)
    with postgresql.database() as url, running_api(url, tokens=lines) as running:
        body = {"component_name": "mine", "metrics": [sample()]}
        answer = call(running, "POST", "/api/metrics", "bound", body)
        assert 404 == answer.status_code
        assert "no component named 'mine' is registered" in answer.json()["detail"]


def stored_of(api: Api, metric_name: str) -> list[tuple[Any, ...]]:
    query = "SELECT runtime_id::text FROM noetl.metric WHERE metric_name = %s"
    return api.sql(query, metric_name)


def test_the_description_says_what_is_needed(closed: Api) -> None:
    """OpenAPI has the scheme, and for each closed route its scope, 401 and 403."""
    described = closed.get("/openapi.json").json()
    assert "bearer" == described["components"]["securitySchemes"]["bearer"]["scheme"]
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            scope = required_scope(method.upper(), path)
            assert (scope is None) == ("security" not in operation)
            assert (scope is None) == (not {"401", "403"} <= set(operation["responses"]))
            if scope is not None:
                assert [{"bearer": [scope]}] == operation["security"]


def test_without_tokens_anybody_is_let_in(embedded_api_shared: Api) -> None:
    """A server without tokens ignores a token."""
    wrong = {"Authorization": "Bearer wrong"}
    assert 200 == embedded_api_shared.get("/api/runtime").status_code
    assert 200 == embedded_api_shared.get("/api/runtime", headers=wrong).status_code
    assert "security" not in embedded_api_shared.get("/openapi.json").text


def test_a_failure_is_answered_without_its_cause(postgresql: Cluster) -> None:
    """The body and the header have only the request's id, with no traceback and no SQL."""
    hidden = psycopg.DataError("SELECT secret_column FROM noetl.metric")
    with postgresql.database() as url, running_api(url) as running:

        async def fail() -> None:
            raise hidden

        running.app.router.routes.insert(0, APIRoute("/fails", fail))
        answer = running.get("/fails", headers={"X-Request-ID": "request-7"})
        assert 500 == answer.status_code
        assert "request-7" == answer.headers["X-Request-ID"]
        assert list(answer.json()) == ["detail"]
        assert "under the request id request-7" in answer.json()["detail"]
        for word in ("secret_column", "Traceback", "DataError", "psycopg"):
            assert word not in answer.text


def test_a_database_that_fails_in_the_middle_is_answered_without_sql(postgresql: Cluster) -> None:
    """If a table is gone, the answer is 503; if connections are cut, it is as usual."""
    with postgresql.database() as url, running_api(url) as running:
        running.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'server_stub' AND datname = current_database()"
        )
        answer = running.get("/api/runtime")
        assert 200 == answer.status_code
        running.sql("ALTER TABLE noetl.runtime RENAME TO hidden")
        failed = running.get("/api/runtime")
        assert 503 == failed.status_code
        for word in ("SELECT", "noetl.runtime", "relation", "Traceback", "psycopg"):
            assert word not in answer.text + failed.text
        running.sql("ALTER TABLE noetl.hidden RENAME TO runtime")  # for the server's last metrics


@pytest.mark.parametrize("presented", ["", "a b", "x" * 129, 'a"b', "ä"])
def test_a_request_id_that_cannot_stand_in_a_log_is_replaced(
    embedded_api_shared: Api, presented: str
) -> None:
    """The answer has another id for each request, which the server made."""
    headers = [(b"x-request-id", presented.encode())]
    ids = {
        embedded_api_shared.get("/healthz", headers=headers).headers["X-Request-ID"]
        for _ in range(2)
    }
    assert 2 == len(ids)
    assert presented not in ids


def test_a_request_id_is_answered(closed: Api) -> None:
    """A refused request gets its id back too."""
    for path in ("/healthz", "/api/runtime", "/no/such/route"):
        answer = closed.get(path, headers={"X-Request-ID": "0af7.65_1:9-c"})
        assert "0af7.65_1:9-c" == answer.headers["X-Request-ID"]
