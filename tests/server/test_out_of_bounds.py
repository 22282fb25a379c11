"""A Prometheus that has a sample of the future takes none of the present, and none is lost."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from server_stub.errors import ReceiverUnavailableError
from server_stub.time_series_database.assembly import Assembly
from server_stub.time_series_database.known_series import Row
from server_stub.time_series_database.receiver import Receiver
from tests.prometheus import needs_prometheus, running_prometheus
from tests.server.application import insert, running_api, sample
from tests.server.histories import exporting_api
from tests.server.receiving import running_export

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from noetl_metrics_sdk import Registry
    from tests.server.application import Api

pytestmark = [pytest.mark.once, needs_prometheus]

HOUR = 3600.0


@pytest.fixture
def ahead(tmp_path: Path) -> Generator[Any]:
    """A Prometheus to which another program has written a sample 14 hours ahead."""
    with running_prometheus(tmp_path) as program:
        at = int((time.time() + 14 * HOUR) * 1000)
        row = Row(1, 1, "ahead", None, 1.0, at, "other", "broker", "gauge", None, None)

        async def write() -> None:
            receiver = Receiver(program.write_url, {})
            await receiver.write(Assembly().assemble([row]))
            await receiver.close()

        asyncio.run(write())
        yield program


def give_window(receiver: Any, folder: Path) -> None:
    """Have the Prometheus take samples that are up to a day older than its newest one."""
    file = folder / "prometheus.yml"
    configuration = json.loads(file.read_text())
    configuration["storage"]["tsdb"]["out_of_order_time_window"] = "1d"
    file.write_text(json.dumps(configuration))
    receiver.stop()
    receiver.start()


def out_of_bounds(api: Api) -> float | None:
    registry: Registry = api.app.state.resources.statistics.registry
    return registry.get_sample_value("noetl_api_export_out_of_bounds_total")


def test_the_export_stops_until_the_receiver_is_mended(
    database_url: str, ahead: Any, tmp_path: Path
) -> None:
    """Samples that came in time wait, with an alarm; one that came too late is counted."""
    with running_api(database_url) as api:
        runtime_id = api.register()
        insert(api, runtime_id, sample(metric_name="late", timestamp=time.time() - 2 * HOUR))
        insert(api, runtime_id, *[sample(labels={"n": str(n)}) for n in range(3)])
        receiver = Receiver(ahead.write_url, {})
        with running_export(api, receiver) as export:
            for attempt in (1, 2):
                with pytest.raises(ReceiverUnavailableError, match="out_of_order_time_window"):
                    export.finish()
                assert attempt == export.counted("out_of_bounds_total")
            assert 1 == export.dropped("out_of_order")
            give_window(ahead, tmp_path)
            export.finish()
            ahead.wait_until("sum(count_over_time(jobs_total[10m]))", (3.0).__eq__)
            assert 1 == export.dropped("out_of_order")
            assert export.dropped("refused") is None


def test_a_batch_waits_until_the_receiver_is_mended(
    database_url: str, ahead: Any, tmp_path: Path
) -> None:
    """Without samples in PostgreSQL, the answer is 503, also for what has waited because of it."""
    with exporting_api(database_url, ahead, storage="remote-write") as api:
        runtime_id = api.register()
        body = {"runtime_id": runtime_id, "metrics": [sample(), sample(labels={"n": "1"})]}
        waited = {
            "runtime_id": runtime_id,
            "metrics": [sample(metric_name="waited", timestamp=time.time() - 2 * HOUR)],
        }
        for one in (body, waited):
            refused = api.insert(one)
            assert 503 == refused.status_code
            assert "out_of_order_time_window" in refused.json()["detail"]
        assert 2 == out_of_bounds(api)
        give_window(ahead, tmp_path)
        for one in (body, waited):
            assert len(one["metrics"]) == api.insert(one).json()["metrics_inserted"]


def test_a_sample_that_is_late_alone_is_rejected(database_url: str, tmp_path: Path) -> None:
    """While the receiver takes samples of the present, what it refuses as too old is too old."""
    with (
        running_prometheus(tmp_path) as receiver,
        exporting_api(database_url, receiver, storage="remote-write") as api,
    ):
        runtime_id = api.register()
        late = sample(metric_name="late", timestamp=time.time() - 2 * HOUR)
        assert (
            1
            == api.insert({"runtime_id": runtime_id, "metrics": [sample()]}).json()[
                "metrics_inserted"
            ]
        )
        answer = api.insert({"runtime_id": runtime_id, "metrics": [sample(), late]}).json()
        assert (1, 1) == (answer["metrics_inserted"], answer["metrics_rejected"])
        assert 0 == out_of_bounds(api)


def test_a_server_with_a_receiver_takes_no_sample_that_is_far_ahead(
    database_url: str, tmp_path: Path
) -> None:
    """Ten minutes are the most that the documented receivers take; without one it is a day."""
    with running_prometheus(tmp_path) as receiver, exporting_api(database_url, receiver) as api:
        runtime_id = api.register()
        times = [time.time() + seconds for seconds in (590, 610)]
        answer = api.insert(
            {"runtime_id": runtime_id, "metrics": [sample(timestamp=at) for at in times]}
        ).json()
        assert [1] == [error["index"] for error in answer["errors"]]
        assert "more than 600 s in the future" in answer["errors"][0]["reason"]
    with running_api(database_url) as api:
        insert(api, runtime_id, sample(timestamp=time.time() + 14 * HOUR))
