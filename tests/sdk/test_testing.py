"""The tools with which users test their own instrumentation."""

from __future__ import annotations

import pytest

from noetl_metrics_sdk import Counter, MetricsClient, Registry, UnknownRuntimeError
from noetl_metrics_sdk.testing import InMemoryTransport, ManualClock, MetricsProbe, server_away
from noetl_metrics_sdk.transport.protocol import Registration

pytest_plugins = ["pytester"]

JOBS = Counter("probed_jobs", "Jobs", ["kind"])


def test_the_probe_tells_what_a_test_has_changed(metrics_probe):
    """change() counts from the start of the test, value() from the start of the process."""
    before = metrics_probe.value("probed_jobs_total", {"kind": "a"}) or 0.0
    JOBS.labels("a").inc(2)
    assert 2.0 == metrics_probe.change("probed_jobs_total", {"kind": "a"})
    assert metrics_probe.value("probed_jobs_total", {"kind": "a"}) == before + 2.0
    assert 0.0 == metrics_probe.change("probed_jobs_total", {"kind": "never"})
    assert metrics_probe.value("probed_jobs_total", {"kind": "never"}) is None


def test_a_probe_of_another_registry_sees_that_one():
    """A probe reads the registry for which it is made."""
    registry = Registry()
    probe = MetricsProbe(registry)
    Counter("other", "Other", registry=registry).inc()
    assert 1.0 == probe.change("other_total")


def test_pytest_finds_the_fixture_by_itself(pytester):
    """A user's test has the probe without an import or configuration."""
    pytester.makepyfile(
        """
        from noetl_metrics_sdk import Counter

        ORDERS = Counter("orders_failed", "Orders", ["reason"])

        def test_a_failed_import_is_counted(metrics_probe):
            ORDERS.labels("missing").inc()
            assert metrics_probe.change("orders_failed_total", {"reason": "missing"}) == 1
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=1)


def test_the_manual_clock_moves_only_when_told():
    """advance() moves both times, set_time() the wall clock alone."""
    clock = ManualClock(time=100.0)
    clock.advance(5.0)
    assert (105.0, 5.0) == (clock.time(), clock.monotonic())
    clock.set_time(7.0)
    assert (7.0, 5.0) == (clock.time(), clock.monotonic())


def test_the_transport_in_memory_fails_as_often_as_told():
    """fail_next() raises once for each error, and then the transport works again."""
    transport = InMemoryTransport()
    transport.fail_next(server_away())
    with pytest.raises(type(server_away())):
        transport.register(Registration("pool"), 1)
    assert "1" == transport.register(Registration("pool"), 1)
    assert "1" == transport.register(Registration("pool"), 1)


def test_the_transport_in_memory_knows_who_has_registered():
    """A heartbeat of an unknown component is refused, as a server would refuse it."""
    with pytest.raises(UnknownRuntimeError):
        InMemoryTransport().heartbeat(Registration("pool"), 1)


def test_the_transport_in_memory_keeps_goodbyes():
    """A test can see that a client has ended in order."""
    transport = InMemoryTransport()
    transport.goodbye(Registration("pool"), 1)
    assert [Registration("pool")] == transport.goodbyes


def test_a_client_on_the_transport_in_memory_needs_no_server():
    """A user can look at each sample of a flush."""
    transport, registry = InMemoryTransport(), Registry()
    Counter("jobs", "Jobs", registry=registry).inc()
    with MetricsClient(component_name="pool", transport=transport, registry=registry) as client:
        client.flush()
    assert [0.0, 1.0] == [sample.value for sample in transport.received("jobs_total")]
