"""The server's settings: each is defined once, with its type, its default and its help text."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from server_stub.setting_values import (
    choice,
    days_by_name,
    headers,
    http_url,
    integer,
    postgresql_url,
    query_api_url,
    registered_name,
    seconds,
    switch,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RETENTION_DAYS_MAX = 3650

_AHEAD_SECONDS = 86_400.0
# Prometheus and Mimir refuse what is further ahead of their clocks. Where Prometheus takes it, it
# then takes nothing that is an hour older.
_AHEAD_OF_RECEIVER_SECONDS = 600.0

_Value = TypeVar("_Value")


class Definition(NamedTuple):
    """The definition of a setting besides its name and its type.

    `parse` returns the value of a flag's or a variable's text. It raises ValueError with a message
    that says what is right. `default` is the value if an operator gives neither. A `confidential`
    setting may hold a password or a token, so no message shows its value.
    """

    parse: Callable[[str], Any]
    default: Any
    help_text: str
    confidential: bool


def setting(
    parse: Callable[[str], _Value], default: _Value, help_text: str, *, confidential: bool = False
) -> _Value:
    """Return the field of a setting, with its `Definition`."""
    definition = Definition(parse, default, help_text, confidential)
    # Each instance gets a copy: a dataclass refuses a dictionary that all of them would share.
    return field(default_factory=lambda: copy(default), metadata={"definition": definition})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of an operator; `python -m server_stub --help` shows them."""

    host: str = setting(text, "127.0.0.1", "address to listen on")
    port: int = setting(integer(0, 65535), 8082, "port to listen on; 0 takes any free one")
    database_url: str | None = setting(
        postgresql_url,
        None,
        "PostgreSQL 15 or newer to keep metrics in; the schema noetl is made or migrated there. "
        "Without it an embedded PostgreSQL is started",
        confidential=True,
    )
    data_directory: str | None = setting(
        text,
        None,
        "where the embedded PostgreSQL keeps its data. Without it that is a temporary folder, "
        "deleted when the server ends",
    )
    retention_days: int = setting(
        integer(1, _RETENTION_DAYS_MAX),
        1,
        "how long metrics are kept; holds for the whole database",
    )
    metric_retention_days: Mapping[str, int] = setting(
        days_by_name(1, _RETENTION_DAYS_MAX),
        {},
        "which metrics are kept longer, by name or by the beginning of names and a *: "
        "jobs_total=30,billing_*=365; the longest that a name has counts",
    )
    partitions_days_ahead: int = setting(
        integer(1, 366), 7, "how many days ahead partitions are made"
    )
    maintenance_interval_seconds: float = setting(
        seconds(0.1, 86_400), 600.0, "how often partitions are made ahead and expired ones dropped"
    )
    component_offline_after_seconds: float = setting(
        seconds(0.1, 864_000), 60.0, "after how long without a heartbeat a component is offline"
    )
    exposition_lookback_seconds: float = setting(
        seconds(1, 86_400), 300.0, "GET /metrics leaves out series without a sample this recent"
    )
    exposition_bytes_max: int = setting(
        integer(1024, 2**40),
        48 * 1024 * 1024,
        "how many bytes of memory the series of GET /metrics may take, four thousand for a common "
        "one; the largest are left out beyond that",
    )
    body_bytes_max: int = setting(integer(1024, 2**30), 8 * 1024 * 1024, "largest request body")
    body_bytes_decompressed_max: int = setting(
        integer(1024, 2**30), 8 * 1024 * 1024, "largest request body after decompression"
    )
    ingest_bytes_max: int = setting(
        integer(1024, 2**40),
        256 * 1024 * 1024,
        "how many bytes of batches are held in memory at once",
    )
    samples_max: int = setting(integer(1, 1_000_000), 10_000, "most samples in one request")
    labels_max: int = setting(integer(0, 10_000), 64, "most labels of one sample")
    text_length_max: int = setting(
        integer(1, 1_000_000), 4096, "most characters of a label's value, a help text or a unit"
    )
    # This is against a label that gets ever new values, so it grows with a pool.
    series_per_process_max: int = setting(
        integer(1, 100_000_000),
        100_000,
        "most series that one process of a component, by its worker_id, has reported within the "
        "last hour",
    )
    sample_age_seconds_max: float = setting(
        seconds(1, 3_200_000_000), 604_800.0, "how far in the past a sample's time may lie"
    )
    sample_ahead_seconds_max: float | None = setting(
        seconds(1, 864_000),
        None,
        "how far in the future a sample's time may lie; a day, or with --remote-write-url 600 "
        "seconds, because receivers take no more",
    )
    pool_size: int = setting(
        integer(1, 1000),
        8,
        "most connections to the database; worker processes share them, but each has two at least",
    )
    workers: int = setting(integer(1, 256), 1, "how many processes serve requests")
    lock_timeout_seconds: float = setting(
        seconds(0.001, 3600), 5.0, "how long a request waits for a lock in the database"
    )
    statement_timeout_seconds: float = setting(
        seconds(0.001, 86_400),
        30.0,
        "how long the database works on one statement of a request",
    )
    remote_write_url: str | None = setting(
        http_url,
        None,
        "time-series database to export every sample to, by Prometheus remote write: "
        "http://localhost:8428/api/v1/write for VictoriaMetrics",
    )
    # With `auto` the server uses the newest version that the receiver takes.
    remote_write_version: str = setting(
        choice("auto", "1.0", "2.0"), "auto", "version of the protocol; auto asks the receiver"
    )
    receiver_headers: Mapping[str, str] = setting(
        headers,
        {},
        "headers of every request to the time-series database, each Name: value, separated by "
        "semicolons; for Authorization or X-Scope-OrgID",
        confidential=True,
    )
    # The query API is the one of Prometheus. It has the samples that the server exported.
    history_url: str | None = setting(
        query_api_url,
        None,
        "base URL of the query API of the time-series database, from which is read what is older "
        "than the retention: http://localhost:8428",
    )
    storage: str = setting(
        choice("postgresql", "remote-write"),
        "postgresql",
        "remote-write: samples go to --remote-write-url and are read from --history-url, and "
        "PostgreSQL has the components only",
    )
    export_interval_seconds: float = setting(
        seconds(0.01, 3600), 2.0, "pause between two looks for what is to be exported"
    )
    export_settling_seconds: float = setting(
        seconds(0, 3600),
        30.0,
        "how long the receiver may need to have on disk what it has acknowledged; what is younger "
        "is sent again when it may have been restarted",
    )
    export_hold_days: int = setting(
        integer(0, 3650), 7, "how long what was not exported is kept beyond the retention"
    )
    component_name: str = setting(
        registered_name, "metrics-server", "name under which the server reports its own metrics"
    )
    token_file: str | None = setting(
        text,
        None,
        "file of the tokens that are let in, each a line as python -m server_stub.tokens writes "
        "it; read again when it changes. Without tokens every caller is let in",
    )
    # Line breaks separate the lines too: a variable may hold the content of a token file.
    tokens: str | None = setting(
        text, None, "lines as in the token file, separated by semicolons", confidential=True
    )
    allow_anonymous: bool = setting(
        switch,
        False,
        "yes: without tokens, listen on an address that other machines reach all the same",
    )
    tls_certificate: str | None = setting(
        text,
        None,
        "PEM file of the server's certificate and what signed it. With it, TLS is spoken",
    )
    tls_key: str | None = setting(
        text, None, "PEM file of its key, unless that is in the same file"
    )
    tls_client_ca: str | None = setting(
        text,
        None,
        "PEM file of authorities, one of which must have signed a client's certificate",
    )
    connections_max: int = setting(
        integer(1, 100_000), 10_000, "most connections at a time; worker processes share them"
    )
    header_seconds_max: float = setting(
        seconds(0.1, 3600), 10.0, "how long a client may take for TLS, and for a request's headers"
    )
    body_seconds_max: float = setting(seconds(0.1, 3600), 60.0, "how long it may take for the body")
    log_format: str = setting(
        choice("text", "json"), "text", "json writes each event as one line of JSON"
    )
    access_log: bool = setting(switch, False, "yes: log each request")

    @property
    def sample_ahead_seconds(self) -> float:
        """How far in the future a sample's time may lie."""
        if self.sample_ahead_seconds_max is not None:
            return self.sample_ahead_seconds_max
        return _AHEAD_SECONDS if self.remote_write_url is None else _AHEAD_OF_RECEIVER_SECONDS


DEFINITIONS: Mapping[str, Definition] = {
    one.name: one.metadata["definition"] for one in fields(Settings)
}
"""The definition of each setting by its name."""
