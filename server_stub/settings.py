"""The server's settings, from flags and environment variables."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

from server_stub.setting_values import (
    choice,
    database_url,
    days_by_name,
    headers,
    http_url,
    integer,
    seconds,
    switch,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

VARIABLE_PREFIX = "NOETL_METRICS_SERVER_"

_RETENTION_DAYS_MAX = 3650


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator can set; `python -m server_stub --help` explains each.

    Args:
        host: the address to listen on.
        port: the port to listen on; 0 takes any free one.
        database_url: the PostgreSQL to use, or None for the embedded one.
        data_directory: where the embedded PostgreSQL keeps its data, or None for a temporary
            folder.
        retention_days: how long metrics are kept.
        metric_retention_days: which are kept longer: names, or beginnings of names and a `*`, to
            days; the longest that a name has counts.
        partitions_days_ahead: how many days ahead partitions are made.
        maintenance_interval_seconds: how often partitions are made and dropped.
        exposition_lookback_seconds: how old a sample the text format shows at most.
        body_bytes_max: the largest request body.
        body_bytes_decompressed_max: the largest body after decompression.
        ingest_bytes_max: how many bytes of batches are held in memory at once.
        samples_max: the most samples in one request.
        labels_max: the most labels of one sample.
        text_length_max: the most characters of a label's value, a help text or a unit.
        series_per_runtime_max: the most series of one component in a day.
        sample_age_seconds_max: how far in the past a sample's time may lie.
        sample_ahead_seconds_max: how far in the future a sample's time may lie.
        pool_size: the most connections to the database, of all worker processes together.
        workers: how many processes serve requests.
        lock_timeout_seconds: how long a request waits for a lock in the database.
        statement_timeout_seconds: how long the database works on one statement of a request.
        remote_write_url: where metrics are exported to by Prometheus remote write, or None.
        remote_write_version: `1.0`, `2.0`, or `auto` for the newest that the receiver takes.
        receiver_headers: headers of every request to the time-series database.
        history_url: the base URL of a Prometheus query API that has what was exported, or None.
        storage: `postgresql`, or `remote-write` for samples in the time-series database only.
        export_interval_seconds: the pause between two looks for what is to be exported.
        export_settling_seconds: how long a receiver may need to have on disk what it has
            acknowledged; what is younger is sent again after its restart.
        export_hold_days: how long what was not exported is kept beyond the retention.
        component_name: the name under which the server reports its own metrics.
        token_file: the file of the tokens that are let in, or None.
        tokens: further lines of such a file, separated by line breaks or semicolons, or None.
        allow_anonymous: whether anybody is let in on an address that others reach.
        tls_certificate: the file of the server's certificate and what signed it, or None.
        tls_key: the file of the certificate's key, or None if it is in the certificate's.
        tls_client_ca: the file of the authorities that sign clients' certificates, or None.
        connections_max: the most connections at a time, of all worker processes together.
        header_seconds_max: how long a client may take for the headers of a request.
        body_seconds_max: how long it may take for the body.
        log_format: `text` or `json`.
        access_log: whether each request is logged.
    """

    host: str = "127.0.0.1"
    port: int = 8082
    database_url: str | None = None
    data_directory: str | None = None
    retention_days: int = 1
    metric_retention_days: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    partitions_days_ahead: int = 7
    maintenance_interval_seconds: float = 600.0
    exposition_lookback_seconds: float = 300.0
    body_bytes_max: int = 8 * 1024 * 1024
    body_bytes_decompressed_max: int = 32 * 1024 * 1024
    ingest_bytes_max: int = 256 * 1024 * 1024
    samples_max: int = 10_000
    labels_max: int = 64
    text_length_max: int = 4096
    series_per_runtime_max: int = 100_000
    sample_age_seconds_max: float = 604_800.0
    sample_ahead_seconds_max: float = 86_400.0
    pool_size: int = 8
    workers: int = 1
    lock_timeout_seconds: float = 5.0
    statement_timeout_seconds: float = 30.0
    remote_write_url: str | None = None
    remote_write_version: str = "auto"
    receiver_headers: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])
    history_url: str | None = None
    storage: str = "postgresql"
    export_interval_seconds: float = 2.0
    export_settling_seconds: float = 30.0
    export_hold_days: int = 7
    component_name: str = "metrics-server"
    token_file: str | None = None
    tokens: str | None = None
    allow_anonymous: bool = False
    tls_certificate: str | None = None
    tls_key: str | None = None
    tls_client_ca: str | None = None
    connections_max: int = 1000
    header_seconds_max: float = 10.0
    body_seconds_max: float = 60.0
    log_format: str = "text"
    access_log: bool = False


