"""The hooks that uWSGI calls; tests/acceptance/test_web_servers.py has the real program."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from noetl_metrics_sdk.process.in_uwsgi import call_in_workers, must_not_have_threads


@pytest.mark.parametrize("has_threads", [0, 1])
def test_the_programs_hooks_stay_and_missing_threads_are_told(monkeypatch, caplog, has_threads):
    """uWSGI calls the program's function before the client's, and a warning names the option."""
    calls: list[str] = []
    uwsgi = ModuleType("uwsgi")
    uwsgi.__dict__.update(
        worker_id=lambda: 0, has_threads=has_threads, post_fork_hook=lambda: calls.append("theirs")
    )
    monkeypatch.setitem(sys.modules, "uwsgi", uwsgi)
    monkeypatch.setitem(sys.modules, "uwsgidecorators", None)  # not installed
    assert must_not_have_threads()
    call_in_workers(lambda: calls.append("fork"), lambda: calls.append("end"))
    uwsgi.__dict__["atexit"]()
    assert ["end"] == calls
    assert (not has_threads) is ("--enable-threads" in caplog.text)


def test_another_program_is_no_business_of_uwsgi():
    """Without uWSGI a process may have threads."""
    assert not must_not_have_threads()
