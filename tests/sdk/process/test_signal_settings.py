"""A program sets handlers and the wakeup descriptor, and gets the answers that Python gives it."""

from __future__ import annotations

import signal
import socket

import pytest

from noetl_metrics_sdk.process import signal_settings
from noetl_metrics_sdk.process.signal_settings import SignalSettings
from tests.sdk.gated_transport import make_client

NO_DESCRIPTOR = -1


@pytest.fixture
def client():
    client = make_client().start()
    yield client
    client.shutdown()


@pytest.fixture
def descriptors():
    """Two descriptors as event loops hand them to `signal.set_wakeup_fd`."""
    first, second = socket.socketpair()
    with first, second:
        first.setblocking(False)
        second.setblocking(False)
        yield first.fileno(), second.fileno()
        signal.set_wakeup_fd(NO_DESCRIPTOR)


def test_an_event_loop_never_sees_the_descriptor_of_a_client(client, descriptors):
    """Two loops, one within the other, find each other's descriptor and no third one."""
    outer, inner = descriptors
    found = [signal.set_wakeup_fd(fd) for fd in (outer, inner, outer, NO_DESCRIPTOR, outer)]
    assert [NO_DESCRIPTOR, outer, inner, outer, NO_DESCRIPTOR] == found


def test_a_handler_is_the_programs_own_until_it_restores_the_default(client):
    """`signal.signal` returns the handlers that it returns without a client."""

    def first(*_):
        pass

    def second(*_):
        pass

    signal.signal(signal.SIGUSR1, first)
    assert first is signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert signal.SIG_DFL is signal.getsignal(signal.SIGUSR1)
    clients_own = signal.signal(signal.SIGTERM, first)
    assert first is signal.getsignal(signal.SIGTERM)
    assert first is signal.signal(signal.SIGTERM, second)
    assert second is signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert clients_own is signal.getsignal(signal.SIGTERM)


@pytest.mark.parametrize("handler", [None, "terminate"])
def test_a_mistake_is_the_programs_own(client, handler):
    """A handler that is none raises what Python raises."""
    with pytest.raises(TypeError, match="signal handler must be"):
        signal.signal(signal.SIGTERM, handler)


def test_nothing_of_this_is_left_when_the_last_client_has_ended():
    """The functions of the module `signal` are Python's own again."""
    clients = [make_client().start(), make_client().start()]
    clients[0].shutdown()
    assert signal_settings.set_descriptor is not signal.set_wakeup_fd
    clients[1].shutdown()
    assert signal_settings.set_descriptor is signal.set_wakeup_fd
    assert signal_settings.set_handler is signal_settings._below_signal.signal


def test_another_librarys_replacement_stays(monkeypatch):
    """What another library has put in front meanwhile is not removed."""
    settings = SignalSettings(lambda _: None, lambda before, _: before)
    settings.begin()
    replaced = signal.set_wakeup_fd

    def theirs(fd, **arguments):
        return replaced(fd, **arguments)

    monkeypatch.setattr(signal, "set_wakeup_fd", theirs)
    settings.end()
    assert theirs is signal.set_wakeup_fd
    monkeypatch.undo()
    settings.end()
    assert signal_settings.set_descriptor is signal.set_wakeup_fd