class _Option(NamedTuple):
    parse: Callable[[str], Any]
    help_text: str


_OPTIONS: Mapping[str, _Option] = {
    "host": _Option(text, "address to listen on"),
    "port": _Option(integer(0, 65535), "port to listen on; 0 takes any free one"),
    "database_url": _Option(
        database_url,
        "PostgreSQL 15 or newer to keep metrics in; the schema noetl is made or migrated there. "
        "Without it an embedded PostgreSQL is started",
    ),
    "data_directory": _Option(
        text,
        "where the embedded PostgreSQL keeps its data. Without it that is a temporary folder, "
        "deleted when the server ends",
    ),
    "retention_days": _Option(
        integer(1, _RETENTION_DAYS_MAX), "how long metrics are kept; holds for the whole database"
    ),
    "metric_retention_days": _Option(
        days_by_name(1, _RETENTION_DAYS_MAX),
        "which metrics are kept longer, by name or by the beginning of names and a *: "
        "jobs_total=30,billing_*=365; the longest that a name has counts",
    ),
    "partitions_days_ahead": _Option(integer(1, 366), "how many days ahead partitions are made"),
    "maintenance_interval_seconds": _Option(
        seconds(0.1, 86_400), "how often partitions are made ahead and expired ones dropped"
    ),
    "exposition_lookback_seconds": _Option(
        seconds(1, 86_400), "GET /metrics leaves out series without a sample this recent"
    ),
    "body_bytes_max": _Option(integer(1024, 2**30), "largest request body"),
    "body_bytes_decompressed_max": _Option(
        integer(1024, 2**30), "largest request body after decompression"
    ),
    "ingest_bytes_max": _Option(
        integer(1024, 2**40), "how many bytes of batches are held in memory at once"
    ),
    "samples_max": _Option(integer(1, 1_000_000), "most samples in one request"),
    "labels_max": _Option(integer(0, 10_000), "most labels of one sample"),
    "text_length_max": _Option(
        integer(1, 1_000_000), "most characters of a label's value, a help text or a unit"
    ),
    "series_per_runtime_max": _Option(
        integer(1, 100_000_000), "most series of one component in a day"
    ),
    "sample_age_seconds_max": _Option(
        seconds(1, 3_200_000_000), "how far in the past a sample's time may lie"
    ),
    "sample_ahead_seconds_max": _Option(
        seconds(1, 864_000), "how far in the future a sample's time may lie"
    ),
    "pool_size": _Option(
        integer(1, 1000),
        "most connections to the database; worker processes share them, but each has two at least",
    ),
    "workers": _Option(integer(1, 256), "how many processes serve requests"),
    "lock_timeout_seconds": _Option(
        seconds(0.001, 3600), "how long a request waits for a lock in the database"
    ),
    "statement_timeout_seconds": _Option(
        seconds(0.001, 86_400), "how long the database works on one statement of a request"
    ),
    "remote_write_url": _Option(
        http_url,
        "time-series database to export every sample to, by Prometheus remote write: "
        "http://localhost:8428/api/v1/write for VictoriaMetrics",
    ),
    "remote_write_version": _Option(
        choice("auto", "1.0", "2.0"), "version of the protocol; auto asks the receiver"
    ),
    "receiver_headers": _Option(
        headers,
        "headers of every request to the time-series database, each Name: value, separated by "
        "semicolons; for Authorization or X-Scope-OrgID",
    ),
    "history_url": _Option(
        http_url,
        "base URL of the query API of the time-series database, from which is read what is older "
        "than the retention: http://localhost:8428",
    ),
    "storage": _Option(
        choice("postgresql", "remote-write"),
        "remote-write: samples go to --remote-write-url and are read from --history-url, and "
        "PostgreSQL has the components only",
    ),
    "export_interval_seconds": _Option(
        seconds(0.01, 3600), "pause between two looks for what is to be exported"
    ),
    "export_settling_seconds": _Option(
        seconds(0, 3600),
        "how long the receiver may need to have on disk what it has acknowledged; what is younger "
        "is sent again when it may have been restarted",
    ),
    "export_hold_days": _Option(
        integer(0, 3650), "how long what was not exported is kept beyond the retention"
    ),
    "component_name": _Option(text, "name under which the server reports its own metrics"),
    "token_file": _Option(
        text,
        "file of the tokens that are let in, each a line as python -m server_stub.tokens writes "
        "it; read again when it changes. Without tokens anybody is let in",
    ),
    "tokens": _Option(text, "lines as in the token file, separated by semicolons"),
    "allow_anonymous": _Option(
        switch, "yes: without tokens, listen on an address that other machines reach all the same"
    ),
    "tls_certificate": _Option(
        text, "PEM file of the server's certificate and what signed it. With it, TLS is spoken"
    ),
    "tls_key": _Option(text, "PEM file of its key, unless that is in the same file"),
    "tls_client_ca": _Option(
        text, "PEM file of authorities, one of which must have signed a client's certificate"
    ),
    "connections_max": _Option(
        integer(1, 100_000), "most connections at a time; worker processes share them"
    ),
    "header_seconds_max": _Option(
        seconds(0.1, 3600), "how long a client may take for TLS, and for a request's headers"
    ),
    "body_seconds_max": _Option(seconds(0.1, 3600), "how long it may take for the body"),
    "log_format": _Option(choice("text", "json"), "json writes each event as one line of JSON"),
    "access_log": _Option(switch, "yes: log each request"),
}


