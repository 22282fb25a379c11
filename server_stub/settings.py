"""The server's settings, from flags and environment variables."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

VARIABLE_PREFIX = "NOETL_METRICS_SERVER_"


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
        component_name: the name under which the server reports its own metrics.
    """

    host: str = "127.0.0.1"
    port: int = 8082
    database_url: str | None = None
    data_directory: str | None = None
    retention_days: int = 1
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
    component_name: str = "metrics-server"


class _Option(NamedTuple):
    parse: Callable[[str], Any]
    help_text: str


def _text(text: str) -> str:
    if not text.strip() or "\x00" in text:
        raise ValueError("must not be empty")
    return text


def _database_url(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("must be a URL like postgresql://user:password@host:5432/database")
    return text


def _integer(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return number

    return parse


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:  # a NaN is not
            raise ValueError(f"must be a number of seconds from {least:g} to {most:g}")
        return number

    return parse


_OPTIONS: Mapping[str, _Option] = {
    "host": _Option(_text, "address to listen on"),
    "port": _Option(_integer(0, 65535), "port to listen on; 0 takes any free one"),
    "database_url": _Option(
        _database_url,
        "PostgreSQL 15 or newer to keep metrics in; the schema noetl is made or migrated there. "
        "Without it an embedded PostgreSQL is started",
    ),
    "data_directory": _Option(
        _text,
        "where the embedded PostgreSQL keeps its data. Without it that is a temporary folder, "
        "deleted when the server ends",
    ),
    "retention_days": _Option(
        _integer(1, 3650), "how long metrics are kept; holds for the whole database"
    ),
    "partitions_days_ahead": _Option(_integer(1, 366), "how many days ahead partitions are made"),
    "maintenance_interval_seconds": _Option(
        _seconds(0.1, 86_400), "how often partitions are made ahead and expired ones dropped"
    ),
    "exposition_lookback_seconds": _Option(
        _seconds(1, 86_400), "GET /metrics leaves out series without a sample this recent"
    ),
    "body_bytes_max": _Option(_integer(1024, 2**30), "largest request body"),
    "body_bytes_decompressed_max": _Option(
        _integer(1024, 2**30), "largest request body after decompression"
    ),
    "ingest_bytes_max": _Option(
        _integer(1024, 2**40), "how many bytes of batches are held in memory at once"
    ),
    "samples_max": _Option(_integer(1, 1_000_000), "most samples in one request"),
    "labels_max": _Option(_integer(0, 10_000), "most labels of one sample"),
    "text_length_max": _Option(
        _integer(1, 1_000_000), "most characters of a label's value, a help text or a unit"
    ),
    "series_per_runtime_max": _Option(
        _integer(1, 100_000_000), "most series of one component in a day"
    ),
    "sample_age_seconds_max": _Option(
        _seconds(1, 3_200_000_000), "how far in the past a sample's time may lie"
    ),
    "sample_ahead_seconds_max": _Option(
        _seconds(1, 864_000), "how far in the future a sample's time may lie"
    ),
    "pool_size": _Option(
        _integer(1, 1000),
        "most connections to the database; worker processes share them, but each has two at least",
    ),
    "workers": _Option(_integer(1, 256), "how many processes serve requests"),
    "lock_timeout_seconds": _Option(
        _seconds(0.001, 3600), "how long a request waits for a lock in the database"
    ),
    "statement_timeout_seconds": _Option(
        _seconds(0.001, 86_400), "how long the database works on one statement of a request"
    ),
    "component_name": _Option(_text, "name under which the server reports its own metrics"),
}


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
    for field in fields(Settings):
        default = getattr(defaults, field.name)
        shown = (
            ""
            if default is None
            else f"; default {default:g}"
            if isinstance(default, float)
            else f"; default {default}"
        )
        parser.add_argument(
            flag_name(field.name),
            metavar=field.name.rsplit("_", 1)[-1].upper(),
            help=f"{_OPTIONS[field.name].help_text} [{variable_name(field.name)}{shown}]",
        )
    flags = vars(parser.parse_args(arguments))
    values: dict[str, Any] = {}
    for name, option in _OPTIONS.items():
        text = flags[name]
        source = flag_name(name)
        if text is None:
            source = variable_name(name)
            text = environment.get(source)
        if text is None:
            continue
        try:
            values[name] = option.parse(text)
        except ValueError as error:
            # A database URL may hold a password, which does not belong on a terminal.
            shown = "" if name == "database_url" else f" is {text!r}:"
            parser.error(f"{source}{shown} {error}")
    return Settings(**values)
