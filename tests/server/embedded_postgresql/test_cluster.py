"""A cluster is made, started and stopped."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING

import psycopg
import pytest

from server_stub.embedded_postgresql.embedded import prepared_cluster
from server_stub.errors import StartupError
from tests.postgresql import open_folder

if TYPE_CHECKING:
    from collections.abc import Generator

    from server_stub.embedded_postgresql.cluster import Cluster

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def made() -> Generator[Cluster]:
    """A cluster that is made and does not run."""
    with open_folder() as folder, ExitStack() as stack:
        cluster = prepared_cluster(folder / "postgresql", stack)
        yield cluster
        cluster.stop()


def test_its_folder_is_its_users_alone(made: Cluster) -> None:
    """Other users do not reach the socket, which asks for no password, nor the data."""
    assert 0o700 == made.folder.stat().st_mode & 0o777
    assert (os.geteuid() or made.folder.stat().st_uid) == made.folder.stat().st_uid != 0


def test_a_postgresql_that_a_killed_server_left_behind_is_started_anew(made: Cluster) -> None:
    """A start finds the cluster served, stops that PostgreSQL in order, and starts its own."""
    made.start()
    pid = made.folder / "postmaster.pid"
    first = pid.read_text().splitlines()[0]
    made.start()
    assert first != pid.read_text().splitlines()[0]
    assert "received fast shutdown request" in made.log.read_text()
    with psycopg.connect(made.url_by(made.folder)) as connection:
        assert ("",) == connection.execute("SHOW listen_addresses").fetchone()
    made.stop()
    assert not pid.exists()
    made.stop()


def test_a_stop_that_keeps_no_data_is_quick_and_in_order(made: Cluster) -> None:
    """What is deleted next is not written to its files first; the next start takes the log's."""
    made.start()
    with psycopg.connect(made.url_by(made.folder)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1")
    made.log.unlink()
    made.start()
    made.stop(keeps_data=False)
    assert "received immediate shutdown request" in made.log.read_text()
    made.start()
    with psycopg.connect(made.url_by(made.folder)) as connection:
        assert (1,) == connection.execute("TABLE kept").fetchone()
    made.stop()


def test_a_process_that_has_got_the_number_of_a_lost_postgresql_gets_no_signal(
    made: Cluster,
) -> None:
    """After a crash of the machine `postmaster.pid` may name any process."""
    pid = made.folder / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"]) as other:
        try:
            pid.write_text(f"{other.pid}\n{made.folder}\n")
            made.stop()
            assert other.poll() is None
        finally:
            pid.unlink()
            other.kill()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("max_connections = 0", "0 is outside the valid range"),
        ("shared_preload_libraries = 'no_such'", 'could not access file "no_such"'),
    ],
)
def test_a_start_that_fails_says_why(made: Cluster, setting: str, said: str) -> None:
    """The message is one line, and has PostgreSQL's own reason out of its log."""
    made.log.unlink(missing_ok=True)
    added = made.folder / "postgresql.auto.conf"
    before = added.read_text()
    added.write_text(f"{setting}\n")
    try:
        with pytest.raises(StartupError, match=r"does not start in .*--database-url$") as raised:
            made.start()
    finally:
        added.write_text(before)
    assert said in made.log.read_text()
    assert "FATAL:" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_cluster_that_cannot_be_made_says_why(made: Cluster) -> None:
    """The message has initdb's own reason."""
    with open_folder() as folder, ExitStack() as stack:
        (folder / "postgresql").mkdir()
        (folder / "postgresql" / "notes").touch()
        with pytest.raises(StartupError, match=r"exists but is not empty"):
            prepared_cluster(folder / "postgresql", stack)