_CONFIDENTIAL = frozenset({"database_url", "receiver_headers", "tokens"})


def variable_name(field_name: str) -> str:
    """Return the environment variable of a setting."""
    return VARIABLE_PREFIX + field_name.upper()


def flag_name(field_name: str) -> str:
    """Return the flag of a setting."""
    return "--" + field_name.replace("_", "-")


def parse_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return the settings; a flag wins over its environment variable.

    Args:
        arguments: the command line without the program's name.
        environment: the environment variables.

    Raises:
        SystemExit: with code 2 after a message on stderr that names the flag or variable, its
            value and what is right; with code 0 after `--help`.
    """
    parser = argparse.ArgumentParser(
        prog="python -m server_stub",
        description="Takes metrics over HTTP and keeps them in PostgreSQL.",
        epilog="A flag wins over its environment variable.",
        allow_abbrev=False,
    )
    defaults = Settings()
    for setting in fields(Settings):
        default = _shown(getattr(defaults, setting.name))
        parser.add_argument(
            flag_name(setting.name),
            metavar=setting.name.rsplit("_", 1)[-1].upper(),
            help=f"{_OPTIONS[setting.name].help_text} [{variable_name(setting.name)}{default}]",
        )
    flags = vars(parser.parse_args(arguments))
    values: dict[str, Any] = {}
    for name, option in _OPTIONS.items():
        given = flags[name]
        source = flag_name(name)
        if given is None:
            source = variable_name(name)
            given = environment.get(source)
        if given is None:
            continue
        try:
            values[name] = option.parse(given)
        except ValueError as error:
            # What may hold a password or a token does not belong on a terminal.
            shown = "" if name in _CONFIDENTIAL else f" is {given!r}:"
            parser.error(f"{source}{shown} {error}")
    settings = Settings(**values)
    if settings.storage == "remote-write" and None in {
        settings.remote_write_url,
        settings.history_url,
    }:
        parser.error(
            f"{flag_name('storage')} remote-write needs {flag_name('remote_write_url')}, where "
            f"samples are written, and {flag_name('history_url')}, where they are read"
        )
    for pattern, days in settings.metric_retention_days.items():
        # Readers and maintenance look into the days of the retention without asking for names.
        if days < settings.retention_days:
            parser.error(
                f"{flag_name('metric_retention_days')}: {pattern}={days} is shorter than "
                f"{flag_name('retention_days')} {settings.retention_days}, which all metrics are "
                "kept for at least: give more days, or a shorter retention of all"
            )
    return settings


def _shown(default: object) -> str:
    if default is None or default == {}:
        return ""
    if isinstance(default, bool):
        return f"; default {'yes' if default else 'no'}"
    return f"; default {default:g}" if isinstance(default, float) else f"; default {default}"
