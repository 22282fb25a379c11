"""What is stored, what is exported, and which version this is."""

from __future__ import annotations

import asyncio
import platform
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from noetl_metrics_sdk import COMPILED
from tests.server.application import insert, running_api, sample

if TYPE_CHECKING:
    from tests.server.application import Api

# PostgreSQL does the same under every interpreter.
pytestmark = pytest.mark.once


def today() -> date:
    """Return the day of the server and its database, which may begin during the tests."""
    return datetime.now(UTC).date()


def day(offset: int) -> str:
    """Return the beginning of a day as answers write it."""
    return f"{today() + timedelta(offset):%Y-%m-%d}T00:00:00.000000Z"


def partitions(api: Api) -> dict[str, Any]:
    answer = api.get("/api/metrics/partitions")
    assert 200 == answer.status_code, answer.text
    body: dict[str, Any] = answer.json()
    return body


def test_partitions_are_listed_with_their_sizes_and_their_ends(api: Api) -> None:
    """They come by time; a row is counted as soon as PostgreSQL's statistics have it."""
    insert(api, api.register(), *[sample(labels={"n": str(n)}) for n in range(500)])
    api.sql("ANALYZE noetl.metric")
    body = partitions(api)
    assert ("ok", 86_400, {}, 7, [], []) == tuple(
        body[name]
        for name in (
            "status", "retention_seconds", "retentions", "days_ahead", "missing", "detaching",
        )
    )  # fmt: skip
    assert [day(offset) for offset in range(-1, 8)] == [one["from"] for one in body["partitions"]]
    of_today = body["partitions"][1]
    bytes_of_today = of_today.pop("bytes")
    assert {
        "name": f"metric_{today():%Y_%m_%d}", "from": day(0), "until": day(1),
        "rows_estimated": 500, "drops_at": day(2), "drops_at_latest": day(2),
    } == of_today  # fmt: skip
    assert [(sum(map(len, api.stored())) and bytes_of_today,)] == api.sql(
        f"SELECT pg_total_relation_size('noetl.metric_{today():%Y_%m_%d}')"
    )
    assert 500 == body["rows_estimated"]
    assert 0 == body["partitions"][2]["rows_estimated"]
    assert bytes_of_today < body["bytes"]


def test_partitions_are_kept_for_names_and_for_the_export(database_url: str) -> None:
    """The latest end is that of the longest rule, or of the export's patience."""
    rules = {"jobs_total": 3, "billing_*": 30}
    with running_api(database_url, metric_retention_days=rules) as api:
        body = partitions(api)
        assert {"jobs_total": 3 * 86_400, "billing_*": 30 * 86_400} == body["retentions"]
        assert (day(2), day(31)) == (
            body["partitions"][1]["drops_at"], body["partitions"][1]["drops_at_latest"],
        )  # fmt: skip
        api.sql("INSERT INTO noetl.metric_export (hold) VALUES (interval '90 days')")
        assert day(92) == partitions(api)["partitions"][1]["drops_at_latest"]


def test_partitions_that_are_missing_are_named(embedded_api: Api) -> None:
    """A partition without a bound has none in the answer."""
    api = embedded_api
    api.sql(f"DROP TABLE noetl.metric_{today() + timedelta(1):%Y_%m_%d}")
    api.sql("CREATE TABLE noetl.elder PARTITION OF noetl.metric FOR VALUES FROM (MINVALUE) TO "
            "('2020-01-01 00:00Z')")  # fmt: skip
    body = partitions(api)
    assert [f"metric_{today() + timedelta(1):%Y_%m_%d}"] == body["missing"]
    elder = body["partitions"][0]
    assert ("elder", None, "2020-01-01T00:00:00.000000Z") == (
        elder["name"], elder["from"], elder["until"],
    )  # fmt: skip


def test_many_who_ask_for_the_partitions_at_once_share_a_look(database_url: str) -> None:
    """One query answers all of them: as many queries of their own would be refused."""
    with running_api(database_url, pool_size=2) as api:

        async def ask() -> list[int]:
            transport = httpx.ASGITransport(api.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://localhost"
            ) as client:
                answers = await asyncio.gather(
                    *[client.get("/api/metrics/partitions") for _ in range(60)]
                )
            return [answer.status_code for answer in answers]

        assert [200] * 60 == api.loop.run(ask())


def test_a_server_that_does_not_export_says_so(embedded_api: Api) -> None:
    """Nothing is known of an export that there never was."""
    body = embedded_api.get("/api/metrics/export").json()
    assert {"status": "ok", "configured": False, "failing": False, "last_id": "0"} == {
        name: value for name, value in body.items() if value is not None
    }


def test_an_export_that_fails_says_why(database_url: str) -> None:
    """The answer has how many rows wait, for how long, and the last error."""
    url = "http://127.0.0.1:1/api/v1/write"  # no program listens there
    with running_api(database_url, remote_write_url=url, export_interval_seconds=0.01) as api:
        insert(api, api.register(), sample(), sample(labels={"a": "b"}))
        body = api.get("/api/metrics/export").json()
        while not (body["failing"] and body["looked_at"]):
            body = api.get("/api/metrics/export").json()
    assert (True, "0", "0", "2", 2) == tuple(
        body[name] for name in ("configured", "position", "settled", "last_id", "rows_waiting")
    )
    assert body["last_error"]
    assert body["last_error_at"] > "2026"
    assert 0 <= body["lag_seconds"] < 60 < body["loss_in_seconds"]


def test_a_version_is_of_all_that_runs(api: Api) -> None:
    """It is that of this package, of Python and of PostgreSQL."""
    ((postgresql,),) = api.sql("SHOW server_version")
    assert {
        "version": version("noetl-metrics-sdk"), "compiled": COMPILED,
        "python": platform.python_version(), "postgresql": postgresql,
    } == api.get("/api/version").json()  # fmt: skip
