"""One look at the database for all who ask whether the server is ready."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server_stub.errors import StoreUnavailableError
from server_stub.postgresql.readiness import LOOK_SECONDS, Readiness

# The server treats requests and its database alike under every interpreter. Tests of processes,
# documents and workers show that it runs on each.
pytestmark = pytest.mark.once


MISSING = (
    "partitions are missing: metric_2024_01_01; "
    "POST /api/metrics/partitions/create makes those ahead"
)


class Looked:
    """A database that counts the looks at it, each of which lasts until the test ends it."""

    def __init__(self) -> None:
        self.looks: list[asyncio.Future[list[str]]] = []
        self.now = 100.0
        itself: Any = self
        self.readiness = Readiness(itself, itself, lambda: self.now)

    async def check_writable(self) -> None:
        """Say nothing, as a database that takes writes."""

    async def missing_partitions(self) -> list[str]:
        self.looks.append(asyncio.get_running_loop().create_future())
        return await self.looks[-1]

    async def detaching_partitions(self) -> list[str]:
        return []

    async def ask(self, count: int) -> list[asyncio.Task[None]]:
        asking = [asyncio.create_task(self.readiness.check()) for _ in range(count)]
        for _ in range(3):
            await asyncio.sleep(0)
        return asking


async def errors_of(*asking: asyncio.Task[None]) -> list[str]:
    found = await asyncio.gather(*asking, return_exceptions=True)
    return ["" if error is None else str(error) for error in found]


def test_all_who_ask_share_a_look() -> None:
    """Hundreds of probes at once, and those within a second, take one connection once."""

    async def ask_often() -> None:
        looked = Looked()
        asking = await looked.ask(150)
        assert 1 == len(looked.looks)
        looked.looks[0].set_result(["metric_2024_01_01"])
        assert [MISSING] * 150 == await errors_of(*asking)
        looked.now += LOOK_SECONDS - 0.01
        assert [MISSING] == await errors_of(*await looked.ask(1))
        assert 1 == len(looked.looks)
        looked.now += 0.01
        asking = await looked.ask(150)
        assert 2 == len(looked.looks)
        looked.looks[1].set_result([])
        assert [""] * 150 == await errors_of(*asking)

    asyncio.run(ask_often())


def test_a_database_that_is_away_is_asked_once_a_second_too() -> None:
    """The error is kept like an answer, and after a second the database is asked again."""

    async def ask_often() -> None:
        looked = Looked()
        asking = await looked.ask(20)
        looked.looks[0].set_exception(StoreUnavailableError("away"))
        assert ["away"] * 40 == await errors_of(*asking, *await looked.ask(20))
        assert 1 == len(looked.looks)
        looked.now += LOOK_SECONDS
        (asking_again,) = await looked.ask(1)
        looked.looks[1].set_result([])
        assert [""] == await errors_of(asking_again)

    asyncio.run(ask_often())


def test_a_look_that_takes_long_is_not_doubled_and_outlives_its_first_client() -> None:
    """While the database does not answer, no second look begins; the first client may leave."""

    async def ask_often() -> None:
        looked = Looked()
        (first,) = await looked.ask(1)
        looked.now += 60 * LOOK_SECONDS
        others = await looked.ask(10)
        assert 1 == len(looked.looks)
        first.cancel()
        await asyncio.sleep(0)
        looked.looks[0].set_result([])
        assert [""] * 10 == await errors_of(*others)

    asyncio.run(ask_often())
